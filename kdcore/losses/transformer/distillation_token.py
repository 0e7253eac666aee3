"""A token of its own for what the teacher says, beside the one for the labels."""

from __future__ import annotations

from typing import Any, Literal, Self

from kdcore._typing import Float, Int, Tensor
from kdcore.losses._common import Reduction, check_choice, check_range, check_same_shape, refuse_out_of_range
from kdcore.losses.response.distillation import kd_loss
from kdcore.losses.response.labels import ce_ground_truth_loss, ce_teacher_hard_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["paper", "released"]


def deit_soft_loss(
    student_logits: Float[Tensor, "batch classes"],
    student_distillation_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    temperature: float = 1.0,
    weight: float = 0.5,
    form: Form = "paper",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Learn the labels through one token and the teacher's softened answer through another.

    .. math::
        L = (1 - \lambda) \, \mathrm{CE}(z^{\text{cls}}, y)
            + \lambda T^2 \, \mathrm{KL}(p^t \,\|\, p^{\text{dist}}), \quad p = \mathrm{softmax}(z / T)

    Survey: zhao2026 eq. 12 (printed without weights: errata Z-12; see `deit_survey_loss`).
    Paper: {cite:t}`touvron2020deit`, its soft distillation.

    Args:
        student_logits: what the class token says, any floating type; computed in float32 at least.
        student_distillation_logits: what the distillation token says, the same shape.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        temperature: softens both answers of the second term, above 0. Default 1: the authors' code.
        weight: lambda, in 0 .. 1. Default 0.5: the authors' code.
        form: ``released`` divides the divergence by the number of classes too, as the authors' code does by default.
            Default ``paper``.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding).

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or a number is out of its range.

    Notes:
        Teacher first in the divergence, as in the survey and in the authors' code; summaries of the paper, which we
        could not read itself, put the student's symbol first. The same for its hyper-parameters: the defaults are
        those of the code's command line.
        The loss sees two answers of one network, so the student needs a distillation token. At test both answers are
        averaged, which is the network's business.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.4]]).log()
        >>> even = torch.tensor([[0.5, 0.5]]).log()
        >>> round(deit_soft_loss(even, even, teacher, torch.tensor([0])).item(), 4)  # (0.6931 + 0.0201) / 2
        0.3566
    """
    check_choice("form", form, "paper", "released")
    _check(student_logits, student_distillation_logits, weight)
    taught = kd_loss(student_distillation_logits, teacher_logits, temperature=temperature, reduction=reduction)
    classes = teacher_logits.shape[1] if form == "released" else 1
    told = ce_ground_truth_loss(student_logits, targets, reduction=reduction)
    return (1 - weight) * told + weight * taught / classes


def deit_survey_loss(
    student_logits: Float[Tensor, "batch classes"],
    student_distillation_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Learn the labels through one token and the teacher through another, the two terms added as they are.

    .. math::
        L = \mathrm{CE}(z^{\text{cls}}, y) + T^2 \, \mathrm{KL}(p^t \,\|\, p^{\text{dist}}),
        \quad p = \mathrm{softmax}(z / T)

    Survey: zhao2026 eq. 12 as printed (errata Z-12).
    Paper: {cite:t}`touvron2020deit` weighs the terms, `deit_soft_loss`.

    Args:
        student_logits: what the class token says, any floating type; computed in float32 at least.
        student_distillation_logits: what the distillation token says, the same shape.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        temperature: softens both answers of the second term, above 0. Default 1, as for `deit_soft_loss`; the survey
            gives none.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding): twice `deit_soft_loss` of equal weights.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or the temperature is not above 0.

    Notes:
        No other weights of the paper's form are within its reach.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.4]]).log()
        >>> even = torch.tensor([[0.5, 0.5]]).log()
        >>> round(deit_survey_loss(even, even, teacher, torch.tensor([0])).item(), 4)
        0.7133
    """
    answers = student_logits, student_distillation_logits, teacher_logits, targets
    return 2 * deit_soft_loss(*answers, temperature=temperature, weight=0.5, reduction=reduction)


def deit_hard_loss(
    student_logits: Float[Tensor, "batch classes"],
    student_distillation_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    weight: float = 0.5,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Learn the labels through one token and the teacher's most likely class through another.

    .. math::
        L = \tfrac12 \, \mathrm{CE}(z^{\text{cls}}, y) + \tfrac12 \, \mathrm{CE}(z^{\text{dist}}, \hat y),
        \quad \hat y = \arg\max_i z^t_i

    Survey: zhao2026 section 5.2, which does not tell it apart from eq. 12 (errata Z-12).
    Paper: {cite:t}`touvron2020deit`, its hard-label distillation.

    Args:
        student_logits: what the class token says, any floating type; computed in float32 at least.
        student_distillation_logits: what the distillation token says, the same shape.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        weight: of the teacher's term, the labels get the rest, in 0 .. 1. Default 0.5: the formula's half, and the
            authors' code.
        reduction: over examples.

    Returns:
        A value above 0.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or the weight is.

    Notes:
        The teacher is asked about the very crop that the student sees, so its label may change with the view.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.4, 0.6]]).log()
        >>> told, taught = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.75, 0.25]]).log()
        >>> round(deit_hard_loss(told, taught, teacher, torch.tensor([0])).item(), 4)  # (0.6931 + 1.3863) / 2
        1.0397
    """
    _check(student_logits, student_distillation_logits, weight)
    taught = ce_teacher_hard_loss(student_distillation_logits, teacher_logits, reduction=reduction)
    return (1 - weight) * ce_ground_truth_loss(student_logits, targets, reduction=reduction) + weight * taught


def _check(student: Tensor, distillation: Tensor, weight: float) -> None:
    check_same_shape(student_logits=student, student_distillation_logits=distillation)
    check_range(weight=(weight, 0.0, True), **{"1 - weight": (1 - weight, 0.0, True)})


class DeiT(Method):
    """The teacher's part of `deit_soft_loss` or `deit_hard_loss`, for a student with a distillation token.

    The labels' part is the task's: the class token's answer is what such a student calls its logits in training.

    Args:
        hard: the teacher's most likely class instead of its softened answer.
        temperature: of the soft form.
        form: ``released`` divides the soft form's divergence by the number of classes too.
        weight: of the teacher's term. Default 0.5: the authors' code, and the formula of the hard form.
        task_weight: of the labels' term. Default 0.5, the rest.
    """

    def __init__(
        self,
        *,
        hard: bool = False,
        temperature: float = 1.0,
        form: Form = "paper",
        weight: float = 0.5,
        task_weight: float = 0.5,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight, task_weight=task_weight)
        if form not in ("paper", "released"):
            raise Refusal(f"form must be 'paper' or 'released', got {form!r}")
        self.hard, self.temperature, self.form = hard, temperature, form
        self.weight, self.task_weight, self.zero_at_agreement = weight, task_weight, not hard

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        if getattr(setting.student, "distillation_logits", None) is None:
            key = "deit-hard" if settings.get("hard") else "deit-soft"
            raise Refusal(f"{key} teaches a distillation token, and the student has none")
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        taught = student.distillation_logits
        if self.hard:
            return {"deit_hard": Term(ce_teacher_hard_loss(taught, teacher.logits), self.weight)}
        value = kd_loss(taught, teacher.logits, temperature=self.temperature)
        return {"deit_soft": Term(value / (taught.shape[1] if self.form == "released" else 1), self.weight)}


ENTRIES = (
    Entry("deit-soft", "loss", DeiT, {}, "ICML 2021, soft; weights of the authors' code"),
    Entry("deit-hard", "loss", DeiT, {"hard": True}, "ICML 2021, hard labels"),
    Entry("deit-soft-released", "loss", DeiT, {"form": "released"}, "the authors' code: divided by the classes too"),
    Entry("deit-zhao2026", "loss", DeiT, {"weight": 1.0, "task_weight": 1.0}, "zhao2026 eq. 12 as printed"),
)
