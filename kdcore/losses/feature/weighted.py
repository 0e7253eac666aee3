"""Weighted combinations of channels on both sides: the form that most losses on maps share."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_floating,
    full_precision,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._alignment import aligned, check_maps, shapes_of
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Distance = Literal["mean-square", "square"]
Provider = Literal["energy", "learned"]
SMALLEST_SUM = 1e-12  # what the energies of an all-zero map are divided by


def weighted_channel_matching_loss(
    student_features: Float[Tensor, "batch student_channels student_height student_width"],
    teacher_features: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
    student_weights: Float[Tensor, "batch combinations student_channels"],
    target_weights: Float[Tensor, "batch combinations teacher_channels"],
    *,
    distance: Distance = "mean-square",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match weighted sums of the student's channels with weighted sums of the teacher's.

    .. math::
        L = D_F \Bigl( \sum_i \alpha_i f_S^i, \; \sum_j \beta_j f_T^j \Bigr), \qquad
        D_F(a, b) = \lVert a - b \rVert_2^2 \;\text{(square)}, \text{ or its mean}

    Survey: si2023 eq. 3, which leaves the weights and the distance open.
    Paper: none; {cite:t}`si2023` has it as the common form of several.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples; channels and sizes may differ; taken as a constant.
        student_weights: alpha, a row for each sum, for each example; may be learned.
        target_weights: beta, as many rows; may be computed from anything, and gradients reach it.
        distance: ``mean-square`` over sums and positions, or the whole ``square``. Default ``mean-square``, ours.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where all sums agree, also when all weights are 0.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: examples, channels or the number of sums differ, or the distance is unknown.

    Notes:
        One row of shares gives the single map that the survey writes; one row for each of the teacher's channels
        gives a 1 x 1 convolution; a single 1 in a row picks a channel; the square roots of a channel's importance on
        both sides weigh its squared distance, as `delta_loss` and `afds_loss` do.
        If both sides' weights are learned freely, making them 0 is the shortest way to a loss of 0.
        Of two sizes the larger maps are averaged down to the smaller.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[1.0]], [[3.0]]]]), torch.tensor([[[[5.0]]]])
        >>> halves, whole = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[1.0]]])
        >>> weighted_channel_matching_loss(student, teacher, halves, whole)
        tensor(9.)
    """
    check_maps(student_features, teacher_features)
    check_floating(student_weights=student_weights, target_weights=target_weights)
    _check_weights(student_features, teacher_features, student_weights, target_weights)
    check_choice("distance", distance, "mean-square", "square")
    maps = aligned(student_features, teacher_features)
    student, teacher = (combined(*pair) for pair in zip(maps, (student_weights, target_weights)))
    squares = (student - teacher).square().flatten(1)
    return reduce(squares.sum(1) if distance == "square" else squares.mean(1), reduction)


def combined(maps: Tensor, weights: Tensor) -> Float[Tensor, "batch combinations positions"]:
    """Each row of weights as one map."""
    weights, flat = at_least_float32(weights), at_least_float32(maps).flatten(2)
    with full_precision(flat):
        return weights.to(flat.dtype) @ flat


def _check_weights(student: Tensor, teacher: Tensor, mine: Tensor, theirs: Tensor) -> None:
    for name, maps, weights in (("student_weights", student, mine), ("target_weights", teacher, theirs)):
        if weights.ndim != 3 or (weights.shape[0], weights.shape[2]) != tuple(maps.shape[:2]):
            wanted = f"({maps.shape[0]}, combinations, {maps.shape[1]})"
            raise ValueError(f"{name} must have shape {wanted}, got {tuple(weights.shape)}")
    if mine.shape[1] != theirs.shape[1]:
        raise ValueError(
            "student_weights and target_weights must have the same number of combinations, "
            f"got {mine.shape[1]} and {theirs.shape[1]}"
        )


# ---------------------------------------------------------------- where weights come from


def energy_shares(maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 channels"]:
    """One row for each example: the share of the map's whole energy that a channel holds."""
    energy = at_least_float32(maps).square().mean((2, 3))
    return (energy / energy.sum(1, keepdim=True).clamp_min(SMALLEST_SUM))[:, None]


def same_for_all(weights: Float[Tensor, "combinations channels"], maps: Tensor) -> Float[Tensor, "batch rows channels"]:
    """Weights that no example changes, for every example of a batch."""
    return weights.expand(len(maps), -1, -1)


def chosen(indices: Tensor, channels: int) -> Float[Tensor, "combinations channels"]:
    """Rows that each pick one channel."""
    return nn.functional.one_hot(indices, channels).to(torch.get_default_dtype())


class LearnedShares(nn.Module):
    """One row of positive weights that sum to one, learned, the same for all examples; equal at the start."""

    def __init__(self, channels: int):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(1, channels))

    def forward(self, maps: Tensor) -> Tensor:
        return same_for_all(self.scores.softmax(1), maps)


class WeightedChannelMatching(Method):
    """`weighted_channel_matching_loss` summed over stages, one weighted map for each network as si2023 writes it.

    The teacher's weights are each channel's share of its map's energy. The student's are the same of its own map, or
    learned shares.

    Args:
        channels: of the student, for each pair.
        pairs: stages to match, as (student's, teacher's).
        provider: where the student's weights come from, ``energy`` or ``learned``. Default ``energy``, ours.
        weight: of the sum. Default 1: the survey prints none.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        provider: Provider = "energy",
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if provider not in ("energy", "learned"):
            raise Refusal(f"provider must be 'energy' or 'learned', got {provider!r}")
        self.pairs, self.weight, self.zero_at_agreement = tuple(pairs), weight, provider == "energy"
        self.shares = nn.ModuleList(LearnedShares(count) for count in channels) if provider == "learned" else None

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        return cls(tuple(shapes_of(setting, pair)[0][0] for pair in matched), matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        of_student = self.shares or [energy_shares] * len(self.pairs)
        values = [
            self._one(student.features[mine], teacher.features[theirs], shares)
            for shares, (mine, theirs) in zip(of_student, self.pairs)
        ]
        return {"weighted": Term(torch.stack(values).sum(), self.weight)}

    def _one(self, student: Tensor, teacher: Tensor, shares: Any) -> Tensor:
        return weighted_channel_matching_loss(student, teacher, shares(student), energy_shares(teacher.detach()))


ENTRIES = (
    Entry("weighted-channel-matching", "loss", WeightedChannelMatching, {}, "si2023 eq. 3, weights by energy"),
    Entry(
        "weighted-channel-matching-learned",
        "loss",
        WeightedChannelMatching,
        {"provider": "learned"},
        "si2023 eq. 3, the student's weights learned",
    ),
)
