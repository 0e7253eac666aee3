"""Which samples of a batch a layer finds alike, by their products."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import check_choice, refuse_out_of_range, unit
from kdcore.losses.relation._kinds import similarities
from kdcore.losses.relation._rows import distances, gram, mean_square, squared_distances
from kdcore.losses.relation.structure import structural_generic_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Likeness = Literal["cosine", "dot", "negative-distance"]
Pairs = Sequence[Sequence[int]]  # (student's, teacher's)


def sp_loss(
    student_features: Float[Tensor, " batch *student_shape"], teacher_features: Float[Tensor, " batch *teacher_shape"]
) -> Float[Tensor, ""]:
    r"""Match which samples of a batch a layer finds alike; a scalar.

    .. math::
        L = \frac{1}{b^2} \lVert \tilde G^s - \tilde G^t \rVert_F^2, \quad
        \tilde G_{i \cdot} = \frac{G_{i \cdot}}{\lVert G_{i \cdot} \rVert_2}, \;
        G = Q Q^\top, \; Q \in \mathbb R^{b \times chw}

    Survey: zhao2026 eq. 8 (printed without the rows' length 1: errata Z-08; see `sp_survey_loss`), Table 2; si2023
    section 2.2.3, Table 1.
    Paper: {cite:t}`tung2019similarity`, one pair of layers without the weight.

    Args:
        student_features: a layer's maps or vectors, the samples first; computed in float32 at least.
        teacher_features: of the same samples; channels and sizes may differ; taken as a constant.

    Returns:
        A value of at least 0, at most ``4 / batch``; 0 when both layers have the same products up to a positive
        factor for each row, so that neither scale nor a rotation of the channels counts.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples, or not the same number of them.

    Notes:
        One sample is like itself alone, and the loss is 0. A sample whose features are all zero has a row of zeros.
        torchdistill divides rows by the sum of their absolute values, which is another loss.

    Example:
        >>> import torch
        >>> apart, same = torch.eye(2), torch.ones(2, 1)
        >>> round(sp_loss(apart, same).item(), 4), sp_loss(apart, 3 * apart).item()
        (0.2929, 0.0)
    """
    return structural_generic_loss(student_features, teacher_features, relation=similarities, distance=mean_square)


def sp_survey_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    *,
    likeness: Likeness = "cosine",
) -> Float[Tensor, ""]:
    r"""Match a table of likeness between the samples of a batch as it stands; a scalar.

    .. math::
        L = \frac{1}{N^2} \lVert S^t - S^s \rVert_F^2, \quad
        S_{ij} = \cos(q_i, q_j), \; \langle q_i, q_j \rangle \text{ or } -\lVert q_i - q_j \rVert_2

    Survey: zhao2026 eq. 8 as printed, with the three similarities that its text offers as equals (errata Z-08).
    Paper: {cite:t}`tung2019similarity` has another loss, `sp_loss`.

    Args:
        student_features: a layer's maps or vectors, the samples first; computed in float32 at least.
        teacher_features: of the same samples; channels and sizes may differ; taken as a constant.
        likeness: ``cosine``, ``dot`` or ``negative-distance``. Default ``cosine``: the survey's first.

    Returns:
        A value of at least 0, at most 4 for ``cosine``; without a bound for the others, which grow with the features.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples or not the same number of them, or the likeness is unknown.

    Notes:
        With ``dot`` a student that makes three times the teacher's features, and finds alike what the teacher does,
        pays; with ``cosine`` it does not. The survey's other measure, a divergence, needs rows that sum to 1, for
        which it gives no rule; `pkt_loss` has one.

    Example:
        >>> import torch
        >>> teacher = torch.eye(2)
        >>> [sp_survey_loss(3 * teacher, teacher, likeness=kind).item() for kind in ("cosine", "dot")]
        [0.0, 32.0]
    """
    check_choice("likeness", likeness, "cosine", "dot", "negative-distance")
    relation = partial(_likeness, kind=likeness)
    return structural_generic_loss(student_features, teacher_features, relation=relation, distance=mean_square)


def _likeness(rows: Float[Tensor, "batch size"], kind: Likeness) -> Float[Tensor, "batch batch"]:
    if kind == "negative-distance":
        return -distances(squared_distances(rows))
    rows = unit(rows) if kind == "cosine" else rows
    return gram(rows)


class SP(Method):
    """`sp_loss`, by default between the last maps alone, as the published tables have it.

    Args:
        pairs: stages to match, as (student's, teacher's); -1 is the last one. Default: the last of each, as
            RepDistiller and mdistiller have it; Knowledge-Distillation-Zoo takes the mean of three.
        likeness: one of `sp_survey_loss`'s, which is then taken; None for the paper's loss.
        weight: of the sum. Default 3000: RepDistiller, mdistiller.
    """

    zero_at_agreement = True

    def __init__(self, *, pairs: Pairs = ((-1, -1),), likeness: Likeness | None = None, weight: float = 3000.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if likeness not in (None, "cosine", "dot", "negative-distance"):
            raise Refusal(f"likeness must be 'cosine', 'dot' or 'negative-distance', got {likeness!r}")
        self.pairs, self.likeness, self.weight = tuple(pairs), likeness, weight

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        made = cls(**settings)
        for name, outputs, stages in zip(("student", "teacher"), (setting.student, setting.teacher), zip(*made.pairs)):
            count = len(outputs.features)
            for stage in stages:
                if not -count <= stage < count:
                    raise Refusal(f"the {name} has {count} stages, got stage {stage}")
        return made

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        loss = partial(sp_survey_loss, likeness=self.likeness) if self.likeness else sp_loss
        values = [loss(student.features[mine], teacher.features[theirs]) for mine, theirs in self.pairs]
        return {"sp": Term(torch.stack(values).sum(), self.weight)}


ENTRIES = (
    Entry("sp", "loss", SP, {}, "ICCV 2019; last maps, weight of the published tables"),
    Entry("sp-zhao2026", "loss", SP, {"likeness": "cosine"}, "zhao2026 eq. 8 as printed, by cosines"),
)
