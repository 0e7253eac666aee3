"""Cross-entropy with labels: the true ones, the teacher's best guess, the teacher's whole answer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_targets,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Term


def ce_ground_truth_loss(
    student_logits: Float[Tensor, "batch classes"], targets: Int[Tensor, " batch"], *, reduction: Reduction = "mean"
) -> Float[Tensor, " ..."]:
    r"""Learn the true classes, as any classifier does.

    .. math::
        L = -\log p^s_y, \quad p^s = \mathrm{softmax}(z^s)

    Survey: huang2022 eq. 7 and eq. 15 (a sum over the samples); zhao2026 eq. 3; the undistilled rows of zhao2026
    Table 2 and si2023 Table 1.
    Paper: none of its own, the maximum-likelihood estimate of a classifier; beside a teacher
    {cite:t}`hinton2015distilling`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        targets: true classes, in ``0 .. classes - 1``.
        reduction: over examples; ``sum`` is huang2022 eq. 15.

    Returns:
        A value above 0 that tends to 0 as the student grows certain of the truth.

    Raises:
        TypeError: the logits are not of a floating type, or the targets are.
        ValueError: shapes do not fit, or a target is out of range.

    Notes:
        No temperature: the labels are met by the answer that is used after training.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> round(ce_ground_truth_loss(student, torch.tensor([1])).item(), 4)
        1.3863
    """
    check_logits(student_logits=student_logits)
    check_targets(targets, student_logits)
    return reduce(F.cross_entropy(at_least_float32(student_logits), targets, reduction="none"), reduction)


def ce_teacher_hard_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Take the class that the teacher finds most likely for the truth.

    .. math::
        L = -\log p^s_{\hat y}, \quad \hat y = \arg\max_i z^t_i

    Survey: zhao2026 section 2.3 and Table 1 (printed with the true label: errata Z-16; that is
    `ce_ground_truth_loss`).
    Paper: the survey cites {cite:t}`bucila2006compression`, which trains on an ensemble's outputs (errata Z-26).

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value above 0; not 0 when both networks agree, unless they are certain.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ.

    Notes:
        Of equally likely classes the first counts. Where the teacher is always right, this is training on the labels.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.1, 0.6, 0.3]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> round(ce_teacher_hard_loss(student, teacher).item(), 4)
        1.3863
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    return ce_ground_truth_loss(student_logits, teacher_logits.argmax(1), reduction=reduction)


def ce_soft_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Take the teacher's whole answer for a label with shares.

    .. math::
        L = -\sum_i p^t_i \log p^s_i, \quad p = \mathrm{softmax}(z / T)

    Survey: huang2022 eq. 3; zhao2026 Table 1 prints it with the temperature on the teacher alone
    (`ce_soft_survey_loss`) and calls it a simpler divergence (errata Z-17).
    Paper: {cite:t}`hinton2015distilling`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperature: softens both answers, above 0. Default 1: the plain cross-entropy with the teacher's probabilities.
        reduction: over examples.

    Returns:
        A value of at least the entropy of the teacher's answer, which it reaches when both networks agree.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the temperature is not above 0.

    Notes:
        Its gradient is that of `kd_loss` divided by the squared temperature: both differ by a constant and that factor.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.6, 0.4]]).log(), torch.tensor([[0.5, 0.5]]).log()
        >>> round(ce_soft_loss(student, teacher).item(), 4)
        0.6931
    """
    return _soft_cross_entropy(student_logits, teacher_logits, temperature, temperature, reduction)


def ce_soft_survey_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Take the teacher's softened answer for a label, and meet it with the student's unsoftened one.

    .. math::
        L = -\sum_i p^t_i \log p^s_i, \quad p^t = \mathrm{softmax}(z^t / T), \; p^s = \mathrm{softmax}(z^s)

    Survey: zhao2026 Table 1, last row, as printed (errata Z-17).
    Paper: none prints this form; the usual one is `ce_soft_loss`, {cite:t}`hinton2015distilling`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperature: softens the teacher alone, above 0. Default 4, as for `kd_loss`; the survey gives none.
        reduction: over examples.

    Returns:
        A value of at least the entropy of the softened teacher; lowest where the student's plain answer is the
        teacher's softened one, so not where both networks agree.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the temperature is not above 0.

    Notes:
        At temperature 1 it is `ce_soft_loss`. Above, the student learns to be less certain than its teacher.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.6, 0.4]]).log() * 2, torch.tensor([[0.6, 0.4]]).log()
        >>> round(ce_soft_survey_loss(student, teacher, temperature=2.0).item(), 4)
        0.673
    """
    return _soft_cross_entropy(student_logits, teacher_logits, 1.0, temperature, reduction)


def _soft_cross_entropy(
    student_logits: Tensor, teacher_logits: Tensor, student_temperature: float, temperature: float, reduction: Reduction
) -> Tensor:
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_range(temperature=(temperature, 0.0, False))
    labels = log_softened(teacher_logits.detach(), temperature).exp()
    return reduce(-(labels * log_softened(student_logits, student_temperature)).sum(1), reduction)


class CEGroundTruth(Method):
    """`ce_ground_truth_loss` as a method: the labels alone, whatever the teacher says."""

    task_weight = 0.0

    def __init__(self, *, weight: float = 1.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.weight = weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"ce_ground_truth": Term(ce_ground_truth_loss(student.logits, batch.targets), self.weight)}


class CETeacherHard(Method):
    """`ce_teacher_hard_loss` in place of the labels."""

    task_weight = 0.0

    def __init__(self, *, weight: float = 1.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.weight = weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"ce_teacher_hard": Term(ce_teacher_hard_loss(student.logits, teacher.logits), self.weight)}


class CESoft(Method):
    """`ce_soft_loss`, in place of the labels unless `task_weight` says otherwise; `printed` takes zhao2026's form."""

    def __init__(
        self, *, temperature: float = 1.0, weight: float = 1.0, task_weight: float = 0.0, printed: bool = False
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight, task_weight=task_weight)
        self.temperature, self.weight, self.task_weight = temperature, weight, task_weight
        self.loss = ce_soft_survey_loss if printed else ce_soft_loss

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        value = self.loss(student.logits, teacher.logits, temperature=self.temperature)
        return {"ce_soft": Term(value, self.weight)}


ENTRIES = (
    Entry("ce-ground-truth", "loss", CEGroundTruth, {}, "the undistilled student"),
    Entry("ce-teacher-hard", "loss", CETeacherHard, {}, "zhao2026 Table 1"),
    Entry("ce-soft", "loss", CESoft, {}, "zhao2026 Table 1 at temperature 1"),
    Entry("ce-soft-zhao2026", "loss", CESoft, {"temperature": 4.0, "printed": True}, "zhao2026 Table 1 as printed"),
    Entry(
        "kd-huang2022",
        "loss",
        CESoft,
        {"temperature": 4.0, "weight": 0.9, "task_weight": 0.1},
        "huang2022 eq. 3 and 6 at 0.9, without the squared temperature",
    ),
)
