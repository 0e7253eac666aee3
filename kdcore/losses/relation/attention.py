"""Graphs between the samples of two layers, drawn by attention that the teacher has taught."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    at_least_float32,
    check_dimensions,
    check_floating,
    check_same_shape,
    refuse_out_of_range,
    unit,
)
from kdcore.losses.relation._truncation import leave
from kdcore.losses.relation.singular import LayerwiseDirections
from kdcore.types import Batch, Entry, Outputs, Stage, Term, Update

MOMENTUM = 0.1  # of running statistics: the authors' decay of 0.9


def mhgd_loss(
    student_graphs: Float[Tensor, "heads batch batch"], teacher_graphs: Float[Tensor, "heads batch batch"]
) -> Float[Tensor, ""]:
    r"""Match graphs between the samples at one layer and at the next, several of them; a scalar.

    .. math::
        L = \frac1B \sum_{h} \sum_i \mathrm{KL}\bigl( p^s_{h i} \,\|\, p^t_{h i} \bigr), \quad
        p_{h i} = \mathrm{softmax}(\tanh G_{h i \cdot})

    Survey: huang2022 section 4.3.
    Paper: {cite:t}`lee2019graph`; the form is the authors' code.

    Args:
        student_graphs: scores of each sample at one layer with every sample at the other, a table a head; computed in
            float32 at least.
        teacher_graphs: the same shape; taken as a constant.

    Returns:
        A value of at least 0, 0 when the graphs are equal up to saturation.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or they are no square tables.

    Notes:
        The divergence runs from the student to the teacher, as in the authors' code, and is averaged over the
        samples, where theirs is summed. A graph of one sample is 1 and costs nothing.

    Example:
        >>> import torch
        >>> level, sharp = torch.zeros(1, 2, 2), torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
        >>> round(mhgd_loss(level, sharp).item(), 4)  # log of (e + 1/e) / 2, for both samples
        0.4338
    """
    check_floating(student_graphs=student_graphs, teacher_graphs=teacher_graphs)
    check_same_shape(student_graphs=student_graphs, teacher_graphs=teacher_graphs)
    check_dimensions("heads batch batch", student_graphs=student_graphs)
    if student_graphs.shape[1] != student_graphs.shape[2]:
        raise ValueError(f"student_graphs must be square tables, got {tuple(student_graphs.shape)}")
    student, teacher = (at_least_float32(g).tanh().log_softmax(2) for g in (student_graphs, teacher_graphs.detach()))
    return F.kl_div(teacher, student, reduction="sum", log_target=True) / student.shape[1]


class Attention(nn.Module):
    """Scores of every sample at one layer with every sample at the layer before, several tables of them.

    Args:
        now: channels of the later layer.
        before: of the earlier.
        heads: number of tables.
    """

    def __init__(self, now: int, before: int, heads: int):
        super().__init__()
        self.heads, width = heads, (now + before) // 2 * heads
        self.sender, self.receiver = nn.Linear(now, width, bias=False), nn.Linear(before, width, bias=False)
        self.sender_norm, self.receiver_norm = nn.BatchNorm1d(width), nn.BatchNorm1d(width)

    def forward(
        self, now: Float[Tensor, "batch now"], before: Float[Tensor, "batch before"], learning: bool
    ) -> Float[Tensor, "heads batch batch"]:
        sent = _normalised(self.sender_norm, self.sender(now), learning).unflatten(1, (-1, self.heads))
        received = _normalised(self.receiver_norm, self.receiver(before), learning).unflatten(1, (-1, self.heads))
        return sent.permute(2, 0, 1) @ received.permute(2, 1, 0)


class Estimator(nn.Module):
    """Rebuilds the later layer's directions from the earlier's, passed along the graphs."""

    def __init__(self, now: int, before: int, heads: int):
        super().__init__()
        middle = (now + before) // 2
        self.inside, self.norm = nn.Linear(before, middle, bias=False), nn.BatchNorm1d(middle)
        self.outside = nn.Linear(middle * heads, now)

    def forward(
        self, before: Float[Tensor, "batch before"], graphs: Float[Tensor, "heads batch batch"], random: torch.Generator
    ) -> Float[Tensor, "batch now"]:
        drawn = torch.randn((*graphs.shape[:2], 1), generator=random, device=graphs.device)
        shares = graphs.softmax(2) * (drawn > drawn.mean(0))  # some heads are left out for each sample
        hidden = F.relu(_normalised(self.norm, self.inside(before), True))
        return unit(at_least_float32(self.outside((shares @ hidden).transpose(0, 1).flatten(1))))


def _normalised(norm: nn.BatchNorm1d, values: Tensor, learning: bool) -> Tensor:
    """By the batch while the graphs are learned, by what was seen then ever after, whatever the module's mode."""
    return F.batch_norm(
        values, norm.running_mean, norm.running_var, norm.weight, norm.bias, learning, MOMENTUM, norm.eps
    )


class MHGD(LayerwiseDirections):
    """Two stages: the teacher teaches attention to draw its graphs, then the student is to have the same graphs.

    Of every sample's map the strongest channel direction is kept, as in `KDSVD`. First attention between neighbouring
    layers learns to rebuild the teacher's later directions from its earlier ones; then it rests, and `mhgd_loss`
    compares its graphs of both networks, with a gradient cut to the task's as in `KDSVD`.

    Args:
        student: channels of the student's stages.
        teacher: of the teacher's.
        heads: tables a pair of layers. Default 8: the authors'.
        share: length of the first stage, as a part of the recipe's epochs. Default 0.4: the authors' 40 before 100.
        projected: 1 x 1 convolutions that bring the student's stages to the teacher's channels, an addition of ours
            for pairs that the paper cannot serve.
        weight: Default 1: the authors'.
    """

    zero_at_agreement = True
    term = "mhgd"

    def __init__(
        self,
        student: Sequence[int],
        teacher: Sequence[int],
        *,
        heads: int = 8,
        share: float = 0.4,
        projected: bool = False,
        weight: float = 1.0,
    ):
        super().__init__(student, teacher, projected)
        refuse_out_of_range(above_zero={"heads": heads, "share": share}, weight=weight)
        self.share, self.weight = share, weight
        self.attention = nn.ModuleList(Attention(now, before, heads) for before, now in pairwise(teacher))
        self.estimators = nn.ModuleList(Estimator(now, before, heads) for before, now in pairwise(teacher))

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        def losses(batch: Batch) -> dict[str, Term]:
            return {"rebuild": Term(self._rebuilding(batch.outputs(teacher), batch))}

        return [Stage("graphs", [Update("graphs", [self.attention, self.estimators], losses)], share=self.share)]

    def _rebuilding(self, teacher: Outputs, batch: Batch) -> Float[Tensor, ""]:
        """One less the cosine between what is rebuilt and what is there, summed over pairs of layers."""
        layers = [self.taught(maps, batch)[1][:, :, 0] for maps in teacher.features]
        values, random = [], batch.generator("mhgd heads")
        for (before, now), attention, estimator in zip(pairwise(layers), self.attention, self.estimators):
            rebuilt = estimator(before, attention(now, before, True), random)
            values.append((1 - (rebuilt * now).sum(1)).mean())
        return torch.stack(values).sum()

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        self.limit = leave(batch.clock.progress)
        mine, theirs = zip(*((a[:, :, 0], b[:, :, 0]) for a, b in self.layers(student, teacher, batch)))
        values = [mhgd_loss(*graphs) for graphs in zip(self._graphs(mine), self._graphs(theirs))]
        return {self.term: Term(torch.stack(values).sum(), self.weight)}

    def _graphs(self, layers: Sequence[Tensor]) -> list[Float[Tensor, "heads batch batch"]]:
        return [attention(now, before, False) for (before, now), attention in zip(pairwise(layers), self.attention)]


ENTRIES = (Entry("mhgd", "loss", MHGD, {}, "BMVC 2019, the authors' code, with their cut gradient"),)
