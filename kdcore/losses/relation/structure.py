"""The general form: whatever stands between the samples of a batch, and whatever tells two such structures apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch

from kdcore._typing import Float, Tensor
from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.relation._angles import angles_apart
from kdcore.losses.relation._kinds import (
    distances_of_the_largest,
    kernel_correlations,
    mean_divergence,
    neighbourhoods,
    neighbourhoods_with_oneself,
    proportions_apart,
    scaled_distances,
    similarities,
    summed_divergence,
)
from kdcore.losses.relation._rows import as_rows, embedding_sizes, mean_square, nothing, squared_distances
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Relation = Callable[[Float[Tensor, "batch size"]], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]


class Structure(NamedTuple):
    """What stands between samples, and how two networks' answers to that are compared."""

    relation: Relation
    distance: Distance


STRUCTURES = {
    "sp": Structure(similarities, mean_square),
    "cc": Structure(kernel_correlations, mean_square),
    "rkd-distance": Structure(squared_distances, proportions_apart),
    "rkd-angle": Structure(squared_distances, angles_apart),
    "pkt": Structure(neighbourhoods, summed_divergence),
    "pkt-code": Structure(neighbourhoods_with_oneself, mean_divergence),
    "irg-edges": Structure(distances_of_the_largest, mean_square),
}


def structural_generic_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    *,
    relation: Relation = scaled_distances,
    distance: Distance = mean_square,
) -> Float[Tensor, ""]:
    r"""Match a structure among the samples of a batch, of any kind; a scalar.

    .. math::
        L = D_F\bigl( M(f_S^1, f_S^2, \dots), \; M(f_T^1, f_T^2, \dots) \bigr)

    Survey: si2023 eq. 4, section 2.2.3 and Fig. 5.
    Paper: no single one; the form in which {cite:t}`si2023` puts the losses of its section.

    Args:
        student_features: of a layer, the samples first; each is taken as one row, in float32 at least.
        teacher_features: of the same samples, in any shape; a constant.
        relation: from rows, one a sample, to what stands between them (a matrix, angles, a graph). Default: the
            distances of all pairs over their mean, since the survey has M compute distances between samples.
        distance: from the student's and the teacher's structure to a number. Default: the mean square of their
            difference; the survey leaves D_F open.

    Returns:
        What `distance` says; 0 for one sample, which stands in no relation.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples, or not the same number of them.

    Notes:
        `STRUCTURES` names the pairs with which `sp_loss`, `cc_loss`, both parts of `rkd_loss`, `pkt_loss` and the
        edges of `irg_loss` call this function. None of them needs equal widths, because M takes them away.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0], [3.0]])
        >>> round(structural_generic_loss(student, teacher).item(), 4)  # (3/4, 3/4, 6/4) against (2/4, 4/4, 6/4)
        0.0278
    """
    return structural_parts(student_features, teacher_features, relation, distance)


def structural_parts(
    student_features: Tensor, teacher_features: Tensor, relation: Relation, distance: Distance
) -> Tensor:
    """`structural_generic_loss` for a distance that may give several numbers, so that one relation serves them all."""
    student, teacher = as_rows(student_features, teacher_features)
    if len(student) == 1:
        return nothing(student)
    with torch.no_grad():
        wanted = relation(teacher)
    return distance(relation(student), wanted)


class StructuralGeneric(Method):
    """`structural_generic_loss` on the embeddings that the classifiers read.

    Args:
        structure: a name in `STRUCTURES`; the library's other methods are these with their published weights.
            Default ``rkd-distance``: distances of outputs are what the survey's section begins with.
        weight: Default 25: that of the distances in `rkd_loss`, as RepDistiller has it; the survey gives none.
    """

    zero_at_agreement = True

    def __init__(self, *, structure: str = "rkd-distance", weight: float = 25.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if structure not in STRUCTURES:
            raise Refusal(f"structure must be one of {', '.join(STRUCTURES)}, got '{structure}'")
        self.structure, self.weight = STRUCTURES[structure], weight

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        embedding_sizes(setting)
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        relation, distance = self.structure
        value = structural_generic_loss(student.embedding, teacher.embedding, relation=relation, distance=distance)
        return {"structural_generic": Term(value, self.weight)}


ENTRIES = (Entry("structural-generic", "loss", StructuralGeneric, {}, "si2023 eq. 4, by distances"),)
