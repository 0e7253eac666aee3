"""Semantic calibration: every layer of the student asks which layers of the teacher speak its language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_same_shape,
    full_precision,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._norms import SteadyNorm2d
from kdcore.losses.feature._stages import Stages, named_stages
from kdcore.losses.response.distillation import kd_loss
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term


def semckd_loss(
    student_distances: Float[Tensor, "batch student_layers teacher_layers"],
    fit: Float[Tensor, "batch student_layers teacher_layers"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match each layer of the student with all of the teacher's, the more the better their meanings agree.

    .. math::
        L = \frac1S \sum_s \sum_t \alpha_{st} \, d_{st}, \quad \alpha_{st} = \frac{e^{a_{st}}}{\sum_{t'} e^{a_{st'}}}

    Survey: si2023 section 2.2.2, which has the teacher's maps summed into one target where the loss weighs pairs of
    layers (errata S-14).
    Paper: {cite:t}`chen2021semckd`, as its authors' code has it.

    Args:
        student_distances: how far each layer of the student, projected, is from each of the teacher's, for each
            example; the authors take the mean squared difference of the maps. Any floating type; float32 at least.
        fit: how well two layers go together, unnormalised; `SemCKD` takes the product of a query of the student's
            layer with a key of the teacher's.
        reduction: over examples.

    Returns:
        A mean of the distances, with their sign and scale: 0 where all those are 0 that are attended to.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: their shapes differ.

    Notes:
        The fit learns too, through both networks' layers: nothing is taken as a constant here, so the teacher's maps
        must be cut off their graph before, as `SemCKD` does. A fit can only lower the loss by moving to the pairs
        that are near already.

    Example:
        >>> import torch
        >>> distances = torch.tensor([[[1.0, 3.0]]])  # one layer of the student, two of the teacher
        >>> semckd_loss(distances, torch.zeros(1, 1, 2)).item()
        2.0
    """
    check_attended(student_distances, fit)
    attention = at_least_float32(fit).softmax(2)
    return reduce((attention * at_least_float32(student_distances)).sum(2).mean(1), reduction)


def check_attended(student_distances: Tensor, fit: Tensor) -> None:
    check_floating(student_distances=student_distances, fit=fit)
    check_same_shape(student_distances=student_distances, fit=fit)
    check_dimensions("batch student_layers teacher_layers", student_distances=student_distances)


class Meaning(nn.Module):
    """A vector of length 1 for each example, from its similarities with the examples of its batch."""

    def __init__(self, anchors: int, size: int):
        super().__init__()
        self.first, self.last = nn.Linear(anchors, 2 * size), nn.Linear(2 * size, size)

    def forward(self, similarities: Tensor) -> Tensor:
        return F.normalize(self.last(F.relu(self.first(similarities))))


def projection(inside: int, outside: int) -> nn.Sequential:
    """Two norms and three convolutions, of which the middle one looks around; the authors'."""
    middle = 2 * outside
    return nn.Sequential(
        nn.Conv2d(inside, middle, 1, bias=False),
        SteadyNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, middle, 3, padding=1, bias=False),
        SteadyNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, outside, 1, bias=False),
    )


class SemCKD(Method):
    """`semckd_loss` over all pairs of layers, beside plain distillation and the labels: 400, 1 and 1, the authors'.

    The fit of two layers is the product of two vectors of length one, each read off an example's similarities with
    the others of its batch: what two layers find alike they mean alike. So the authors' code wants batches of one
    size. Here an example is described by its similarities with the first `anchors` examples of the batch:
    with 64 of 64 that is theirs, a smaller batch is filled up with zeros. Maps differ in size: the larger of a pair
    is averaged down to the smaller, and the student's then projected to the teacher's channels, both the authors'.

    Args:
        student: channels of each layer of the student.
        teacher: of the teacher's.
        stages: which stages the layers are, of the student and of the teacher; all unless given to `build`.
        anchors: examples that similarities are taken with. Default 64: the authors' batch.
        factor: how much smaller a meaning is than the number of anchors. Default 4: the authors'.
        temperature: of the plain distillation. Default 4: the authors'.
        kd_weight: of the plain distillation. Default 1: the authors' script.
        weight: of `semckd_loss`. Default 400: the authors' script, ResNet32x4 to ResNet8x4.
    """

    def __init__(
        self,
        student: Sequence[int],
        teacher: Sequence[int],
        stages: tuple[Stages, Stages],
        *,
        anchors: int = 64,
        factor: int = 4,
        temperature: float = 4.0,
        kd_weight: float = 1.0,
        weight: float = 400.0,
    ):
        super().__init__()
        above_zero = {"anchors": anchors, "factor": factor, "temperature": temperature}
        refuse_out_of_range(above_zero=above_zero, kd_weight=kd_weight, weight=weight)
        self.stages, self.anchors, self.temperature = stages, anchors, temperature
        self.kd_weight, self.weight = kd_weight, weight
        size = max(1, anchors // factor)
        self.asked = nn.ModuleList(Meaning(anchors, size) for _ in student)
        self.offered = nn.ModuleList(Meaning(anchors, size) for _ in teacher)
        self.projections = nn.ModuleList(
            nn.ModuleList(projection(mine, theirs) for theirs in teacher) for mine in student
        )

    @classmethod
    def build(
        cls,
        setting: Setting,
        *,
        student_stages: Stages | None = None,
        teacher_stages: Stages | None = None,
        **settings: Any,
    ) -> Self:
        return cls(*layers_of(setting, student_stages, teacher_stages), **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine = [student.features[stage] for stage in self.stages[0]]
        theirs = [teacher.features[stage].detach() for stage in self.stages[1]]
        queries, keys = self._meanings(self.asked, mine), self._meanings(self.offered, theirs)
        fit = (queries[:, :, None] * keys[:, None]).sum(3)
        kd = kd_loss(student.logits, teacher.logits, temperature=self.temperature)
        value = semckd_loss(self._distances(mine, theirs), fit)
        return {"semckd": Term(value, self.weight), "semckd_kd": Term(kd, self.kd_weight)}

    def _meanings(self, readers: nn.ModuleList, layers: list[Tensor]) -> Float[Tensor, "batch layers size"]:
        read = [reader(self._similarities(maps)) for reader, maps in zip(readers, layers)]
        return at_least_float32(torch.stack(read, 1))

    def _similarities(self, maps: Tensor) -> Tensor:
        """Products of the maps with those of the first examples, one row an example, filled up with zeros."""
        with full_precision(maps):
            rows = at_least_float32(maps).flatten(1)
            products = rows @ rows[: self.anchors].T
        return F.pad(products, (0, self.anchors - products.shape[1]))

    def _distances(self, mine: list[Tensor], theirs: list[Tensor]) -> Float[Tensor, "batch students teachers"]:
        rows = [
            torch.stack([_distance(project, s, t) for project, t in zip(projections, theirs)], 1)
            for projections, s in zip(self.projections, mine)
        ]
        return torch.stack(rows, 1)


def layers_of(
    setting: Setting, student_stages: Stages | None, teacher_stages: Stages | None
) -> tuple[list[int], list[int], tuple[Stages, Stages]]:
    """Channels of each network's named layers, of all where none is named, and which they are."""
    student, teacher = setting.student, setting.teacher
    stages = named_stages("student", student, student_stages), named_stages("teacher", teacher, teacher_stages)
    channels = [[said.features[stage].shape[1] for stage in named] for said, named in zip((student, teacher), stages)]
    return *channels, stages


def _distance(project: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two maps for each example, at the smaller of both sizes."""
    size = [min(sides) for sides in zip(student.shape[2:], teacher.shape[2:])]
    student, teacher = (F.adaptive_avg_pool2d(maps, size) for maps in (student, teacher))
    return (at_least_float32(project(student)) - at_least_float32(teacher)).square().flatten(1).mean(1)


ENTRIES = (Entry("semckd", "loss", SemCKD, {}, "AAAI 2021, the authors' code, with plain distillation beside it"),)
