"""How samples lie around the centre of their class, and the centres among each other."""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import check_range, refuse_out_of_range
from kdcore.losses.relation._rows import (
    COINCIDENT,
    as_rows,
    check_labels,
    distances,
    embedding_sizes,
    huber,
    inverse,
    nothing,
    product,
    squared_distances,
)
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term


def category_structure_kd_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    targets: Int[Tensor, " batch"],
    *,
    intra_weight: float = 1.0,
    inter_weight: float = 1.0,
) -> Float[Tensor, ""]:
    r"""Match how far samples lie from the centre of their class, and the centres from each other; a scalar.

    .. math::
        L = \alpha \, \frac1B \sum_i \ell_\delta(r_i^s, r_i^t)
        + \beta \, \frac{1}{\lvert P \rvert} \sum_{(a, b) \in P} \ell_\delta(R_{ab}^s, R_{ab}^t),

    .. math::
        r_i = \frac{\lVert f_i - c_{y_i} \rVert_2}{\mathrm{mean}_j \lVert f_j - c_{y_j} \rVert_2}, \quad
        R_{ab} = \frac{\lVert c_a - c_b \rVert_2}{\mathrm{mean}_P \lVert c_a - c_b \rVert_2}, \quad
        P = \text{pairs of different classes in the batch}

    Survey: si2023 section 2.2.3: the structure inside a class comes from the distances of samples to its centre, the
    one between classes from a learned mapping, which `CategoryStructure` has in front of this loss.
    Paper: {cite:t}`chen2020category`.

    Args:
        student_features: embeddings, the samples first; computed in float32 at least.
        teacher_features: of the same samples, of any size; taken as a constant.
        targets: true classes, one a sample; a class's centre is the mean of its samples in the batch.
        intra_weight: at least 0. Default 1, ours.
        inter_weight: at least 0. Default 1, ours.

    Returns:
        A value of at least 0; 0 when samples lie around their centres, and centres around each other, in the same
        proportions. A class with one sample is its own centre, one class has no other.

    Raises:
        TypeError: features are not of a floating type, or targets are.
        ValueError: the tensors hold no samples or not the same number of them, or a weight is below 0.

    Notes:
        The paper's equations could not be read, and no code was found. The survey gives the distances to the centres;
        that both structures are taken over their mean and compared by the Huber loss is as in `rkd_loss`.
        Centres are products with a table of who shares a class with whom, so the number of classes plays no part.

    Example:
        >>> import torch
        >>> teacher, targets = torch.tensor([[0.0], [2.0], [5.0], [7.0]]), torch.tensor([0, 0, 1, 1])
        >>> student = torch.tensor([[0.0], [2.0], [6.0], [6.0]])  # distances (1, 1, 0, 0), all 1 for the teacher
        >>> category_structure_kd_loss(student, teacher, targets).item()
        0.5
    """
    check_range(intra_weight=(intra_weight, 0.0, True), inter_weight=(inter_weight, 0.0, True))
    given = student_features, teacher_features, targets
    return intra_weight * intra_category(*given) + inter_weight * inter_category(*given)


def intra_category(student_features: Tensor, teacher_features: Tensor, targets: Tensor) -> Float[Tensor, ""]:
    """The first term of `category_structure_kd_loss`: distances of samples to their centre over their mean."""
    student, teacher = _checked(student_features, teacher_features, targets)
    if len(student) == 1:
        return nothing(student)
    mine, theirs = (_spread(rows, targets) for rows in (student, teacher))
    return huber(mine, theirs)


def inter_category(student_features: Tensor, teacher_features: Tensor, targets: Tensor) -> Float[Tensor, ""]:
    """The second term of `category_structure_kd_loss`: distances between centres over their mean."""
    student, teacher = _checked(student_features, teacher_features, targets)
    if len(student) == 1:
        return nothing(student)
    share = _shares(targets, student.dtype)
    apart = share == 0
    weight = product(share.diagonal()[:, None], share.diagonal()[None]) * apart  # each pair of classes counts once
    weight = weight * inverse(weight.sum())
    mine, theirs = (_between(product(share, rows), weight) for rows in (student, teacher))
    return (weight * F.smooth_l1_loss(mine, theirs, reduction="none")).sum()


def _checked(student_features: Tensor, teacher_features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    check_labels(targets, student_features)
    return as_rows(student_features, teacher_features)


def _shares(targets: Int[Tensor, " batch"], dtype: torch.dtype) -> Float[Tensor, "batch batch"]:
    """Row i: what each sample adds to the mean of sample i's class."""
    together = (targets[:, None] == targets).to(dtype)
    return together / together.sum(1, keepdim=True)


def _spread(rows: Float[Tensor, "batch size"], targets: Tensor) -> Float[Tensor, " batch"]:
    away = rows - product(_shares(targets, rows.dtype), rows)
    squares, lengths = away.square().sum(1), rows.square().sum(1)
    squares = torch.where(squares > (COINCIDENT * torch.finfo(rows.dtype).eps) ** 2 * lengths, squares, 0)
    found = distances(squares)
    return found * inverse(found.mean())


def _between(
    centres: Float[Tensor, "batch size"], weight: Float[Tensor, "batch batch"]
) -> Float[Tensor, "batch batch"]:
    found = distances(squared_distances(centres))
    return found * inverse((weight * found).sum())


class CategoryStructure(Method):
    """Both terms of `category_structure_kd_loss` on the embeddings, the centres after a learned linear map.

    The map brings the student's embedding to the teacher's size and learns together with the student; si2023 says of
    the structure between classes that it comes from a learned mapping, and no more.

    Args:
        student: size of the student's embedding.
        teacher: of the teacher's.
        intra_weight, inter_weight: see `category_structure_kd_loss`.
        weight: of both. Default 1, ours.
    """

    def __init__(
        self, student: int, teacher: int, *, intra_weight: float = 1.0, inter_weight: float = 1.0, weight: float = 1.0
    ):
        super().__init__()
        refuse_out_of_range(intra_weight=intra_weight, inter_weight=inter_weight, weight=weight)
        self.weights = (weight * intra_weight, weight * inter_weight)
        self.mapping = nn.Linear(student, teacher, bias=False)

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        return cls(*embedding_sizes(setting), **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        intra = intra_category(student.embedding, teacher.embedding, batch.targets)
        inter = inter_category(self.mapping(student.embedding), teacher.embedding, batch.targets)
        return {"category_intra": Term(intra, self.weights[0]), "category_inter": Term(inter, self.weights[1])}


ENTRIES = (Entry("category-structure-kd", "loss", CategoryStructure, {}, "ECCV 2020, as si2023 tells it"),)
