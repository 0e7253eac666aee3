"""Where a network looks: maps of activity over positions, the channels summed out."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_dimensions,
    check_floating,
    check_range,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["norm", "mean-square"]
SMALLEST_SUM = 1e-12  # what an all-zero map is divided by; torch's `normalize` has the same


def at_loss(
    student_features: Float[Tensor, "batch student_channels student_height student_width"],
    teacher_features: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
    *,
    power: float = 2.0,
    form: Form = "norm",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match where the activity of a layer lies, whatever channels carry it.

    .. math::
        L = \tfrac12 \lVert \hat Q^s - \hat Q^t \rVert_2 \;\text{(norm)}, \quad
        L = \frac{1}{HW} \lVert \hat Q^s - \hat Q^t \rVert_2^2 \;\text{(mean-square)}, \quad
        \hat Q = \frac{Q}{\lVert Q \rVert_2}, \; Q = \mathrm{vec} \sum_c |F_c|^p

    Survey: zhao2026 eq. 6 and 7, Table 2 (another map and another normalisation: errata Z-06, Z-07; see
    `at_survey_loss`); si2023 section 2.2.2, Table 1; huang2022 section 4.2; note-kd section 3.
    Paper: {cite:t}`zagoruyko2017attention`, one layer of its activation-based loss without the weight.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples; channels and sizes may differ; taken as a constant.
        power: of the absolute activation, at least 1. Default 2: the authors'.
        form: ``norm``, the paper's, or ``mean-square``, the authors' released code. Default ``norm``.
        reduction: over examples.

    Returns:
        A value of at least 0; at most ``sqrt(2) / 2`` for ``norm`` and ``2 / (height * width)`` for ``mean-square``;
        0 when both maps agree up to a positive factor for each example.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same number of examples, the power is below 1, or the form is unknown.

    Notes:
        The authors' code takes the channel mean for the sum, which the normalisation undoes, and weighs its form
        with 1000. The two forms differ in more than a factor, so a weight must name its form.
        Of two sizes the larger maps are averaged down to the smaller, as RepDistiller does; the paper needs equal ones.
        An all-zero map is normalised to zero, and gets no gradient.

    Example:
        >>> import torch
        >>> left, right = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]], [[0.0, 2.0]]]])
        >>> round(at_loss(left, right).item(), 4), at_loss(left, right, form="mean-square").item()
        (0.7071, 1.0)
    """
    check_choice("form", form, "norm", "mean-square")
    student, teacher = _same_size(student_features, teacher_features, power)
    difference = F.normalize(_activity(student, power)) - F.normalize(_activity(teacher, power))
    value = difference.square().mean(1) if form == "mean-square" else torch.linalg.vector_norm(difference, dim=1) / 2
    return reduce(value, reduction)


def at_survey_loss(
    student_features: Float[Tensor, "batch student_channels student_height student_width"],
    teacher_features: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
    *,
    power: float = 2.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match where the activity of a layer lies, as shares of its whole.

    .. math::
        L = \frac{1}{WH} \lVert Q(A^s) - Q(A^t) \rVert_2^2, \quad
        A = \Bigl( \frac1C \sum_c |F_c|^p \Bigr)^{1/p}, \; Q(A) = A / \textstyle\sum A

    Survey: zhao2026 eq. 6 and 7 as printed, their normalisation read as the survey's example, division by the sum
    over the positions (errata Z-06, Z-07).
    Paper: {cite:t}`zagoruyko2017attention` prints another loss, `at_loss`.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples; channels and sizes may differ; taken as a constant.
        power: of the absolute activation and of the root, at least 1. Default 2: the survey's usual value.
        reduction: over examples.

    Returns:
        A value of at least 0, at most ``2 / (height * width)``; 0 when both maps agree up to a positive factor for
        each example.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same number of examples, or the power is below 1.

    Notes:
        The root makes the map flatter than the paper's, and shares of a sum are smaller than shares of a norm, so a
        weight chosen for `at_loss` does not carry over.
        Sizes are aligned as in `at_loss`; an all-zero map is normalised to zero.

    Example:
        >>> import torch
        >>> left, right = torch.tensor([[[[3.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]])
        >>> at_survey_loss(left, right).item()
        0.25
    """
    student, teacher = _same_size(student_features, teacher_features, power)
    difference = _shares(student, power) - _shares(teacher, power)
    return reduce(difference.square().mean(1), reduction)


def _same_size(student: Tensor, teacher: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """Both in float32 at least, averaged down to the smaller height and width; the teacher's cut off its graph."""
    check_floating(student_features=student, teacher_features=teacher)
    meaning = "batch channels height width"
    check_dimensions(meaning, student_features=student, teacher_features=teacher)
    check_range(power=(power, 1.0, True))
    if len(student) != len(teacher):
        raise ValueError(
            "student_features and teacher_features must hold the same examples, "
            f"got {len(student)} and {len(teacher)} of them"
        )
    size = [min(mine, theirs) for mine, theirs in zip(student.shape[2:], teacher.shape[2:])]
    pooled = (
        maps if list(maps.shape[2:]) == size else F.adaptive_avg_pool2d(maps, size)
        for maps in (at_least_float32(student), at_least_float32(teacher.detach()))
    )
    return tuple(pooled)


class _MeanSquare(torch.autograd.Function):
    """Over channels. The gradient is one product; autograd would write a map down twice more."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        return maps.square().mean(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (maps,) = ctx.saved_tensors
        return maps * (slope * (2 / maps.shape[1])).unsqueeze(1)


def _activity(maps: Tensor, power: float) -> Float[Tensor, "batch positions"]:
    """The channel mean for the sum: the normalisation takes the factor out, and large maps stay in range."""
    if power == 2:
        return (_MeanSquare.apply(maps) if maps.requires_grad else maps.square().mean(1)).flatten(1)
    return maps.abs().pow(power).mean(1).flatten(1)


def _shares(maps: Tensor, power: float) -> Float[Tensor, "batch positions"]:
    activity = _activity(maps, power)
    seen = activity > 0  # a root has no slope at nothing
    attention = torch.where(seen, activity, 1).pow(1 / power) * seen
    return attention / attention.sum(1, keepdim=True).clamp_min(SMALLEST_SUM)


class AT(Method):
    """`at_loss` summed over stages, by default in the form and with the weight of the published tables.

    Args:
        pairs: stages to match, as (student's, teacher's).
        form: ``mean-square`` (the authors' code, RepDistiller, mdistiller: weight 1000), ``norm`` (the paper's) or
            ``survey`` (zhao2026 as printed).
        power: of the absolute activation.
        weight: of the sum. Default 1000, which belongs to ``mean-square``; for ``norm`` about 0.1 is told of the
            paper, which we could not read itself; for ``survey`` none is printed.
    """

    zero_at_agreement = True

    def __init__(
        self,
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        form: Literal["mean-square", "norm", "survey"] = "mean-square",
        power: float = 2.0,
        weight: float = 1000.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"power": power}, weight=weight)
        if form not in ("mean-square", "norm", "survey"):
            raise Refusal(f"form must be 'mean-square', 'norm' or 'survey', got {form!r}")
        self.pairs, self.form, self.power, self.weight = tuple(pairs), form, power, weight

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        return cls(stage_pairs(setting, pairs), **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        values = [self._one(student.features[mine], teacher.features[theirs]) for mine, theirs in self.pairs]
        return {"at": Term(torch.stack(values).sum(), self.weight)}

    def _one(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.form == "survey":
            return at_survey_loss(student, teacher, power=self.power)
        return at_loss(student, teacher, power=self.power, form=self.form)


ENTRIES = (
    Entry("at", "loss", AT, {}, "ICLR 2017, the authors' code"),
    Entry("at-paper", "loss", AT, {"form": "norm", "weight": 0.1}, "ICLR 2017 as printed"),
    Entry("at-zhao2026", "loss", AT, {"form": "survey"}, "zhao2026 eq. 6 and 7 as printed"),
)
