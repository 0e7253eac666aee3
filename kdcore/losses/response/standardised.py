"""Scores brought to one scale before they are compared, so that the student need not copy the teacher's."""

from __future__ import annotations

from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_two_classes,
    divergence,
    log_softened,
    reduce,
    reduced_divergence,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Term

# The authors of logit standardisation add this to the deviation; as a floor it leaves every other example alone.
SMALLEST_DEVIATION = 1e-7


def standardise(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
    r"""Give each example's scores mean zero and deviation one; to be used before any loss on scores.

    .. math::
        \mathcal Z_i = \frac{z_i - \mu(z)}{\sigma(z)}, \quad \sigma^2 = \frac{1}{K - 1} \sum_i (z_i - \mu)^2

    Survey: zhao2026 eq. 11, whose temperature is this deviation (errata Z-09).
    Paper: {cite:t}`sun2024logit`.

    Args:
        logits: unnormalised scores of at least two classes, any floating type; computed in float32 at least.

    Returns:
        Scores with mean 0 and deviation 1, none larger than ``(classes - 1) / sqrt(classes)``; all 0 where an
        example's scores are equal.

    Raises:
        TypeError: the logits are no floating-point tensor.
        ValueError: they have no shape (batch, classes), or there is one class.

    Notes:
        The authors divide by the deviation plus 1e-7; here 1e-7 is its smallest value.

    Example:
        >>> import torch
        >>> [round(z, 4) for z in standardise(torch.tensor([[1.0, 3.0, 8.0]]))[0].tolist()]
        [-0.8321, -0.2774, 1.1094]
    """
    check_logits(logits=logits)
    scores = at_least_float32(logits)
    return (scores - scores.mean(1, keepdim=True)) / _deviation(scores)


def logit_std_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 2.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the shape of the teacher's answer and let the student choose how widely its scores spread.

    .. math::
        L = \tau^2 \, \mathrm{KL}\!\left( \mathrm{softmax}(\mathcal Z(z^t) / \tau) \,\|\,
        \mathrm{softmax}(\mathcal Z(z^s) / \tau) \right), \quad \mathcal Z(z) = (z - \mu) / \sigma

    Survey: zhao2026 section 5.1 and eq. 11 (which drops the base temperature: errata Z-09; see
    `logit_std_survey_loss`), Table 2.
    Paper: {cite:t}`sun2024logit`.

    Args:
        student_logits: unnormalised scores of at least two classes, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperature: the base temperature, above 0. Default 2: the authors' on CIFAR-100.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding), 0 when each example's scores agree up to a shift and a positive factor.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, there is one class, or the temperature is not above 0.

    Notes:
        Removing the mean changes nothing, since the softmax does not see it. Dividing by each network's own deviation
        is a temperature of its own for each example, so the teacher's confidence is not taught.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[1.0, 2.0, 6.0]])
        >>> student = 0.1 * teacher + 7
        >>> abs(logit_std_loss(student, teacher).item()) < 1e-6, logit_std_loss(-student, teacher).item() > 0.1
        (True, True)
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_range(temperature=(temperature, 0.0, False))
    student = log_softened(standardise(student_logits), temperature)
    teacher = log_softened(standardise(teacher_logits.detach()), temperature)
    return reduced_divergence(student, teacher, temperature**2, reduction)


def logit_std_survey_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the shape of the teacher's answer, its spread being the only temperature.

    .. math::
        L = \mathrm{KL}\!\left( \mathrm{softmax}(\mathcal Z(z^t)) \,\|\, \mathrm{softmax}(\mathcal Z(z^s)) \right),
        \quad \mathcal Z(z; \tau) = (z - \mu) / \tau, \; \tau = \sigma(z)

    Survey: zhao2026 eq. 11 as printed (errata Z-09), put into its eq. 2, where no temperature is left to square.
    Paper: {cite:t}`sun2024logit` prints another loss, `logit_std_loss`.

    Args:
        student_logits: unnormalised scores of at least two classes, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding), 0 when each example's scores agree up to a shift and a positive factor.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or there is one class.

    Notes:
        It is `logit_std_loss` at base temperature 1. A standardised score is never above
        ``(classes - 1) / sqrt(classes)``, so without a base temperature nothing can make the answers sharper.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([[1.0, 6.0, 2.0]])
        >>> logit_std_survey_loss(student, teacher) == logit_std_loss(student, teacher, temperature=1.0)
        tensor(True)
    """
    return logit_std_loss(student_logits, teacher_logits, temperature=1.0, reduction=reduction)


def normkd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 2.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's answer at a temperature that follows the spread of each example's scores.

    .. math::
        L = T_t^2 \, \mathrm{KL}\!\left( \mathrm{softmax}(z^t / T_t) \,\|\, \mathrm{softmax}(z^s / T_s) \right),
        \quad T_t = T_{norm} \, \sigma(z^t), \; T_s = T_{norm} \, \sigma(z^s)

    Survey: zhao2026 section 6, Table 2 (no formula; set beside logit standardisation as if apart: errata Z-25).
    Paper: {cite:t}`chi2023normkd`.

    Args:
        student_logits: unnormalised scores of at least two classes, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperature: the factor on the deviation, above 0. Default 2: the authors' on CIFAR-100.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding), 0 when each example's scores agree up to a shift and a positive factor.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, there is one class, or the temperature is not above 0.

    Notes:
        For each example it is `logit_std_loss` times the variance of the teacher's scores: the same gradient
        direction, another length.
        The authors divide by the deviation as it is; here it is at least 1e-7, so that equal scores give no NaN.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([[1.0, 6.0, 2.0]])
        >>> ratio = normkd_loss(student, teacher) / logit_std_loss(student, teacher)
        >>> round(ratio.item(), 4), teacher.var().item()
        (7.0, 7.0)
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_range(temperature=(temperature, 0.0, False))
    student, teacher = at_least_float32(student_logits), at_least_float32(teacher_logits.detach())
    softness = temperature * _deviation(teacher)
    value = divergence(log_softened(student, temperature * _deviation(student)), log_softened(teacher, softness))
    return reduce(softness[:, 0] ** 2 * value, reduction)


def _deviation(scores: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch 1"]:
    check_two_classes(scores)
    return scores.std(1, keepdim=True).clamp_min(SMALLEST_DEVIATION)


class LogitStd(Method):
    """`logit_std_loss` beside the labels: 9 against 0.1, the authors'; `printed` takes `logit_std_survey_loss`."""

    zero_at_agreement = True

    def __init__(
        self, *, temperature: float = 2.0, weight: float = 9.0, task_weight: float = 0.1, printed: bool = False
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight, task_weight=task_weight)
        self.temperature, self.weight, self.task_weight, self.printed = temperature, weight, task_weight, printed

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        if self.printed:
            return {"logit_std": Term(logit_std_survey_loss(student.logits, teacher.logits), self.weight)}
        value = logit_std_loss(student.logits, teacher.logits, temperature=self.temperature)
        return {"logit_std": Term(value, self.weight)}


class NormKD(Method):
    """`normkd_loss` beside the labels: 0.9 against 0.1, the authors'."""

    zero_at_agreement = True

    def __init__(self, *, temperature: float = 2.0, weight: float = 0.9, task_weight: float = 0.1):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight, task_weight=task_weight)
        self.temperature, self.weight, self.task_weight = temperature, weight, task_weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        value = normkd_loss(student.logits, teacher.logits, temperature=self.temperature)
        return {"normkd": Term(value, self.weight)}


ENTRIES = (
    Entry("logit-std", "loss", LogitStd, {}, "CVPR 2024, on plain distillation"),
    Entry("logit-std-zhao2026", "loss", LogitStd, {"printed": True}, "zhao2026 eq. 11 as printed"),
    Entry("normkd", "loss", NormKD, {}, "arXiv:2308.00520"),
)
