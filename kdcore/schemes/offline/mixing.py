"""Distillation that asks the teacher less often: only about the samples that the student finds hard, mixed."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.response.distillation import kd_loss
from kdcore.losses.response.uncertainty import MEASURES
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update

Uncertainty = Literal["entropy", "margin", "least-confidence", "random"]


def mixing_weights(
    size: int, *, turning: float, sharpness: float, strength: float | Tensor = 1.0, device: torch.device | str = "cpu"
) -> Float[Tensor, " batch"]:
    r"""How much of a partner each sample takes in, by its place from the most uncertain to the least.

    .. math::
        m_r = \lambda \, \sigma \left( w \left( \frac rB - c + \frac1{2B} \right) \right), \quad r = 0 \ldots B - 1

    The uncertain are left almost as they are, the certain are mixed: they have little to teach alone.

    Args:
        size: B, samples of the batch.
        turning: c, the share of the batch at which half the strength is reached.
        sharpness: w, how abrupt the change is.
        strength: lambda, in 0 .. 1.
        device: where the weights are wanted.

    Example:
        >>> [round(weight, 2) for weight in mixing_weights(4, turning=0.5, sharpness=10).tolist()]
        [0.02, 0.22, 0.78, 0.98]
    """
    place = torch.arange(size, device=device) / size
    return strength * torch.sigmoid(sharpness * (place - turning + 1 / (2 * size)))


class UnixKD(Scheme):
    """Distillation on the most uncertain part of each batch, every sample mixed with a random other one.

    The student first answers the whole batch without a graph; the samples are ordered by its uncertainty and each is
    mixed with a random sample of the batch, the certain ones more (`mixing_weights`); the first `keep` of them are
    what teacher and student are asked about and what is learned. Mixed images depend on the student's weights, so
    they are this run's own and never shared. `asked` counts the images that the teacher has seen; the logged term
    ``teacher_forwards``, of weight 0, is that number for one step.

    Survey: si2023 section 2.1.
    Paper: {cite:t}`xu2020unix`, with the settings of its released CIFAR-100 code.

    Args:
        student: the network that learns and is delivered.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        keep: share of the batch that is learned, in (0, 1]. Default 0.75: 48 of 64.
        turning: share of the batch at which mixing reaches half its strength, in (0, 1]. Default 0.5: 32 of 64.
        sharpness: of that change, at least 0. Default 10: the authors'.
        uncertainty: ``entropy``, ``margin``, ``least-confidence``, or ``random`` for a ranking by chance. Default
            ``entropy``: the authors'.
        temperature: of the distillation, above 0. Default 4: the authors'.
        weight: of the distillation, at least 0. Default 1: the authors'.
        task_weight: of the labels, mixed as the images are, at least 0. Default 0: the authors'.

    Raises:
        Refusal: a setting is out of its range.

    Notes:
        The first answer moves the student's batch norms as every answer in train mode does, so they see two batches a
        step; the authors' code does the same. One strength a step is drawn for the whole batch, uniform in [0, 1]
        (their Beta distribution with both parameters 1).
        With ``keep=1``, ``turning=1`` and a very high sharpness nothing is mixed, and it is plain distillation: the
        authors run their baseline so.
        At 240 epochs of 64 images plain distillation costs a step ``64 (2 F_s + F_t)`` where the authors count a
        backward pass like a forward; this costs ``64 F_s + 48 (2 F_s + F_t)``.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        keep: float = 0.75,
        turning: float = 0.5,
        sharpness: float = 10.0,
        uncertainty: Uncertainty = "entropy",
        temperature: float = 4.0,
        weight: float = 1.0,
        task_weight: float = 0.0,
    ):
        super().__init__()
        for name, value in {"keep": keep, "turning": turning}.items():
            if not 0 < value <= 1:
                raise Refusal(f"{name} must lie above 0 and be at most 1, got {value:g}")
        refuse_out_of_range(
            above_zero={"temperature": temperature}, sharpness=sharpness, weight=weight, task_weight=task_weight
        )
        if uncertainty not in (*MEASURES, "random"):
            raise Refusal(f"uncertainty must be one of {', '.join(MEASURES)}, random, got {uncertainty!r}")
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.keep, self.turning, self.sharpness, self.uncertainty = keep, turning, sharpness, uncertainty
        self.temperature, self.weight, self.task_weight = temperature, weight, task_weight
        self.register_buffer("asked", torch.zeros((), dtype=torch.int64))

    @classmethod
    def build(cls, bench: Any, **settings: Any) -> Self:
        if bench.teacher is None:
            raise Refusal("unix-kd matches a teacher, and the row has none")
        return cls(bench.network("student"), bench.teacher, **settings)

    def stages(self) -> list[Stage]:
        return [Stage("main", [Update("student", [self.student], self._losses)])]

    def _losses(self, batch: Batch) -> dict[str, Term]:
        first, second, weights = self._chosen(batch)
        images = _mixed(batch.inputs, first, second, weights)
        student = self.student(images)
        with torch.no_grad():
            teacher = self.outside[0](images)
        self.asked += len(images)
        logits, targets = student.logits.float(), batch.targets
        labels = [F.cross_entropy(logits, targets[index], reduction="none") for index in (first, second)]
        return {
            "task": Term(torch.lerp(*labels, weights).mean(), self.task_weight),
            "kd": Term(kd_loss(logits, teacher.logits, temperature=self.temperature), self.weight),
            "teacher_forwards": Term(torch.tensor(float(len(images)), device=images.device), 0.0),
        }

    @torch.no_grad()
    def _chosen(self, batch: Batch) -> tuple[Int[Tensor, " kept"], Int[Tensor, " kept"], Float[Tensor, " kept"]]:
        """Positions in the batch that are learned, those they are mixed with, and how much of these."""
        size, random, device = len(batch.index), batch.generator("unix"), batch.data.device
        strength = torch.rand((), generator=random, device=device)
        partners = torch.randperm(size, generator=random, device=device)
        if self.uncertainty == "random":
            scores = torch.rand(size, generator=random, device=device)
        else:
            scores = MEASURES[self.uncertainty](batch.outputs(self.student).logits)
        hardest_first = scores.argsort(descending=True, stable=True)
        shape = {"turning": self.turning, "sharpness": self.sharpness, "strength": strength}
        kept = max(1, round(self.keep * size))
        return hardest_first[:kept], partners[:kept], mixing_weights(size, device=device, **shape)[:kept]

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


def _mixed(images: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """Images in [0, 1], each moved towards its partner by its weight."""
    if images.dtype == torch.uint8:
        images = images.float() / 255
    if not images.is_floating_point():
        raise TypeError(f"mixing needs images, uint8 or floating, got {images.dtype}")
    return torch.lerp(images[first], images[second], weights.view(-1, *[1] * (images.ndim - 1)))


ENTRIES = (Entry("unix-kd", "scheme", UnixKD, {}, "Pattern Recognition 2023, arXiv 2020"),)
