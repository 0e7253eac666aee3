"""How strongly each channel answers: maps averaged over their positions, with the two companions of that loss."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_targets,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._alignment import check_channels, shapes_of
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.losses.response.distillation import kd_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

MILESTONES = (60 / 200, 160 / 200)  # the authors' epochs 60 and 160 of 200 on CIFAR-100


def channel_distillation_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match how strongly each channel of a layer answers, wherever in the image it does.

    .. math::
        L = \frac1C \sum_c (w_c^s - w_c^t)^2, \qquad w_c = \frac{1}{HW} \sum_{i,j} F_{c,i,j}

    Survey: zhao2026 section 3.3, in words.
    Paper: {cite:t}`zhou2020channel`, from the authors' code; the paper itself could not be read.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples and as many channels; sizes may differ; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where every channel's mean agrees; it grows with the square of the maps' scale.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and the same number of channels.

    Notes:
        The survey names the gates of a squeeze-and-excitation block as such weights; given as maps of one position
        they are matched by the same function.
        A channel's mean says how much it answers and nothing of where, the reverse of `at_loss`.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[4.0, 0.0]], [[1.0, 1.0]]]]), torch.tensor([[[[1.0]], [[1.0]]]])
        >>> channel_distillation_loss(student, teacher)
        tensor(0.5000)
    """
    check_channels(student_features, teacher_features)
    student, teacher = at_least_float32(student_features), at_least_float32(teacher_features.detach())
    return reduce((student.mean((2, 3)) - teacher.mean((2, 3))).square().mean(1), reduction)


def guided_kd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    temperature: float = 1.0,
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's softened answer where its first choice is right; a scalar, the mean over those examples.

    .. math::
        L = \frac{T^2}{|R|} \sum_{i \in R} \mathrm{KL}(p_i^t \,\|\, p_i^s), \qquad
        R = \{ i : \arg\max_k z^t_{i,k} = y_i \}

    Survey: zhao2026 section 3.3 cites the paper that it accompanies, and does not name it.
    Paper: {cite:t}`zhou2020channel`, from the authors' code; the paper itself could not be read.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        temperature: softens both answers, above 0. Default 1: the authors'.

    Returns:
        A value of at least 0, 0 where the teacher is right about no example.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or the temperature is not above 0.

    Notes:
        The authors divide by the number of examples that the teacher has right, which leaves 0 / 0 where it has none.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.75, 0.25], [0.75, 0.25]]).log()
        >>> student = torch.tensor([[0.5, 0.5], [0.1, 0.9]]).log()
        >>> round(guided_kd_loss(student, teacher, torch.tensor([0, 1])).item(), 4)
        0.1308
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_targets(targets, student_logits)
    check_range(temperature=(temperature, 0.0, False))
    each = kd_loss(student_logits, teacher_logits, temperature=temperature, reduction="none")
    right = (teacher_logits.argmax(1) == targets).to(each.dtype)
    return (each * right).sum() / right.sum().clamp_min(1)


class Connector(nn.Sequential):
    """A 1 x 1 convolution, batch norm and ReLU, as the authors put behind every layer of the student."""

    def __init__(self, student_channels: int, teacher_channels: int):
        super().__init__(
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False), nn.BatchNorm2d(teacher_channels), nn.ReLU()
        )


class ChannelDistillation(Method):
    """`channel_distillation_loss` summed over stages, beside `guided_kd_loss`; with `early_decay` both change in time.

    The early decay follows the authors' code: the weight of the channels is multiplied by `decay` after 60 and again
    after 160 of 200 epochs, and that of the guided answers is 0 for the first 60. The code switches the labels off
    for those 60 epochs too; that weight is the scheme's, and stays.

    Args:
        channels: the student's and the teacher's number of channels, for each pair.
        pairs: stages to match, as (student's, teacher's).
        weight: of the channels. Default 6: the authors', for CIFAR-100 and ImageNet.
        guided_weight: of the guided answers. Default 0.1: the authors', for CIFAR-100 (1 for ImageNet).
        temperature: of the guided answers. Default 1: the authors'.
        early_decay: whether the weights change in time. Default True: the authors' best row.
        decay: the factor. Default 0.9: the authors'.
    """

    def __init__(
        self,
        channels: tuple[tuple[int, int], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        weight: float = 6.0,
        guided_weight: float = 0.1,
        temperature: float = 1.0,
        early_decay: bool = True,
        decay: float = 0.9,
    ):
        super().__init__()
        if len(channels) != len(pairs):
            raise Refusal(f"each of the {len(pairs)} pairs needs its numbers of channels, got {len(channels)}")
        above_zero = {"temperature": temperature}
        refuse_out_of_range(above_zero=above_zero, weight=weight, guided_weight=guided_weight, decay=decay)
        self.pairs, self.weight, self.guided_weight = tuple(pairs), weight, guided_weight
        self.temperature, self.early_decay, self.decay = temperature, early_decay, decay
        self.connectors = nn.ModuleList(Connector(mine, theirs) for mine, theirs in channels)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        channels = tuple(tuple(shape[0] for shape in shapes_of(setting, pair)) for pair in matched)
        return cls(channels, matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        values = [
            channel_distillation_loss(connector(student.features[mine]), teacher.features[theirs])
            for connector, (mine, theirs) in zip(self.connectors, self.pairs)
        ]
        guided = guided_kd_loss(student.logits, teacher.logits, batch.targets, temperature=self.temperature)
        return {
            "channels": Term(torch.stack(values).sum(), self.weight_at),
            "guided_kd": Term(guided, self.guided_weight_at),
        }

    def weight_at(self, progress: float) -> float:
        passed = sum(progress >= milestone for milestone in MILESTONES) if self.early_decay else 0
        return self.weight * self.decay**passed

    def guided_weight_at(self, progress: float) -> float:
        return 0.0 if self.early_decay and progress < MILESTONES[0] else self.guided_weight


ENTRIES = (
    Entry("channel-distillation", "loss", ChannelDistillation, {}, "arXiv 2020, with its guided answers and decay"),
    Entry(
        "channel-distillation-alone",
        "loss",
        ChannelDistillation,
        {"guided_weight": 0.0, "early_decay": False},
        "arXiv 2020, its first row: channels alone, at a constant weight",
    ),
)
