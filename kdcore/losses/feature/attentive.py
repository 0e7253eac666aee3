"""Channels whose importance a small network predicts for each example from the teacher's own map."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import Reduction, at_least_float32, check_floating, reduce, refuse_out_of_range, unit
from kdcore.losses.feature._alignment import Shape, aligned, check_channels, pointwise, shapes_of
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term


def afds_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    channel_scores: Float[Tensor, "batch channels"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match maps channel by channel, each at length one, as much as a predictor finds the channel important.

    .. math::
        L = \sum_c \rho_c \left\lVert \frac{F^s_c}{\lVert F^s_c \rVert_2} - \frac{F^t_c}{\lVert F^t_c \rVert_2}
        \right\rVert_2^2, \qquad \rho = \mathrm{softmax}(a)

    Survey: si2023 section 2.2.2 and Table 1, whose label and year fit two papers (errata S-09).
    Paper: {cite:t}`wang2020afds`, its distillation part; the paper could not be read, see the notes.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples and as many channels; sizes may differ; taken as a constant.
        channel_scores: what the predictor says of each channel, before the softmax; gradients reach it.
        reduction: over examples.

    Returns:
        A value of at least 0 and at most 4, 0 where every channel that counts agrees up to a positive factor.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and channels, or the scores do not fit.

    Notes:
        The weighted squared distance and the two-layer predictor are as the inventory has them; that channels are
        brought to length one is taken from Knowledge-Distillation-Zoo, which averages over positions instead of
        summing, and replaces the softmax because it found it unstable.
        The gradient on the scores moves weight away from channels that are far apart.
        Of two sizes the larger maps are averaged down to the smaller.
        The other part of the paper, gates that skip channels of the network, prunes and is no loss.

    Example:
        >>> import torch
        >>> student = torch.tensor([[[[1.0, 0.0]], [[2.0, 0.0]]]])
        >>> teacher = torch.tensor([[[[0.0, 3.0]], [[1.0, 0.0]]]])
        >>> afds_loss(student, teacher, torch.zeros(1, 2))
        tensor(1.)
    """
    check_channels(student_features, teacher_features)
    check_floating(channel_scores=channel_scores)
    if channel_scores.shape != teacher_features.shape[:2]:
        wanted = tuple(teacher_features.shape[:2])
        raise ValueError(f"channel_scores must have shape {wanted}, got {tuple(channel_scores.shape)}")
    student, teacher = (unit(maps.flatten(2)) for maps in aligned(student_features, teacher_features))
    importance = at_least_float32(channel_scores).softmax(1)
    return reduce((importance * (student - teacher).square().sum(2)).sum(1), reduction)


class Predictor(nn.Module):
    """Two layers from the positions of a channel to its score, shared by all channels but for the last bias.

    As many hidden units as the map is high, as in the version that Knowledge-Distillation-Zoo names the original.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        channels, height, width = shape
        self.hidden, self.score = nn.Linear(height * width, height), nn.Linear(height, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels))
        for layer in (self.hidden, self.score):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(self.hidden.bias)

    def forward(self, maps: Tensor) -> Float[Tensor, "batch channels"]:
        return self.score(self.hidden(maps.flatten(2)).relu())[:, :, 0] + self.bias


class AFDS(Method):
    """`afds_loss` summed over stages, a predictor for each that learns together with the student.

    Where channel numbers differ, a 1 x 1 convolution brings the student's to the teacher's; the paper fine-tunes one
    architecture.

    Args:
        shapes: the student's and the teacher's channels, height and width, for each pair.
        pairs: stages to match, as (student's, teacher's).
        weight: of the sum. Default 1, ours: the paper's could not be read.
    """

    def __init__(
        self,
        shapes: tuple[tuple[Shape, Shape], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.pairs, self.weight = tuple(pairs), weight
        self.connectors = nn.ModuleList(pointwise(mine[0], theirs[0]) for mine, theirs in shapes)
        self.predictors = nn.ModuleList(Predictor(theirs) for _, theirs in shapes)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        return cls(tuple(shapes_of(setting, pair) for pair in matched), matched, **settings)

    @property
    def zero_at_agreement(self) -> bool:
        """Where no convolution stands between."""
        return all(isinstance(connector, nn.Identity) for connector in self.connectors)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        values = [
            afds_loss(connector(student.features[mine]), maps, predictor(maps))
            for connector, predictor, mine, maps in self._stages(student, teacher)
        ]
        return {"afds": Term(torch.stack(values).sum(), self.weight)}

    def _stages(self, student: Outputs, teacher: Outputs) -> Any:
        maps = (teacher.features[theirs].detach() for _, theirs in self.pairs)
        return zip(self.connectors, self.predictors, (mine for mine, _ in self.pairs), maps)


ENTRIES = (Entry("afds", "loss", AFDS, {}, "ICLR 2020, its distillation part"),)
