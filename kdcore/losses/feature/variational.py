"""Maps as random variables: how much of the teacher's a regression from the student's leaves unknown."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import Reduction, at_least_float32, check_floating, check_range, reduce, refuse_out_of_range
from kdcore.losses.feature._alignment import aligned, check_channels, shapes_of, shrunk
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term

FLOOR = 1e-5  # the smallest variance


def vid_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    variance_logits: Float[Tensor, " channels"],
    *,
    floor: float = FLOOR,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match maps as a normal distribution around the student's prediction, its variance learned for each channel.

    .. math::
        L = \frac{1}{CHW} \sum_{c,i} \frac12 \left( \frac{(t_{c,i} - s_{c,i})^2}{\sigma_c^2} + \log \sigma_c^2 \right),
        \qquad \sigma_c^2 = \log(1 + e^{a_c}) + \epsilon

    Survey: none; huang2022 section 4.2 names divergences and squared errors as the usual distances.
    Paper: {cite:t}`ahn2019vid`, as in RepDistiller, which names the authors' code as its source.

    Args:
        student_features: what a regression makes of the student's maps, any floating type; computed in float32 at
            least.
        teacher_features: maps of the same examples and as many channels; sizes may differ; taken as a constant.
        variance_logits: ``a``, one a channel, learned; gradients reach it.
        floor: ``epsilon``, above 0. Default 1e-5: RepDistiller.
        reduction: over examples.

    Returns:
        The negative log-likelihood in nats, a mean over channels and positions, without its constant: of any sign.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and channels, logits do not fit, or the floor is not above 0.

    Notes:
        With all variances fixed at 1 it is half the mean squared error, so what it adds is that channels which cannot
        be predicted are given up. In mdistiller the variances never reach the optimiser and stay at 5.
        Of two sizes the larger maps are averaged down to the smaller, as RepDistiller does.

    Example:
        >>> import torch
        >>> one = torch.tensor([1.0]).expm1().log()  # the logit of variance 1
        >>> student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]])
        >>> round(vid_loss(student, teacher, one).item(), 3)
        2.5
    """
    check_channels(student_features, teacher_features)
    check_floating(variance_logits=variance_logits)
    check_range(floor=(floor, 0.0, False))
    channels = teacher_features.shape[1]
    if variance_logits.shape != (channels,):
        raise ValueError(
            f"variance_logits must have shape ({channels},), one a channel, got {tuple(variance_logits.shape)}"
        )
    student, teacher = aligned(student_features, teacher_features)
    variance = F.softplus(at_least_float32(variance_logits)) + floor
    squares = (teacher - student).square().mean((2, 3))
    return reduce((squares / variance + variance.log()).mean(1) / 2, reduction)


class Regression(nn.Module):
    """Three 1 x 1 convolutions without biases and without norms, and the variances' logits, as in RepDistiller."""

    def __init__(self, student_channels: int, teacher_channels: int, variance: float):
        super().__init__()
        sizes = [student_channels] + [teacher_channels] * 3
        first, second, third = (nn.Conv2d(a, b, 1, bias=False) for a, b in pairwise(sizes))
        self.mean = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.variance_logits = nn.Parameter(torch.full((teacher_channels,), math.log(math.expm1(variance - FLOOR))))

    def forward(self, maps: Tensor) -> Tensor:
        return self.mean(maps)


class VID(Method):
    """`vid_loss` summed over stages, with a regression and learned variances for each.

    Args:
        channels: the student's and the teacher's number of channels, for each pair.
        pairs: stages to match, as (student's, teacher's).
        variance: at the start, of every channel. Default 5: RepDistiller.
        weight: of the sum. Default 1: RepDistiller, mdistiller, Knowledge-Distillation-Zoo.
    """

    def __init__(
        self,
        channels: tuple[tuple[int, int], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        variance: float = 5.0,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"variance": variance - FLOOR}, weight=weight)
        self.pairs, self.weight = tuple(pairs), weight
        self.regressions = nn.ModuleList(Regression(mine, theirs, variance) for mine, theirs in channels)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        channels = tuple(tuple(shape[0] for shape in shapes_of(setting, pair)) for pair in matched)
        return cls(channels, matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        values = [
            self._one(regression, student.features[mine], teacher.features[theirs])
            for regression, (mine, theirs) in zip(self.regressions, self.pairs)
        ]
        return {"vid": Term(torch.stack(values).sum(), self.weight)}

    def _one(self, regression: Regression, student: Tensor, teacher: Tensor) -> Tensor:
        """A larger map of the student is averaged down before its regression."""
        size = [min(mine, theirs) for mine, theirs in zip(student.shape[2:], teacher.shape[2:])]
        return vid_loss(regression(shrunk(student, size)), teacher, regression.variance_logits)


ENTRIES = (Entry("vid", "loss", VID, {}, "CVPR 2019, as in RepDistiller"),)
