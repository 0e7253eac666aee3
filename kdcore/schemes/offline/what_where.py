"""Which channels to learn from which layer, decided by what learning from them does to the labels' loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, refuse_out_of_range
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.randomness import seeded
from kdcore.recipe import Recipe
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update

Weights = dict[str, Tensor]
LARGEST = 6.0  # of a pair's weight, the authors'


class Transfer(NamedTuple):
    """What is transferred between two layers, for each example.

    Attributes:
        channels: a share of each of the teacher's channels; they sum to one.
        pair: how much the pair of layers counts.
    """

    channels: Float[Tensor, "batch channels"]
    pair: Float[Tensor, " batch"]


def feature_matching(
    student_features: Float[Tensor, "batch channels height width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    transfer: Transfer,
) -> Float[Tensor, ""]:
    r"""Match a map channel by channel, each weighed for each example; a scalar, the mean over examples.

    .. math::
        L = \frac1B \sum_x \lambda(x) \sum_c w_c(x) \, \frac1{HW} \sum_{ij} (r(F^s)_{cij} - F^t_{cij})^2

    The teacher's map is brought to the student's size by linear interpolation. Gradients reach the weights too.

    Example:
        >>> student, teacher = torch.zeros(1, 2, 1, 1), torch.tensor([[[[1.0]], [[2.0]]]])
        >>> feature_matching(student, teacher, Transfer(torch.tensor([[0.5, 0.5]]), torch.tensor([2.0]))).item()
        5.0
    """
    student, teacher = at_least_float32(student_features), at_least_float32(teacher_features.detach())
    if student.shape[2:] != teacher.shape[2:]:
        teacher = F.interpolate(teacher, student.shape[2:], mode="bilinear")
    each = (student - teacher).square().mean((2, 3))
    return (transfer.pair * (transfer.channels * each).sum(1)).mean()


class MetaNetworks(nn.Module):
    """Two linear layers for each pair, reading the means of the teacher's channels: what to transfer, and where.

    Args:
        channels: of the teacher's layer of each pair.
    """

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        self.what = nn.ModuleList(nn.Linear(size, size) for size in channels)
        self.where = nn.ModuleList(nn.Linear(size, 1) for size in channels)
        for what, where in zip(self.what, self.where):
            nn.init.zeros_(what.weight)
            nn.init.zeros_(what.bias)
            nn.init.ones_(where.bias)

    def forward(self, teacher_features: Sequence[Tensor]) -> list[Transfer]:
        means = [at_least_float32(maps).mean((2, 3)) for maps in teacher_features]
        return [
            Transfer(what(mean).softmax(1), where(mean)[:, 0].clamp(0, LARGEST))
            for what, where, mean in zip(self.what, self.where, means)
        ]


class L2TWW(Scheme):
    r"""The student learns the labels and what two meta-networks choose of the teacher, and they what serves the labels.

    .. math::
        L = \mathrm{CE} + \beta \, W(\theta, \phi), \quad
        W = \sum_{m,n} \lambda_{mn} \sum_c w_{mn,c} \, \mathrm{mean} \, (r_{mn}(F^s_n)_c - F^t_{m,c})^2

    After each of the student's steps the meta-networks :math:`\phi` take one of their own: from where the student
    stands now it takes `inner` steps on W alone and one on the labels, all on the batch at hand, and
    :math:`\phi` goes down the gradient of the label loss at their end, through all these steps. Then the student is
    put back where it stood.

    Survey: si2023 section 2.2.2.
    Paper: {cite:t}`jang2019learning`, with the settings of the authors' code.

    Args:
        student: the network that learns and is delivered.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        channels: of the student's and of the teacher's layer, for each pair.
        pairs: the student's and the teacher's stage of each pair.
        recipe: the run's, for the rate of the inner steps.
        inner: steps on W alone, at least 1. Default 2: the authors'.
        weight: beta, at least 0. Default 0.5: the authors'.
        meta_rate: of the meta-networks' Adam, above 0. Default 1e-4: the authors', with a weight decay of 1e-4.

    Raises:
        Refusal: no pair, or a setting out of its range.

    Notes:
        Inner steps are plain gradient steps at the run's present learning rate; in the authors' code they carry
        momentum and weight decay too. Batch norms use the batch's own statistics in them, and the running ones stay.
        The authors match every block's end of small networks and the ends of four stages of large ones; here it is
        the stages. A step costs ``inner + 3`` forward passes of the student and a second derivative.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        channels: Sequence[tuple[int, int]],
        pairs: Pairs,
        recipe: Recipe,
        *,
        inner: int = 2,
        weight: float = 0.5,
        meta_rate: float = 1e-4,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"inner": inner, "meta_rate": meta_rate}, weight=weight)
        if not pairs or len(channels) != len(pairs):
            raise Refusal(f"channels are needed for each of at least one pair, got {len(channels)} for {len(pairs)}")
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.pairs, self.recipe = tuple(tuple(pair) for pair in pairs), recipe
        self.inner, self.weight, self.meta_rate = inner, weight, meta_rate
        self.regressors = nn.ModuleList(nn.Conv2d(mine, theirs, 1) for mine, theirs in channels)
        self.meta = MetaNetworks([theirs for _, theirs in channels])

    @classmethod
    def build(cls, bench: Any, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        """From a bench: the named pairs, or every stage of the student with every stage of the teacher."""
        if bench.teacher is None:
            raise Refusal("l2t-ww transfers from a teacher, and the row has none")
        mine, theirs = bench.setting.student.features, bench.setting.teacher.features
        found = stage_pairs(bench.setting, pairs or list(product(range(len(mine)), range(len(theirs)))))
        channels = [(mine[n].shape[1], theirs[m].shape[1]) for n, m in found]
        given = bench.network("student"), bench.teacher, channels, found, bench.recipe
        return seeded(lambda: cls(*given, **settings), bench.seed, "init", "l2t-ww").to(bench.data.device)

    def stages(self) -> list[Stage]:
        meta = replace(
            self.recipe,
            optimizer="adam",
            learning_rate=self.meta_rate,
            momentum=0.9,
            weight_decay=1e-4,
            schedule="constant",
        )
        updates = [
            Update("student", [self.student, self.regressors], self._losses),
            Update("meta", [self.meta], self._meta_losses, recipe=meta),
        ]
        return [Stage("main", updates)]

    def _losses(self, batch: Batch) -> dict[str, Term]:
        student = batch.outputs(self.student)
        with torch.no_grad():
            transfers = self._transfers(batch)
        matched = self._matching(student, batch, transfers, dict(self.regressors.named_parameters()))
        return {"task": Term(batch.task.loss(student, batch)), "l2t_ww": Term(matched, self.weight)}

    def _transfers(self, batch: Batch) -> list[Transfer]:
        return self.meta([self._target(batch, m) for _, m in self.pairs])

    def _target(self, batch: Batch, stage: int) -> Tensor:
        return batch.outputs(*self.outside).features[stage]

    def _matching(
        self, student: Outputs, batch: Batch, transfers: Sequence[Transfer], regressors: Mapping[str, Tensor]
    ) -> Tensor:
        values = []
        for number, ((n, m), transfer) in enumerate(zip(self.pairs, transfers)):
            made = F.conv2d(student.features[n], regressors[f"{number}.weight"], regressors[f"{number}.bias"])
            values.append(feature_matching(made, self._target(batch, m), transfer))
        return torch.stack(values).sum()

    def _meta_losses(self, batch: Batch) -> dict[str, Term]:
        """The label loss after some steps on what the meta-networks chose and one on the labels."""
        transfers, rate = self._transfers(batch), self.recipe.rate(batch.clock.progress)
        student = {name: weight.detach().requires_grad_() for name, weight in self.student.named_parameters()}
        regressors = {name: weight.detach().requires_grad_() for name, weight in self.regressors.named_parameters()}
        for _ in range(self.inner):
            matched = self.weight * self._matching(self._imagined(student, batch), batch, transfers, regressors)
            both = _stepped({"student": student, "regressors": regressors}, matched, rate)
            student, regressors = both["student"], both["regressors"]
        task = batch.task.loss(self._imagined(student, batch), batch)
        student = _stepped({"student": student}, task, rate)["student"]
        return {"after": Term(batch.task.loss(self._imagined(student, batch), batch))}

    def _imagined(self, weights: Weights, batch: Batch) -> Outputs:
        """The student's answer if it had these weights; nothing of the real one moves."""
        buffers = {name: value.clone() for name, value in self.student.named_buffers()}
        return torch.func.functional_call(self.student, weights | buffers, (batch.inputs,))

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


def _stepped(groups: Mapping[str, Weights], loss: Tensor, rate: float) -> dict[str, Weights]:
    """The weights after a plain gradient step, through which a later gradient can go; what takes no part stays."""
    flat = {(group, name): weight for group, weights in groups.items() for name, weight in weights.items()}
    slopes = torch.autograd.grad(loss, list(flat.values()), create_graph=True, allow_unused=True)
    stepped: dict[str, Weights] = {group: {} for group in groups}
    for ((group, name), weight), slope in zip(flat.items(), slopes):
        stepped[group][name] = weight if slope is None else weight - rate * slope
    return stepped


ENTRIES = (Entry("l2t-ww", "scheme", L2TWW, {}, "ICML 2019, between stages"),)
