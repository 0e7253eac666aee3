"""Maps of two networks side by side: checked, widened, brought to one size and one number of channels."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses._common import at_least_float32, check_dimensions, check_floating
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Outputs, Refusal, Setting

Shape = tuple[int, int, int]  # channels, height, width


def check_maps(student_features: Tensor, teacher_features: Tensor) -> None:
    """Both are maps of the same examples."""
    check_floating(student_features=student_features, teacher_features=teacher_features)
    meaning = "batch channels height width"
    check_dimensions(meaning, student_features=student_features, teacher_features=teacher_features)
    if len(student_features) != len(teacher_features):
        raise ValueError(
            "student_features and teacher_features must hold the same examples, "
            f"got {len(student_features)} and {len(teacher_features)} of them"
        )


def check_channels(student_features: Tensor, teacher_features: Tensor) -> None:
    """Maps of the same examples that are compared channel by channel."""
    check_maps(student_features, teacher_features)
    mine, theirs = student_features.shape[1], teacher_features.shape[1]
    if mine != theirs:
        raise ValueError(
            f"student_features and teacher_features must have the same number of channels, got {mine} and {theirs}"
        )


def aligned(student_features: Tensor, teacher_features: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 at least, averaged down to the smaller height and width; the teacher's cut off its graph."""
    student, teacher = at_least_float32(student_features), at_least_float32(teacher_features.detach())
    size = [min(mine, theirs) for mine, theirs in zip(student.shape[2:], teacher.shape[2:])]
    return shrunk(student, size), shrunk(teacher, size)


def shrunk(maps: Tensor, size: list[int]) -> Tensor:
    return maps if list(maps.shape[2:]) == size else F.adaptive_avg_pool2d(maps, size)


# ---------------------------------------------------------------- building


def shapes_of(setting: Setting, pair: tuple[int, int]) -> tuple[Shape, Shape]:
    """Channels, height and width of a pair of stages."""
    mine, theirs = pair
    student, teacher = setting.student.features[mine], setting.teacher.features[theirs]
    return tuple(student.shape[1:]), tuple(teacher.shape[1:])


def on_preactivations(setting: Setting, pairs: Pairs | None) -> tuple[Setting, tuple[tuple[int, int], ...]]:
    """The setting with pre-activations in the place of features, and the pairs of stages; refused without any."""
    for whose, outputs in (("student", setting.student), ("teacher", setting.teacher)):
        if not outputs.preactivations:
            raise Refusal(f"the sign of a layer is matched before its ReLU, and the {whose} names no pre-activations")
    moved = replace(setting, student=_moved(setting.student), teacher=_moved(setting.teacher))
    return moved, stage_pairs(moved, pairs)


def _moved(outputs: Outputs) -> Outputs:
    return replace(outputs, features=outputs.preactivations)


def pointwise(student_channels: int, teacher_channels: int) -> nn.Module:
    """Nothing where the numbers of channels agree, else a 1 x 1 convolution from the student's to the teacher's."""
    if student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, 1, bias=False)
