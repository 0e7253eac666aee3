"""Maps before their ReLU, compared only where the teacher's value will pass it or the student's stands above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import Reduction, at_least_float32, check_floating, reduce, refuse_out_of_range
from kdcore.losses.feature._alignment import aligned, check_channels, on_preactivations, shapes_of
from kdcore.losses.feature._stages import Pairs
from kdcore.losses.feature._tracing import norms_before
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

RARELY = 1e-3  # how likely a negative value must be for its mean to be taken; else three standard deviations stand in


def ofd_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    margins: Float[Tensor, " channels"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match pre-activations where it matters behind the ReLU, the teacher's cut off from below at a margin.

    .. math::
        L = \sum_i \begin{cases} 0 & s_i \le \sigma_i \le 0 \\ (s_i - \sigma_i)^2 & \text{otherwise} \end{cases},
        \qquad \sigma_i = \max(t_i, m_{c(i)})

    Survey: none; huang2022 section 4.2 tells why activations need a choice.
    Paper: {cite:t}`heo2019overhaul`, as in the authors' code.

    Args:
        student_features: pre-activations behind the connector, any floating type; computed in float32 at least.
        teacher_features: pre-activations of the same examples and as many channels; sizes may differ; taken as a
            constant.
        margins: of each channel, usually negative (`closed_margins`, `measured_margins`); taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0 that grows with the number of positions and channels.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and channels, or the margins do not fit.

    Notes:
        Below a non-positive target the student is left alone: behind the ReLU both are zero.
        Of two sizes the larger maps are averaged down to the smaller, as mdistiller does with the teacher's.

    Example:
        >>> import torch
        >>> student = torch.tensor([-3.0, 0.0, 0.0, 0.0]).view(1, 1, 1, 4)
        >>> teacher = torch.tensor([-2.0, -2.0, -0.5, 2.0]).view(1, 1, 1, 4)
        >>> ofd_loss(student, teacher, torch.tensor([-1.0]))  # 0, 1, 0.25 and 4
        tensor(5.2500)
    """
    check_channels(student_features, teacher_features)
    check_floating(margins=margins)
    channels = teacher_features.shape[1]
    if margins.shape != (channels,):
        raise ValueError(f"margins must have shape ({channels},), one a channel, got {tuple(margins.shape)}")
    student, teacher = aligned(student_features, teacher_features)
    target = torch.maximum(teacher, margins.detach().to(teacher.dtype)[:, None, None])
    counts = (student > target) | (target > 0)
    return reduce(((student - target).square() * counts).flatten(1).sum(1), reduction)


# ---------------------------------------------------------------- margins


def closed_margins(scale: Tensor, shift: Tensor) -> Float[Tensor, " channels"]:
    r"""The mean of a channel's negative values, known from the batch norm that it comes from.

    A channel behind a batch norm is taken as normal with mean ``shift`` and standard deviation ``|scale|``:

    .. math::
        m = \mu - \sigma \frac{\varphi(\mu / \sigma)}{\Phi(-\mu / \sigma)}

    Where less than one value in a thousand is negative the margin is :math:`-3 \sigma`, as in the authors' code.

    Example:
        >>> closed_margins(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0]))
        tensor([-0.7979, -1.5958])
    """
    spread, mean = scale.detach().double().abs().clamp_min(torch.finfo(torch.float64).tiny), shift.detach().double()
    ratio = mean / spread
    density = -0.5 * ratio.square() - 0.5 * math.log(2 * math.pi)
    below_zero = mean - spread * (density - torch.special.log_ndtr(-ratio)).exp()
    rare = torch.special.ndtr(-ratio) <= RARELY
    return torch.where(rare, -3 * spread, below_zero).to(shift.dtype)


def measured_margins(preactivations: Float[Tensor, "batch channels height width"]) -> Float[Tensor, " channels"]:
    """The mean of a channel's negative values in this batch, 0 where it has none."""
    values = at_least_float32(preactivations.detach())
    return values.clamp_max(0).sum((0, 2, 3)) / (values < 0).sum((0, 2, 3)).clamp_min(1)


class Margins(nn.Module):
    """Margins of the teacher's stages: from its batch norms where it has them, else from every batch anew.

    Which norm a pre-activation comes from is found at the first step by watching the teacher answer one image; where
    a shortcut is added, the norm on the main path counts, as in the authors' code.
    """

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        for number, count in enumerate(channels):
            self.register_buffer(f"margin{number}", torch.zeros(count))
        self.closed = [False] * len(channels)
        self.looked = False

    def look(self, teacher: Outputs, batch: Batch, stages: Sequence[int]) -> None:
        """Once a run, and once more after an interruption, with the same result."""
        if self.looked or not isinstance(teacher.ask, nn.Module):
            return
        norms = norms_before(teacher.ask, batch.inputs[:1])
        for number, stage in enumerate(stages):
            norm = norms[stage] if stage < len(norms) else None
            if norm is not None:
                getattr(self, f"margin{number}").copy_(closed_margins(norm.weight, norm.bias))
                self.closed[number] = True
        self.looked = True

    def forward(self, number: int, preactivations: Tensor) -> Float[Tensor, " channels"]:
        return getattr(self, f"margin{number}") if self.closed[number] else measured_margins(preactivations)


# ---------------------------------------------------------------- method


class Connector(nn.Sequential):
    """A 1 x 1 convolution and a batch norm, with the authors' initial weights."""

    def __init__(self, student_channels: int, teacher_channels: int):
        convolution = nn.Conv2d(student_channels, teacher_channels, 1, bias=False)
        nn.init.normal_(convolution.weight, 0.0, math.sqrt(2 / teacher_channels))
        super().__init__(convolution, nn.BatchNorm2d(teacher_channels))


class OFD(Method):
    """`ofd_loss` summed over stages, each with half the weight of the next deeper one.

    The teacher stays in eval mode; the authors' code and mdistiller leave it in train mode. A student's map that is
    larger than the teacher's is averaged down behind the connector.

    Args:
        channels: the student's and the teacher's number of channels, for each pair.
        pairs: stages to match, as (student's, teacher's), shallow to deep.
        weight: of the sum. Default 0.001: the authors', for CIFAR-100 (they advise less for other networks).
    """

    def __init__(
        self,
        channels: tuple[tuple[int, int], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        weight: float = 0.001,
    ):
        super().__init__()
        if len(channels) != len(pairs):
            raise Refusal(f"each of the {len(pairs)} pairs needs its numbers of channels, got {len(channels)}")
        refuse_out_of_range(weight=weight)
        self.pairs, self.weight = tuple(pairs), weight
        self.connectors = nn.ModuleList(Connector(mine, theirs) for mine, theirs in channels)
        self.margins = Margins([theirs for _, theirs in channels])

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        before, matched = on_preactivations(setting, pairs)
        channels = tuple(tuple(shape[0] for shape in shapes_of(before, pair)) for pair in matched)
        return cls(channels, matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        self.margins.look(teacher, batch, [theirs for _, theirs in self.pairs])
        values = [
            self._one(number, student.preactivations[mine], teacher.preactivations[theirs])
            for number, (mine, theirs) in enumerate(self.pairs)
        ]
        return {"ofd": Term(torch.stack(values).sum(), self.weight)}

    def _one(self, number: int, student: Tensor, teacher: Tensor) -> Tensor:
        value = ofd_loss(self.connectors[number](student), teacher, self.margins(number, teacher))
        return value / 2 ** (len(self.pairs) - 1 - number)


ENTRIES = (Entry("ofd", "loss", OFD, {}, "ICCV 2019, the authors' code"),)
