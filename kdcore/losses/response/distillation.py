"""The divergence of the student's softened answer from the teacher's: the loss that gave the field its name."""

from __future__ import annotations

from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    check_logits,
    check_range,
    log_softened,
    reduced_divergence,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Term


def softened_softmax(
    logits: Float[Tensor, "batch classes"], *, temperature: float = 4.0
) -> Float[Tensor, "batch classes"]:
    r"""Turn scores into probabilities, the flatter the higher the temperature.

    .. math::
        p_i = \frac{\exp(z_i / T)}{\sum_j \exp(z_j / T)}

    Survey: zhao2026 eq. 1; huang2022 eq. 1 and 2 (whose sums have one class too many, and whose limit for a high
    temperature is not the logits: errata H-01, H-02); note-hinton section 1.
    Paper: {cite:t}`hinton2015distilling`.

    Args:
        logits: unnormalised scores, any floating type; computed in float32 at least.
        temperature: above 0. Default 4: RepDistiller's and mdistiller's on CIFAR-100; 1 is the usual softmax.

    Returns:
        Probabilities that sum to 1 over the classes. For a high temperature they tend to ``1 / classes``.

    Raises:
        TypeError: the logits are no floating-point tensor.
        ValueError: they have no shape (batch, classes), or the temperature is not above 0.

    Notes:
        The only function here that returns no loss, and the only one that differentiates both networks' scores.

    Example:
        >>> import math, torch
        >>> scores = torch.tensor([[0.0, 2 * math.log(3.0)]])
        >>> [round(p, 6) for p in softened_softmax(scores, temperature=2.0)[0].tolist()]
        [0.25, 0.75]
    """
    check_logits(logits=logits)
    check_range(temperature=(temperature, 0.0, False))
    return log_softened(logits, temperature).exp()


def kd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's whole answer, softened so that its small probabilities count.

    .. math::
        L = T^2 \, \mathrm{KL}(p^t \,\|\, p^s) = T^2 \sum_i p^t_i \log \frac{p^t_i}{p^s_i},
        \quad p = \mathrm{softmax}(z / T)

    Survey: zhao2026 eq. 2, Table 1, Table 2; si2023 eq. 1, Table 1; huang2022 eq. 3 and 6 (a cross-entropy, without
    the squared temperature: errata H-05; see `ce_soft_loss`); note-hinton section 1.
    Paper: {cite:t}`hinton2015distilling`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperature: softens both answers, above 0. Default 4: RepDistiller's and mdistiller's on CIFAR-100.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree up to a shift of the logits.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the temperature is not above 0.

    Notes:
        The squared temperature keeps the size of the gradient nearly independent of the temperature.
        Divergence and cross-entropy with the softened teacher differ by the teacher's entropy, a constant.
        The weights against the labels belong to the method, since the texts disagree on them (errata X-01).
        ``torch.nn.KLDivLoss()`` also averages over classes by default, so several public codes hold this value
        divided by the number of classes.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.4]]).log()
        >>> student = torch.tensor([[0.5, 0.5]]).log()
        >>> round(kd_loss(student, teacher, temperature=1.0).item(), 4)
        0.0201
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_range(temperature=(temperature, 0.0, False))
    student, teacher = log_softened(student_logits, temperature), log_softened(teacher_logits.detach(), temperature)
    return reduced_divergence(student, teacher, temperature**2, reduction)


def output_distribution_kl_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's probabilities as they are, neither softened nor mixed with labels.

    .. math::
        L = \sum_i p^t_i \log \frac{p^t_i}{p^s_i}, \quad p = \mathrm{softmax}(z)

    Survey: huang2022 section 2, among the forerunners.
    Paper: {cite:t}`li2014learning`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree up to a shift of the logits.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ.

    Notes:
        It is `kd_loss` at temperature 1. What sets it apart is its use: a transfer set without labels, so that the
        method gives the labels no weight.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.4]]).log()
        >>> student = torch.tensor([[0.5, 0.5]]).log()
        >>> round(output_distribution_kl_loss(student, teacher).item(), 4)
        0.0201
    """
    return kd_loss(student_logits, teacher_logits, temperature=1.0, reduction=reduction)


class KD(Method):
    """`kd_loss` beside the labels.

    The defaults, 0.9 against 0.1, are RepDistiller's and mdistiller's; si2023 eq. 1 with its weight at 0.1 is the
    same. Of answers with a length (language models) every position is an example.
    """

    zero_at_agreement = True

    def __init__(self, *, temperature: float = 4.0, weight: float = 0.9, task_weight: float = 0.1):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight, task_weight=task_weight)
        self.temperature, self.weight, self.task_weight = temperature, weight, task_weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        rows = (answer.logits.flatten(0, -2) for answer in (student, teacher))
        return {"kd": Term(kd_loss(*rows, temperature=self.temperature), self.weight)}


class OutputDistributionKL(Method):
    """`output_distribution_kl_loss` alone: the labels count nothing."""

    zero_at_agreement, task_weight = True, 0.0

    def __init__(self, *, weight: float = 1.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.weight = weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        value = output_distribution_kl_loss(student.logits, teacher.logits)
        return {"output_distribution_kl": Term(value, self.weight)}


ENTRIES = (
    Entry("softened-softmax", "loss", softened_softmax, {}, "arXiv:1503.02531"),
    Entry("kd", "loss", KD, {}, "NIPS 2014 workshop; weights of RepDistiller, si2023 eq. 1 at 0.1"),
    Entry("kd-zhao2026", "loss", KD, {"weight": 1.0, "task_weight": 1.0}, "zhao2026 eq. 3, both free weights at 1"),
    Entry(
        "kd-note-hinton",
        "loss",
        KD,
        {"temperature": 4.0, "weight": 0.03125, "task_weight": 0.5},
        "note-hinton: half and half, without the squared temperature",
    ),
    Entry("output-distribution-kl", "loss", OutputDistributionKL, {}, "Interspeech 2014"),
)
