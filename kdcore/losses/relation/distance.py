"""How far samples lie from each other, and under which angles."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from kdcore._typing import Float, Int
from kdcore.losses._common import check_range, refuse_out_of_range
from kdcore.losses.relation._angles import angles_apart
from kdcore.losses.relation._kinds import proportions_apart
from kdcore.losses.relation._rows import check_labels, distances, embedding_sizes, huber, inverse, squared_distances
from kdcore.losses.relation.structure import structural_generic_loss, structural_parts
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term


def rkd_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    *,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
) -> Float[Tensor, ""]:
    r"""Match how far samples lie from each other and under which angles three of them meet; a scalar.

    .. math::
        L = \lambda_D \, \overline{\ell(\psi_D^t, \psi_D^s)} + \lambda_A \, \overline{\ell(\psi_A^t, \psi_A^s)}, \quad
        \psi_D(i, j) = \frac{\lVert f_i - f_j \rVert_2}{\mu}, \;
        \psi_A(i, j, k) = \langle e^{ij}, e^{kj} \rangle, \; e^{ij} = \frac{f_i - f_j}{\lVert f_i - f_j \rVert_2}

    Survey: huang2022 eq. 12 and 13 (the potentials, without the Huber loss between them: errata H-09); si2023 section
    2.2.3, Table 1; note-kd section 3.
    Paper: {cite:t}`park2019relational`.

    Args:
        student_features: embeddings, the samples first; computed in float32 at least.
        teacher_features: of the same samples, of any size; taken as a constant.
        distance_weight: at least 0. Default 25: RepDistiller, mdistiller.
        angle_weight: at least 0. Default 50: RepDistiller, mdistiller.

    Returns:
        A value of at least 0; 0 when both networks' samples form the same figure up to its size, place and turn.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples or not the same number of them, or a weight is below 0.

    Notes:
        The Huber loss turns at 1; its means are over all pairs and all triples, a sample with itself among them, and
        the mean distance is over pairs of different samples, all as in the authors' code.
        Distances come from products of the centred samples and angles from distances, in slices: neither difference
        vectors nor the angles of all triples are held.
        Two samples whose squared distance is lost in the rounding of those products count as one point: distance
        and angles there are 0 and have no gradient, where the authors' code divides by 1e-12, the gradient too.

    Example:
        >>> import torch
        >>> line, bent = torch.tensor([[0.0, 0], [1, 0], [2, 0]]), torch.tensor([[0.0, 0], [1, 0], [1, 1]])
        >>> rkd_loss(3 * line + 1, line).item(), round(rkd_loss(bent, line, distance_weight=0.0).item(), 4)
        (0.0, 2.1696)
    """
    check_range(distance_weight=(distance_weight, 0.0, True), angle_weight=(angle_weight, 0.0, True))
    distance, angle = rkd_parts(student_features, teacher_features)
    return distance_weight * distance + angle_weight * angle


def rkd_parts(
    student_features: Float[Tensor, " batch *student_shape"], teacher_features: Float[Tensor, " batch *teacher_shape"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Both terms of `rkd_loss` without their weights: distances, angles."""
    compare = lambda student, teacher: torch.stack(
        [proportions_apart(student, teacher), angles_apart(student, teacher)]
    )
    parts = structural_parts(student_features, teacher_features, squared_distances, compare)
    return parts.expand(2).unbind()  # one sample has one answer to both


def rkd_survey_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    targets: Int[Tensor, " batch"],
    *,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
) -> Float[Tensor, ""]:
    r"""Match distances over the mean distance of two samples of different classes, and angles; a scalar.

    .. math::
        \psi_D(i, j) = \frac{\lVert f_i - f_j \rVert_2}{\mu}, \quad
        \mu = \frac{1}{\lvert \chi^2 \rvert} \sum_{(i, j) \in \chi^2} \lVert f_i - f_j \rVert_2, \quad
        \chi^2 = \{ (i, j) : y_i \ne y_j \}

    Survey: huang2022 eq. 13 to the letter of its text, which calls the pairs discriminative (errata H-09), read as
    pairs of different classes; what it leaves out, the Huber loss and the means, is taken from the paper.
    Paper: {cite:t}`park2019relational` takes pairs of different samples, see `rkd_loss`.

    Args:
        student_features: embeddings, the samples first; computed in float32 at least.
        teacher_features: of the same samples, of any size; taken as a constant.
        targets: true classes, one a sample.
        distance_weight: at least 0. Default 25, as for `rkd_loss`; the survey gives none.
        angle_weight: at least 0. Default 50, as for `rkd_loss`; the survey gives none.

    Returns:
        A value of at least 0. Where the batch holds one class alone no distance has a scale, and the first term is 0.

    Raises:
        TypeError: features are not of a floating type, or targets are.
        ValueError: the tensors hold no samples or not the same number of them, or a weight is below 0.

    Notes:
        A good teacher keeps classes further apart than their members, so this scale is larger and the term smaller
        than the paper's, by a factor that differs between the two networks.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0], [3.0]])
        >>> given = dict(targets=torch.tensor([0, 0, 1]), angle_weight=0.0, distance_weight=1.0)
        >>> round(rkd_survey_loss(student, teacher, **given).item(), 4)  # over 3/2 and 5/2
        0.0119
    """
    check_range(distance_weight=(distance_weight, 0.0, True), angle_weight=(angle_weight, 0.0, True))
    distance, angle = rkd_survey_parts(student_features, teacher_features, targets)
    return distance_weight * distance + angle_weight * angle


def rkd_survey_parts(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    targets: Int[Tensor, " batch"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Both terms of `rkd_survey_loss` without their weights: distances, angles."""
    check_labels(targets, student_features)
    given, relation = (student_features, teacher_features), partial(_over_classes, apart=targets[:, None] != targets)
    distance = structural_generic_loss(*given, relation=relation, distance=huber)
    return distance, structural_generic_loss(*given, relation=squared_distances, distance=angles_apart)


def _over_classes(rows: Float[Tensor, "batch size"], apart: Tensor) -> Float[Tensor, "batch batch"]:
    found, some = distances(squared_distances(rows)), apart.to(rows.dtype)
    return found * inverse((found * some).sum() * inverse(some.sum()))


class RKD(Method):
    """`rkd_loss` on the embeddings that the classifiers read, its two terms logged apart.

    Args:
        distance_weight, angle_weight: see `rkd_loss`.
        weight: of both. Default 1: RepDistiller.
        printed: whether distances are scaled as in `rkd_survey_loss`.
    """

    zero_at_agreement = True

    def __init__(
        self, *, distance_weight: float = 25.0, angle_weight: float = 50.0, weight: float = 1.0, printed: bool = False
    ):
        super().__init__()
        refuse_out_of_range(distance_weight=distance_weight, angle_weight=angle_weight, weight=weight)
        self.weights, self.printed = (weight * distance_weight, weight * angle_weight), printed

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        embedding_sizes(setting)
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        given = student.embedding, teacher.embedding
        distance, angle = rkd_survey_parts(*given, batch.targets) if self.printed else rkd_parts(*given)
        return {"rkd_distance": Term(distance, self.weights[0]), "rkd_angle": Term(angle, self.weights[1])}


ENTRIES = (
    Entry("rkd", "loss", RKD, {}, "CVPR 2019; weights of the published tables"),
    Entry("rkd-huang2022", "loss", RKD, {"printed": True}, "huang2022 eq. 13 to the letter of its text"),
)
