"""A student that writes, and a teacher that says at every token what it would have expected there."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Bool, Int
from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.sequence._positions import PADDING
from kdcore.losses.sequence.divergences import generalised_jsd_loss
from kdcore.randomness import generator
from kdcore.schemes.offline.decoding import reads_tokens, sample, written
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update


class GKD(Scheme):
    r"""Match the teacher's next token on texts of the data or, by the flip of a coin, on texts the student writes.

    .. math::
        L = \mathbb{E}_{u} \Bigl[ D_\beta(p^t, p^s)(y \mid x) \Bigr], \quad
        y \sim p^s(\cdot \mid x) \text{ if } u < \lambda, \text{ else from the data}

    A text's first tokens are its prompt :math:`x`; the divergence (`generalised_jsd_loss`) counts the tokens after it.
    The student's texts depend on its weights, so they are this run's own and never shared; no gradient passes through
    their sampling. The logged term ``student_written``, of weight 0, is 1 at a step on the student's texts.

    Survey: zhao2026 section 5.3 (combining with on-policy distillation, in words).
    Paper: {cite:t}`agarwal2024onpolicy`.

    Args:
        student: a causal network; it learns and is delivered.
        teacher: a finished one with the same vocabulary; it is frozen, put in eval mode, and not part of this scheme's
            state.
        on_policy: lambda, the share of steps on the student's own texts, in [0, 1]. Default 0.5: TRL's.
        beta: of the divergence, 0 for the forward and 1 for the reverse Kullback-Leibler divergence. Default 0.5:
            TRL's.
        prompt: tokens of a text that are given, at least 1. Default 1, ours: a plain text has no question in front.
        sampling_temperature: at which the student writes, above 0. Default 1: its own distribution (TRL: 0.9).
        temperature: of the divergence, above 0. Default 1.
        weight: of the divergence, at least 0. Default 1.
        task_weight: of the task on the data, at least 0. Default 0: the paper has no labels beside the divergence.
        warm_up: share of the run, in [0, 1), that a fresh student first spends on the task alone. Default 0: the
            student is taken as it is, and the paper's already writes.
        end: the token after which a text is over. Default: there is none.
        padding: the target that marks positions of the data which do not count; None where there is none.

    Raises:
        Refusal: a setting is out of its range.

    Notes:
        A fresh student writes noise, and the teacher's answers to noise are what it then learns: see ``warm_up``.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        on_policy: float = 0.5,
        beta: float = 0.5,
        prompt: int = 1,
        sampling_temperature: float = 1.0,
        temperature: float = 1.0,
        weight: float = 1.0,
        task_weight: float = 0.0,
        warm_up: float = 0.0,
        end: int | None = None,
        padding: int | None = PADDING,
    ):
        super().__init__()
        for name, value in {"on_policy": on_policy, "beta": beta}.items():
            if not 0 <= value <= 1:
                raise Refusal(f"{name} must lie in 0 .. 1, got {value:g}")
        if not 0 <= warm_up < 1:
            raise Refusal(f"warm_up must be at least 0 and below 1, got {warm_up:g}")
        above_zero = {"prompt": prompt, "sampling_temperature": sampling_temperature, "temperature": temperature}
        refuse_out_of_range(above_zero=above_zero, weight=weight, task_weight=task_weight)
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.on_policy, self.prompt, self.sampling_temperature = on_policy, prompt, sampling_temperature
        self.divergence = {"beta": beta, "temperature": temperature}
        self.weight, self.task_weight, self.warm_up = weight, task_weight, warm_up
        self.end, self.padding = end, padding

    @classmethod
    def build(cls, bench: Any, **settings: Any) -> Self:
        scheme = cls(bench.network("student"), writer_and_teacher("gkd", bench), **settings)
        if scheme.prompt >= bench.data.inputs.shape[1]:
            raise Refusal(f"prompt must be shorter than a text of {bench.data.inputs.shape[1]}, got {scheme.prompt}")
        return scheme

    def stages(self) -> list[Stage]:
        main = Stage("main", [Update("student", [self.student], self._losses)], share=1 - self.warm_up)
        if not self.warm_up:
            return [main]
        return [Stage("task", [Update("student", [self.student], self._task)], share=self.warm_up), main]

    def _task(self, batch: Batch) -> dict[str, Term]:
        return {"task": Term(batch.task.loss(batch.outputs(self.student), batch))}

    def _losses(self, batch: Batch) -> dict[str, Term]:
        own = self._writes(batch)
        terms = {}
        if self.task_weight:
            terms["task"] = Term(batch.task.loss(batch.outputs(self.student), batch), self.task_weight)
        student, teacher, mask = self._on_own_texts(batch) if own else self._on_the_data(batch)
        value = generalised_jsd_loss(student, teacher, mask, **self.divergence)
        flag = torch.tensor(float(own), device=batch.data.device)
        return {**terms, "gkd": Term(value, self.weight), "student_written": Term(flag, 0.0)}

    def _writes(self, batch: Batch) -> bool:
        """The flip of the coin for this step, on the host, so that no device is waited for."""
        return torch.rand((), generator=generator(batch.seed, "gkd", batch.clock.step)).item() < self.on_policy

    def _on_own_texts(self, batch: Batch) -> tuple[Tensor, Tensor, Bool[Tensor, "batch length"]]:
        tokens = self.texts(batch)
        student = self.student(tokens[:, :-1])
        with torch.no_grad():
            teacher = self.outside[0](tokens[:, :-1])
        return student.logits, teacher.logits, written(tokens, self.prompt, self.end)

    def _on_the_data(self, batch: Batch) -> tuple[Tensor, Tensor, Bool[Tensor, "batch length"]]:
        targets = batch.targets
        mask = (torch.arange(targets.shape[1], device=targets.device) >= self.prompt - 1).expand(targets.shape)
        if self.padding is not None:
            mask = mask & (targets != self.padding)
        return batch.outputs(self.student).logits, batch.outputs(*self.outside).logits, mask

    def texts(self, batch: Batch) -> Int[Tensor, "batch length"]:
        """The prompts of a batch, continued by the student to one token more than it reads, as the data are."""
        prompts = batch.inputs[:, : self.prompt]
        settings = {"temperature": self.sampling_temperature, "end": self.end}
        return sample(self.student, prompts, batch.inputs.shape[1] + 1, batch.generator("gkd"), **settings)

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


def writer_and_teacher(key: str, bench: Any) -> nn.Module:
    """The teacher of a bench whose data are texts, or a refusal."""
    if bench.teacher is None:
        raise Refusal(f"{key} matches a teacher, and the row has none")
    if not reads_tokens(bench.data):
        raise Refusal(f"{key} needs texts, rows of tokens, and the data are something else")
    if getattr(bench.teacher, "causal", True) is False:
        raise Refusal(f"{key} needs networks that write from left to right, and the teacher sees the whole text")
    return bench.teacher


ENTRIES = (Entry("gkd", "scheme", GKD, {}, "ICLR 2024, on-policy with the generalised Jensen-Shannon divergence"),)
