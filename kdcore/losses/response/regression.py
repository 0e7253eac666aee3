"""Regression of the teacher's scores: no softmax, no temperature, no labels."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    check_choice,
    check_logits,
    refuse_out_of_range,
    squared_error,
)
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Term

Form = Literal["mean", "half-sum"]


def logit_mse_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    form: Form = "mean",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's scores themselves, by their squared difference.

    .. math::
        L = \frac{1}{K} \lVert z^s - z^t \rVert_2^2 \;\text{(mean)}, \qquad
        L = \frac{1}{2} \lVert z^s - z^t \rVert_2^2 \;\text{(half-sum)}

    Survey: zhao2026 eq. 4 and Table 1 (``mean``); huang2022 section 2 and note-hinton section 2, in words.
    Paper: {cite:t}`ba2014deep`, whose objective is ``half-sum``.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        form: ``mean`` over the classes, or half their ``half-sum``. Default ``mean``: zhao2026's printed form, which
            is also the usual mean squared error.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only when both networks give the same scores.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the form is unknown.

    Notes:
        Unlike every loss on probabilities it sees a shift of all scores. The gradient of `kd_loss` tends to this
        one's, up to a factor, when the temperature grows and both networks' scores have mean zero (errata H-03).
        The two forms differ by the factor ``classes / 2``, so a weight must name its form.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
        >>> logit_mse_loss(student, teacher), logit_mse_loss(student, teacher, form="half-sum")
        (tensor(2.5000), tensor(2.5000))
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_choice("form", form, "mean", "half-sum")
    scale = student_logits.shape[1] if form == "mean" else 2
    return squared_error(student_logits, teacher_logits, scale, reduction)


class LogitMSE(Method):
    """`logit_mse_loss` alone, as its paper trains: the labels count nothing."""

    zero_at_agreement = True

    def __init__(self, *, form: Form = "mean", weight: float = 1.0, task_weight: float = 0.0):
        super().__init__()
        refuse_out_of_range(weight=weight, task_weight=task_weight)
        if form not in ("mean", "half-sum"):
            raise Refusal(f"form must be 'mean' or 'half-sum', got {form!r}")
        self.form, self.weight, self.task_weight = form, weight, task_weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"logit_mse": Term(logit_mse_loss(student.logits, teacher.logits, form=self.form), self.weight)}


ENTRIES = (
    Entry("logit-mse", "loss", LogitMSE, {}, "zhao2026 eq. 4, mean over the classes"),
    Entry("logit-mse-ba2014", "loss", LogitMSE, {"form": "half-sum"}, "NIPS 2014, half the sum over the classes"),
)
