"""An ensemble compressed into one small network, by way of synthetic samples that the ensemble labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.randomness import generator
from kdcore.schemes.ensemble import MeanOf
from kdcore.schemes.offline._transfer import batch_of, transfer_set
from kdcore.schemes.offline.compression.munge import munge
from kdcore.types import Batch, Clock, Data, Entry, Refusal, Scheme, Stage, Task, Term, Update, take

Match = Literal["probabilities", "logits"]


class ModelCompression(Scheme):
    r"""A small network learns an ensemble's answers on samples that nobody labelled.

    Two stages. In ``ensemble`` every member learns the task, each from its own bootstrap sample. Before ``compress``
    training samples are turned into `copies` times as many synthetic ones (`munge`), which the ensemble labels with its
    answers; the student lowers, on those alone,

    .. math::
        L = \lVert \mathrm{softmax}(z^s) - \bar p \rVert_2^2 \;\text{(probabilities)}, \qquad
        L = \lVert z^s - \bar z \rVert_2^2 \;\text{(logits)}

    where the bar is the mean over members. It never sees a label or a real sample.

    Survey: zhao2026 sections 1 and 2.3 (as an example of hard labels: errata Z-26), huang2022 section 2.
    Paper: {cite:t}`bucila2006compression`.

    Args:
        student: the small network; it is delivered and ranked.
        members: three or more networks.
        data: the training set, for the number and shape of its samples; images count as rows of pixels.
        seed: of the synthetic samples.
        originals: training samples that synthetic ones are made from, at least 2, drawn without regard to their
            classes; all of them where there are fewer. Default 4000: ours, as the time that `munge` takes grows with
            the square of it (CIFAR's 50,000 would take days).
        copies: synthetic samples for each of these, at least 1. Default 10: ours. A run too short to draw so many makes
            fewer.
        swap: probability of an exchange, see `munge`.
        local_variance: see `munge`.
        nominal: indices of attributes that are names, see `munge`.
        match: what the squared error is taken on. Default ``probabilities``: the ensemble's outputs, as in the paper.
        bootstrap: whether each member draws its own training sample.

    Raises:
        Refusal: fewer than three members, or a setting out of its range.

    Notes:
        The paper selects its ensemble from a library of many kinds of models; here the members are networks, and
        their bootstrap samples and initial weights make them differ. Training the student takes as many steps as the
        run's recipe gives any student, however many synthetic samples there are.
        Samples and answers are buffers, so a resumed run learns from the very same ones.
    """

    def __init__(
        self,
        student: nn.Module,
        *members: nn.Module,
        data: Data,
        seed: int = 0,
        originals: int = 4000,
        copies: int = 10,
        swap: float = 0.5,
        local_variance: float = 5.0,
        nominal: Sequence[int] = (),
        match: Match = "probabilities",
        bootstrap: bool = True,
    ):
        super().__init__()
        if len(members) < 3:
            raise Refusal(f"model compression needs at least 3 members, got {len(members)}")
        if match not in ("probabilities", "logits"):
            raise Refusal(f"match must be 'probabilities' or 'logits', got {match!r}")
        if not 0 <= swap <= 1:
            raise Refusal(f"swap must lie in 0 .. 1, got {swap:g}")
        refuse_out_of_range(above_zero={"local_variance": local_variance, "copies": copies})
        if originals < 2:
            raise Refusal(f"originals must be at least 2, got {originals}")
        self.student, self.members, self.seed = student, nn.ModuleList(members), seed
        self.copies, self.originals = copies, min(originals, len(data))
        self.chance = {"swap": swap, "local_variance": local_variance, "nominal": tuple(nominal)}
        self.match, self.bootstrap, self.classes = match, bootstrap, data.classes
        made = copies * self.originals
        self.register_buffer("samples", torch.zeros(made, *data.inputs.shape[1:], device=data.device))
        self.register_buffer("answers", torch.zeros(made, data.classes, device=data.device))

    @classmethod
    def build(cls, bench: Any, *, members: int | Sequence[str | None] = 3, **settings: Any) -> Self:
        """From a bench: so many members of the row's student, or one for each architecture's name."""
        names = [None] * members if isinstance(members, int) else list(members)
        made = [bench.network(f"member{number}", name) for number, name in enumerate(names)]
        return cls(bench.network("student"), *made, data=bench.data, seed=bench.seed, **settings)

    def stages(self) -> list[Stage]:
        learning = [Update(f"member{i}", [member], partial(self._label, i)) for i, member in enumerate(self.members)]
        imitating = Stage("compress", [Update("student", [self.student], self._imitate)], between=self._prepare)
        return [Stage("ensemble", learning), imitating]

    def _label(self, number: int, batch: Batch) -> dict[str, Term]:
        own = batch
        if self.bootstrap:
            count, device = len(batch.data), batch.data.device
            drawn = torch.randint(count, (count,), generator=generator(batch.seed, "bootstrap", number)).to(device)
            own = batch.sibling(drawn[batch.index])
        return {"task": Term(own.task.loss(own.outputs(self.members[number]), own))}

    @torch.no_grad()
    def _prepare(self, data: Data, clock: Clock) -> None:
        """Make the transfer set once, when the ensemble stands finished before its imitation."""
        if clock.step:
            return
        copies = self._copies(clock, len(data))
        rows = attributes_of(take(data.inputs, self._drawn(len(data)).to(data.device))).cpu()
        made = munge(rows, generator(self.seed, "munge"), copies=copies, **self.chance)
        self.samples[: len(made)] = made.view(-1, *self.samples.shape[1:])
        for start in range(0, len(made), 1000):
            part = slice(start, min(start + 1000, len(made)))
            self.answers[part] = self._answer(self.samples[part])

    def _copies(self, clock: Clock, count: int) -> int:
        """How often the originals are gone through: no more than the stage's steps can see."""
        seen = clock.steps * math.ceil(count / clock.steps_per_epoch)
        return min(self.copies, math.ceil(seen / self.originals))

    def _drawn(self, count: int) -> Tensor:
        if count == self.originals:
            return torch.arange(count)
        return torch.randperm(count, generator=generator(self.seed, "originals"))[: self.originals]

    def _answer(self, samples: Tensor) -> Tensor:
        if self.match == "probabilities":
            return MeanOf(*self.members)(samples).logits.exp()
        return torch.stack([member(samples).logits.float() for member in self.members]).mean(0)

    def _imitate(self, batch: Batch) -> dict[str, Term]:
        made = self._copies(batch.clock, len(batch.data)) * self.originals
        drawn = batch_of(transfer_set(self.samples[:made], self.answers[:made], Task(), self.classes), batch)
        said = drawn.outputs(self.student).logits.float()
        said = said.softmax(1) if self.match == "probabilities" else said
        return {"imitation": Term((said - drawn.targets).square().sum(1).mean())}

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student, "ensemble": MeanOf(*self.members)}


def attributes_of(inputs: Any) -> Tensor:
    """Samples as rows of numbers, images in [0, 1] as their pixels."""
    if not isinstance(inputs, Tensor):
        raise TypeError(f"samples must be one tensor, got {type(inputs).__name__}")
    rows = inputs.flatten(1)
    return rows.float() / 255 if rows.dtype == torch.uint8 else rows.float()


ENTRIES = (
    Entry(
        "model-compression",
        "scheme",
        ModelCompression,
        {},
        "KDD 2006; the ensemble's members are networks",
        revision=2,
    ),
)
