"""Nearer to the teacher's answer to the same example than to one's own answer to another class."""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore._typing import Bool, Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_same_shape,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.response.distillation import output_distribution_kl_loss
from kdcore.types import Batch, Entry, Method, Outputs, Term


def triplet_kd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    negative_logits: Float[Tensor, "batch classes"],
    *,
    margin: float = 5.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Bring the student's answer nearer to the teacher's than its answer to an example of another class.

    .. math::
        L = \max \bigl( 0, \; \lVert z^t_i - z^s_i \rVert_2 - \lVert z^t_i - z^s_j \rVert_2 + m \bigr),
        \quad y_j \ne y_i

    Survey: si2023 section 2.1, in words.
    Paper: {cite:t}`oki2020triplet`.

    Args:
        student_logits: unnormalised scores of the examples, any floating type; computed in float32 at least.
        teacher_logits: the teacher's of the same examples, the anchors; taken as a constant.
        negative_logits: the student's scores of an example of another class for each.
        margin: by how much the negative must be farther, at least 0. Default 5: the authors' code on CIFAR-10.
        reduction: over examples.

    Returns:
        A value of at least 0; 0 where the negative is farther than the positive by the margin.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the margin is below 0.

    Notes:
        The gradient also pushes the student's answer to the negative example away.
        The distances are those of ``torch.nn.TripletMarginLoss``, which the authors use, without the 1e-6 that it
        adds to each difference; where a distance is 0 its gradient is 0.

    Example:
        >>> import torch
        >>> anchor, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 4.0]])
        >>> triplet_kd_loss(near, anchor, far), triplet_kd_loss(near, anchor, far, margin=1.0)
        (tensor(1.), tensor(0.))
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_logits(negative_logits=negative_logits)
    check_same_shape(student_logits=student_logits, negative_logits=negative_logits)
    check_range(margin=(margin, 0.0, True))
    anchor = at_least_float32(teacher_logits.detach())
    near, far = (
        torch.linalg.vector_norm(at_least_float32(logits) - anchor, dim=1)
        for logits in (student_logits, negative_logits)
    )
    return reduce((near - far + margin).clamp_min(0), reduction)


class TripletKD(Method):
    """`triplet_kd_loss` and the plain divergence, beside the labels: 2, 1 and 1, the authors'.

    The negative of each example is drawn from the other classes of its batch (the authors draw it from the whole
    training set and pay a second forward); an example without one is left out.
    """

    def __init__(
        self, *, margin: float = 5.0, triplet_weight: float = 2.0, soft_weight: float = 1.0, weight: float = 1.0
    ):
        super().__init__()
        refuse_out_of_range(margin=margin, triplet_weight=triplet_weight, soft_weight=soft_weight, weight=weight)
        self.margin, self.triplet_weight, self.soft_weight = margin, weight * triplet_weight, weight * soft_weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        negative, exists = other_class(batch.targets, batch.generator("triplet-kd"))
        each = triplet_kd_loss(
            student.logits, teacher.logits, student.logits[negative], margin=self.margin, reduction="none"
        )
        triplet = torch.where(exists, each, 0).sum() / exists.sum().clamp_min(1)
        soft = output_distribution_kl_loss(student.logits, teacher.logits)
        return {"triplet": Term(triplet, self.triplet_weight), "triplet_soft": Term(soft, self.soft_weight)}


def other_class(
    targets: Int[Tensor, " batch"], random: torch.Generator
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """For each example the index of one of another class, all equally likely, and whether there is any."""
    allowed = targets[:, None] != targets
    draw = torch.rand(allowed.shape, generator=random, device=targets.device)
    return draw.masked_fill(~allowed, -1).argmax(1), allowed.any(1)


ENTRIES = (Entry("triplet-kd", "loss", TripletKD, {}, "IJCNN 2020"),)
