"""Which channels answer together: Gram matrices of one layer, known from style transfer."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
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
from kdcore.losses.feature._alignment import check_channels, pointwise, shapes_of
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Shape = tuple[int, int, int]


def gram_style_matching_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match which channels of a layer answer together, wherever in the image they do.

    .. math::
        L = \frac{1}{C^2} \lVert G^s - G^t \rVert_F^2, \qquad
        G = \frac{1}{HW} F F^{\mathsf T} \in \mathbb{R}^{C \times C}, \; F \in \mathbb{R}^{C \times HW}

    Survey: zhao2026 section 3.3, whose words flatten the whole map first (errata Z-19; see
    `gram_style_matching_survey_loss`).
    Paper: {cite:t}`yim2017gift` is the one that the survey cites, and multiplies the maps of two layers.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples and as many channels; sizes may differ; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where both Gram matrices agree; it grows with the fourth power of the maps' scale.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and the same number of channels.

    Notes:
        The matrix forgets positions: moving all pixels of a map in the same way changes nothing.
        `nst_loss` normalises every channel first and compares the same matrices between different numbers of channels.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
        >>> gram_style_matching_loss(student, teacher)
        tensor(1.)
    """
    check_channels(student_features, teacher_features)
    difference = _gram(student_features) - _gram(teacher_features.detach())
    return reduce(difference.square().mean((1, 2)), reduction)


def _gram(maps: Tensor) -> Float[Tensor, "batch channels channels"]:
    flat = at_least_float32(maps).flatten(2)
    with full_precision(flat):
        return flat @ flat.transpose(1, 2) / flat.shape[2]


def gram_style_matching_survey_loss(
    student_features: Float[Tensor, "batch channels height width"],
    teacher_features: Float[Tensor, "batch channels height width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the products of all pairs of activations of a layer, the map having been made one long vector.

    .. math::
        L = \frac{1}{n^2} \lVert f^s {f^s}^{\mathsf T} - f^t {f^t}^{\mathsf T} \rVert_F^2
        = \frac{1}{n^2} \left( \lVert f^s \rVert^4 + \lVert f^t \rVert^4 - 2 \langle f^s, f^t \rangle^2 \right),
        \qquad f \in \mathbb{R}^n, \; n = CHW

    Survey: zhao2026 section 3.3 as worded (errata Z-19).
    Paper: {cite:t}`yim2017gift`, whom the survey cites, has another matrix; `gram_style_matching_loss` keeps channels.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where both maps agree up to their sign.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same shape.

    Notes:
        A matrix of rank one says no more than its vector, save the sign: nothing of the channels' company is left.
        It is never made: with :math:`a = f^s + f^t` and :math:`b = f^s - f^t` the value is
        :math:`(\langle a, b \rangle^2 + \lVert a \rVert^2 \lVert b \rVert^2) / 2 n^2`.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
        >>> gram_style_matching_survey_loss(student, teacher), gram_style_matching_survey_loss(-student, student)
        (tensor(3.), tensor(0.))
    """
    check_floating(student_features=student_features, teacher_features=teacher_features)
    check_dimensions(
        "batch channels height width", student_features=student_features, teacher_features=teacher_features
    )
    check_same_shape(student_features=student_features, teacher_features=teacher_features)
    student, teacher = (at_least_float32(maps).flatten(1) for maps in (student_features, teacher_features.detach()))
    # The same value from the sum and the difference of both vectors, where no two large numbers are subtracted.
    plus, minus = student + teacher, student - teacher
    product = plus.square().sum(1) * minus.square().sum(1)
    return reduce(((plus * minus).sum(1).square() + product) / (2 * student.shape[1] ** 2), reduction)


class GramStyleMatching(Method):
    """`gram_style_matching_loss` summed over stages; a 1 x 1 convolution where the numbers of channels differ.

    Args:
        channels: the student's and the teacher's number of channels, for each pair.
        pairs: stages to match, as (student's, teacher's).
        form: ``channels``, or ``survey``, one vector for the whole map as zhao2026 words it.
        weight: of the sum. Default 1: the survey gives none.
    """

    def __init__(
        self,
        channels: tuple[tuple[int, int], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        form: Literal["channels", "survey"] = "channels",
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if form not in ("channels", "survey"):
            raise Refusal(f"form must be 'channels' or 'survey', got {form!r}")
        self.pairs, self.form, self.weight = tuple(pairs), form, weight
        self.projectors = nn.ModuleList(pointwise(mine, theirs) for mine, theirs in channels)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        shapes = [shapes_of(setting, pair) for pair in matched]
        if settings.get("form") == "survey":
            _refuse_other_sizes(shapes)
        return cls(tuple((mine[0], theirs[0]) for mine, theirs in shapes), matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        loss = gram_style_matching_survey_loss if self.form == "survey" else gram_style_matching_loss
        values = [
            loss(projector(student.features[mine]), teacher.features[theirs])
            for projector, (mine, theirs) in zip(self.projectors, self.pairs)
        ]
        return {"gram": Term(torch.stack(values).sum(), self.weight)}

    @property
    def zero_at_agreement(self) -> bool:
        """Where no convolution stands between."""
        return all(isinstance(projector, nn.Identity) for projector in self.projectors)


def _refuse_other_sizes(shapes: list[tuple[Shape, Shape]]) -> None:
    for mine, theirs in shapes:
        if mine[1:] != theirs[1:]:
            raise Refusal(
                f"one vector for a whole map needs maps of one size, got {mine[1]} x {mine[2]} and "
                f"{theirs[1]} x {theirs[2]}: name the pairs to match"
            )


ENTRIES = (
    Entry("gram-style-matching", "loss", GramStyleMatching, {}, "one layer's channels against each other"),
    Entry(
        "gram-style-matching-zhao2026",
        "loss",
        GramStyleMatching,
        {"form": "survey"},
        "zhao2026 section 3.3 as worded: one vector for the whole map",
    ),
)
