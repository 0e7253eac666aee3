"""Two views of each image: the teacher's answer to one also teaches the student's answer to the other."""

from __future__ import annotations

from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_same_shape,
    divergence,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Term


def crld_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    strong_student_logits: Float[Tensor, "batch classes"],
    strong_teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 4.0,
    confidence: float = 0.9,
    strong_confidence: float = 0.2,
    within_weight: float = 2.0,
    cross_weight: float = 0.5,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's answers within each of two views and across them, where the teacher is sure enough.

    .. math::
        L = w_w \, [c(x_w) \ge \tau_w] \, (D_{ww} + D_{ss}) + w_c \, [c(x_s) \ge \tau_s] \, (D_{ws} + D_{sw}),
        \quad D_{ab} = T^2 \, \mathrm{KL}(p^t(x_a) \,\|\, p^s(x_b)), \; c(x) = \max_i \mathrm{softmax}(z^t(x))_i

    Survey: zhao2026 section 6, Table 2 (called a fusion of similarity and logits, which it is not: errata Z-20).
    Paper: {cite:t}`zhang2024crld`.

    Args:
        student_logits: the student's scores of the weak view, any floating type; computed in float32 at least.
        teacher_logits: the teacher's of the same view; taken as a constant.
        strong_student_logits: the student's of the strongly augmented view of the same examples.
        strong_teacher_logits: the teacher's of that view; taken as a constant.
        temperature: softens all answers, above 0. Default 4, as all defaults here from the one public code, a fork.
        confidence: how probable the teacher's best class must be on the weak view, without temperature, for the
            terms within a view. Default 0.9.
        strong_confidence: the same on the strong view, for the terms across views. Default 0.2.
        within_weight: weight of the terms within a view. Default 2.
        cross_weight: weight of the terms across views. Default 0.5.
        reduction: over examples; one below its confidence counts as 0 and is not left out of a mean.

    Returns:
        A value of at least 0 (up to rounding); 0 where the teacher is unsure, and where all four answers agree.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or a number is out of its range.

    Notes:
        With equal views and no confidence asked for, it is ``2 (within_weight + cross_weight)`` times `kd_loss`.
        As in the public code, the weak view's confidence gates both terms within a view, and the strong view's both
        across; we could not check it against the paper. The labels on both views belong to the method.

    Example:
        >>> import torch
        >>> from kdcore.losses import kd_loss
        >>> teacher, student = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
        >>> views = (student, teacher, student, teacher)
        >>> loss = crld_loss(*views, confidence=0.0, strong_confidence=0.0)
        >>> round((loss / kd_loss(student, teacher)).item(), 4), crld_loss(*views, cross_weight=0.0).item()
        (5.0, 0.0)
    """
    within, cross = _terms(
        (student_logits, strong_student_logits),
        (teacher_logits, strong_teacher_logits),
        temperature,
        (confidence, strong_confidence),
    )
    check_range(within_weight=(within_weight, 0.0, True), cross_weight=(cross_weight, 0.0, True))
    return reduce(within_weight * within + cross_weight * cross, reduction)


def _terms(
    students: tuple[Tensor, Tensor],
    teachers: tuple[Tensor, Tensor],
    temperature: float,
    confidences: tuple[float, float],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """The unweighted terms within and across views; each pair holds the weak view, then the strong one."""
    check_logits(student_logits=students[0], teacher_logits=teachers[0])
    check_logits(strong_student_logits=students[1], strong_teacher_logits=teachers[1])
    check_same_shape(student_logits=students[0], strong_student_logits=students[1])
    check_range(temperature=(temperature, 0.0, False))
    check_range(confidence=(confidences[0], 0.0, True), strong_confidence=(confidences[1], 0.0, True))
    weak, strong = (log_softened(scores, temperature) for scores in students)
    weak_teacher, strong_teacher = (log_softened(scores.detach(), temperature) for scores in teachers)
    within = divergence(weak, weak_teacher) + divergence(strong, strong_teacher)
    cross = divergence(strong, weak_teacher) + divergence(weak, strong_teacher)
    sure = (_confidence(scores) >= least for scores, least in zip(teachers, confidences))
    gated = (temperature**2 * gate * value for gate, value in zip(sure, (within, cross)))
    return tuple(gated)


def _confidence(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
    return at_least_float32(logits.detach()).softmax(1).amax(1)


class CRLD(Method):
    """`crld_loss` on the views ``weak`` and ``strong``, beside the labels on both.

    Both networks are asked about each view in a forward of its own, so batch statistics see one view at a time.
    """

    zero_at_agreement = False  # the labels on the strong view remain

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        confidence: float = 0.9,
        strong_confidence: float = 0.2,
        within_weight: float = 2.0,
        cross_weight: float = 0.5,
        strong_task_weight: float = 1.0,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(
            above_zero={"temperature": temperature},
            confidence=confidence,
            strong_confidence=strong_confidence,
            within_weight=within_weight,
            cross_weight=cross_weight,
            strong_task_weight=strong_task_weight,
            weight=weight,
        )
        self.temperature, self.confidences = temperature, (confidence, strong_confidence)
        self.weights = (weight * within_weight, weight * cross_weight)
        self.strong_task_weight = strong_task_weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        strong, strong_teacher = student.view("strong"), teacher.view("strong")
        within, cross = _terms(
            (student.logits, strong.logits),
            (teacher.logits, strong_teacher.logits),
            self.temperature,
            self.confidences,
        )
        return {
            "crld_strong_task": Term(batch.task.loss(strong, batch), self.strong_task_weight),
            "crld_within": Term(within.mean(), self.weights[0]),
            "crld_cross": Term(cross.mean(), self.weights[1]),
        }


ENTRIES = (Entry("crld", "loss", CRLD, {}, "ACM MM 2024"),)
