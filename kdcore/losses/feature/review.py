"""Knowledge review: what deep layers of the student have learned is put back beside its shallow ones."""

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
    reduce,
    refuse_out_of_range,
    squared_error,
)
from kdcore.losses.feature._norms import SteadyNorm2d
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Shape = tuple[int, int, int]  # channels, height, width
LEVELS = (4, 2, 1)  # sizes to which maps are pooled, the authors'
WIDEST = 512  # channels inside a fusion, at most
WARM_UP = 20 / 240  # the authors' 20 of 240 epochs


def reviewkd_loss(
    student_features: Float[Tensor, "batch channels height width"],
    teacher_features: Float[Tensor, "batch channels height width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match a map of the teacher as it is, and averaged to 4 x 4, 2 x 2 and one position, each half as heavy.

    .. math::
        L = \frac{\sum_l 2^{-l} \, \mathrm{mean} \, (P_l(F^s) - P_l(F^t))^2}{\sum_l 2^{-l}}, \quad
        P_0 = \mathrm{id}, \; P_1, P_2, P_3 \text{ average to } 4 \times 4, \, 2 \times 2, \, 1 \times 1

    Survey: si2023 section 2.2.2; note-hinton section 5, which tells the direction the wrong way round (errata N-01).
    Paper: {cite:t}`chen2021review`, its hierarchical loss for one stage.

    Args:
        student_features: what the fusions make of the student's layers, any floating type; float32 at least.
        teacher_features: the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only when both are equal.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps, or their shapes differ.

    Notes:
        A level that is no smaller than the map is left out, and the sum of the weights with it. The authors compare
        a level with the height alone; here it is the smaller side, so that no map is averaged to a larger one.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 1, 2, 2)
        >>> teacher = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]])  # 1 as it is, 0 on average, at half the weight
        >>> round(reviewkd_loss(student, teacher).item(), 4)
        0.6667
    """
    check_floating(student_features=student_features, teacher_features=teacher_features)
    check_same_shape(student_features=student_features, teacher_features=teacher_features)
    check_dimensions("batch channels height width", student_features=student_features)
    student, teacher = at_least_float32(student_features), at_least_float32(teacher_features.detach())
    total, weights, weight = squared_error(student, teacher) / student.flatten(1).shape[1], 1.0, 1.0
    pooled = [student, teacher]
    nested = all(side % LEVELS[0] == 0 for side in student.shape[2:])  # then an average of averages is the average
    for size in LEVELS:
        if size < min(student.shape[2:]):
            weight /= 2
            pooled = [F.adaptive_avg_pool2d(maps, size) for maps in (pooled if nested else (student, teacher))]
            total, weights = total + weight * squared_error(*pooled) / pooled[0].flatten(1).shape[1], weights + weight
    return reduce(total / weights, reduction)


class Fusion(nn.Module):
    """A student's layer, joined with what came down from the deeper ones, in the teacher's shape.

    Args:
        student: channels, height, width of the student's layer.
        teacher: of the teacher's.
        middle: channels of what is handed on to the next shallower layer.
        deepest: whether nothing comes from below.
    """

    def __init__(self, student: Shape, teacher: Shape, middle: int, *, deepest: bool = False):
        super().__init__()
        self.inside, self.outside = student[1:], teacher[1:]
        self.narrow = nn.Sequential(nn.Conv2d(student[0], middle, 1, bias=False), SteadyNorm2d(middle))
        self.widen = nn.Sequential(nn.Conv2d(middle, teacher[0], 3, padding=1, bias=False), SteadyNorm2d(teacher[0]))
        self.attention = None if deepest else nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid())
        for layers in (self.narrow, self.widen):
            nn.init.kaiming_uniform_(layers[0].weight, a=1)

    def forward(self, features: Tensor, deeper: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What is matched with the teacher, and what is handed on."""
        x = self.narrow(features)
        if self.attention is not None:
            deeper = F.interpolate(deeper, self.inside, mode="nearest")
            mine, its = self.attention(torch.cat([x, deeper], 1)).split(1, 1)
            x = x * mine + deeper * its
        if self.inside != self.outside:
            x = F.interpolate(x, self.outside, mode="nearest")
        return self.widen(x), x


class ReviewKD(Method):
    """Every layer of the teacher is learned by all of the student's layers that are as deep or deeper.

    From the deepest layer up, a student's layer is fused with what the deeper ones handed on, and the result is
    matched by `reviewkd_loss`. The layers are the named pairs of stages and, where both networks have one, the
    embedding as a map of one position. Maps differ in size: what is handed on is enlarged to the student's layer
    and the fused map then to the teacher's, by its nearest neighbour, both the authors'. The teacher's stages count
    before their last ReLU where it tells them, the student's after it.

    Args:
        student: channels, height, width of each matched layer, shallow to deep.
        teacher: of the teacher's.
        pairs: the matched stages.
        weight: at least 0. Default 8: the authors' for ResNet32x4 to ShuffleNetV2 (5 for their other ResNet32x4
            and WRN pairs, 0.6 for ResNet56 to ResNet20, 1 for ResNet110 to ResNet32).
        warm_up: part of the training over which the weight grows from 0. Default 20 of 240 epochs: the authors'.
    """

    def __init__(
        self,
        student: Sequence[Shape],
        teacher: Sequence[Shape],
        pairs: Pairs,
        *,
        weight: float = 8.0,
        warm_up: float = WARM_UP,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight, warm_up=warm_up)
        if not len(pairs) <= len(student) == len(teacher) <= len(pairs) + 1:
            raise Refusal(
                f"one shape is needed for each of {len(pairs)} pairs and perhaps one for the embedding, "
                f"got {len(student)} of the student and {len(teacher)} of the teacher"
            )
        self.pairs, self.weight, self.warm_up = tuple(pairs), weight, warm_up
        self.pooled, middle = len(student) > len(pairs), min(WIDEST, student[-1][0])
        sizes = list(zip(student, teacher))
        self.fusions = nn.ModuleList(Fusion(*size, middle) for size in sizes[:-1])
        self.fusions.append(Fusion(*sizes[-1], middle, deepest=True))

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        pairs = stage_pairs(setting, pairs)
        student = [tuple(setting.student.features[mine].shape[1:]) for mine, _ in pairs]
        teacher = [tuple(setting.teacher.features[theirs].shape[1:]) for _, theirs in pairs]
        if setting.student.embedding is not None and setting.teacher.embedding is not None:
            student.append((setting.student.embedding.shape[1], 1, 1))
            teacher.append((setting.teacher.embedding.shape[1], 1, 1))
        return cls(student, teacher, pairs, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine = [student.features[stage] for stage, _ in self.pairs]
        before = teacher.preactivations or teacher.features
        theirs = [before[stage] for _, stage in self.pairs]
        if self.pooled:
            mine.append(student.embedding[:, :, None, None])
            theirs.append(teacher.embedding[:, :, None, None])
        values, handed = [], None
        for fusion, its, target in reversed(list(zip(self.fusions, mine, theirs))):
            made, handed = fusion(its, handed)
            values.append(reviewkd_loss(made, target))
        return {"reviewkd": Term(torch.stack(values).sum(), self.weight_at)}

    def weight_at(self, progress: float) -> float:
        return self.weight * min(1.0, progress / self.warm_up) if self.warm_up else self.weight


ENTRIES = (Entry("reviewkd", "loss", ReviewKD, {}, "CVPR 2021; the weight of ResNet32x4 to ShuffleNetV2"),)
