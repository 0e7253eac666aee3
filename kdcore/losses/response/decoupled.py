"""The divergence taken apart: how sure the teacher is of the true class, and how it ranks the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_targets,
    check_two_classes,
    divergence,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.response.standardised import standardise
from kdcore.types import Batch, Entry, Method, Outputs, Term

WARM_UP = 20 / 240  # the authors' 20 of 240 epochs


def dkd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match how sure the teacher is of the true class, and how it ranks the others, separately.

    .. math::
        L = T^2 \left[ \alpha \, \mathrm{KL}(b^t \,\|\, b^s) + \beta \, \mathrm{KL}(\hat p^t \,\|\, \hat p^s) \right],
        \quad b = (p_y, 1 - p_y), \quad \hat p = \mathrm{softmax}(z_{j \ne y} / T)

    Survey: zhao2026 eq. 10, Table 2 (printed without the teacher in its first term: errata Z-01; see
    `dkd_survey_loss`).
    Paper: {cite:t}`zhao2022dkd`, eq. 7.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        alpha: weight of the target term, at least 0. Default 1: the paper's, for every pair.
        beta: weight of the non-target term, at least 0. Default 8: the authors' for ResNet32x4 students
            (6 for VGG and WRN pairs, 2 for ResNet56 to ResNet20).
        temperature: softens both answers, above 0. Default 4: the authors' on CIFAR-100.
        reduction: over examples.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree up to a shift of the logits.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or a number is out of its range.

    Notes:
        With ``alpha = 1`` and ``beta = 1 - p_y^t`` per example it is the usual distillation loss.
        The authors' code masks the target with -1000 and takes the logarithm of summed probabilities, which
        overflows for logits above some 60; this form stays in log space.
        The warm-up over 20 of 240 epochs belongs to the method, not to the loss.
        Two classes leave one other class and nothing to rank: the second term is 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.3, 0.1]]).log()
        >>> student = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> round(dkd_loss(student, teacher, torch.tensor([0]), beta=0.0, temperature=1.0).item(), 4)
        0.0201
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_two_classes(student_logits)
    check_targets(targets, student_logits)
    check_range(alpha=(alpha, 0.0, True), beta=(beta, 0.0, True), temperature=(temperature, 0.0, False))
    with torch.no_grad():
        teacher_odds, teacher_rest = _odds_and_rest(teacher_logits, targets, temperature)
        sure = teacher_odds.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(teacher_odds, sure, reduction="none")
    odds, rest = _odds_and_rest(student_logits, targets, temperature)
    target_term = F.binary_cross_entropy_with_logits(odds, sure, reduction="none") - entropy
    return reduce(temperature**2 * (alpha * target_term + beta * divergence(rest, teacher_rest)), reduction)


def dkd_survey_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Learn the true class from the labels alone, and match each other class's probability as it stands.

    .. math::
        L = -\alpha \log p^s_y + \beta \sum_{i \ne y} p^t_i \log \frac{p^t_i}{p^s_i},
        \quad p = \mathrm{softmax}(z / T)

    Survey: zhao2026 eq. 10 as printed (errata Z-01), its open function read as the paper's divergence and its
    ``p_i`` as the teacher's.
    Paper: {cite:t}`zhao2022dkd` prints another loss, `dkd_loss`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        alpha: weight of the target term, at least 0. Default 1, as for `dkd_loss`; the survey gives none.
        beta: weight of the other classes, at least 0. Default 8, as for `dkd_loss`; the survey gives none.
        temperature: softens both answers, above 0. Default 4, as for `dkd_loss`; the survey gives none.
        reduction: over examples.

    Returns:
        A value of any sign that does not vanish when both networks agree: there the first term is left, and it is
        the student's alone.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or a number is out of its range.

    Notes:
        The other classes are not rescaled to sum to 1, so the factor ``1 - p_y`` of the usual loss, which the paper
        removes, is still in the second term, and that term alone may fall below 0. No squared temperature.

    Example:
        >>> import torch
        >>> agree = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> round(dkd_survey_loss(agree, agree, torch.tensor([0]), temperature=1.0).item(), 4)
        0.6931
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_two_classes(student_logits)
    check_targets(targets, student_logits)
    check_range(alpha=(alpha, 0.0, True), beta=(beta, 0.0, True), temperature=(temperature, 0.0, False))
    student, teacher = log_softened(student_logits, temperature), log_softened(teacher_logits.detach(), temperature)
    others = other_classes(targets, student_logits.shape[1])
    target_term = -student.gather(1, targets[:, None])[:, 0]
    return reduce(
        alpha * target_term + beta * divergence(student.gather(1, others), teacher.gather(1, others)), reduction
    )


def other_classes(targets: Int[Tensor, " batch"], classes: int) -> Int[Tensor, "batch others"]:
    """Indices of all classes but the target: the target is skipped, not masked, so nothing can overflow or sync."""
    index = torch.arange(classes - 1, device=targets.device)
    return index + (index >= targets[:, None])


def _odds_and_rest(logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The log-odds of the target, and the log-distribution among the other classes alone.

    In that the target has a probability of exactly 0 and a logarithm that is finite and the same in both networks, so
    it adds nothing. The sum over the others is read off their most probable class, whose logarithm loses no digits.
    """
    scores, target = at_least_float32(logits), targets[:, None]
    rest = (scores / temperature).scatter(1, target, torch.finfo(scores.dtype).min / 2).log_softmax(1)
    first = rest.argmax(1, keepdim=True)
    odds = (scores.gather(1, target) - scores.gather(1, first)) / temperature + rest.gather(1, first)
    return odds[:, 0], rest


class DKD(Method):
    """`dkd_loss` with the authors' warm-up: its weight grows from 0 over the first 20 of 240 epochs.

    `standardised` puts both networks' logits through `standardise` first (DKD with logit standardisation; its
    authors then take temperature 2 and weight 9); `rescaled` multiplies each example by the variance of its teacher's
    scores (on standardised logits NormKD with DKD, as its authors run it); `printed` takes `dkd_survey_loss`.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        warm_up: float = WARM_UP,
        weight: float = 1.0,
        standardised: bool = False,
        rescaled: bool = False,
        printed: bool = False,
    ):
        super().__init__()
        refuse_out_of_range(
            above_zero={"temperature": temperature}, alpha=alpha, beta=beta, warm_up=warm_up, weight=weight
        )
        self.options = {"alpha": alpha, "beta": beta, "temperature": temperature}
        self.warm_up, self.weight, self.standardised, self.rescaled = warm_up, weight, standardised, rescaled
        self.loss, self.zero_at_agreement = (dkd_survey_loss if printed else dkd_loss), not printed

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        logits = [answer.logits for answer in (student, teacher)]
        if self.standardised:
            logits = [standardise(scores) for scores in logits]
        if not self.rescaled:
            return {"dkd": Term(self.loss(*logits, batch.targets, **self.options), self.weight_at)}
        each = self.loss(*logits, batch.targets, **self.options, reduction="none")
        return {"dkd": Term((at_least_float32(teacher.logits.detach()).var(1) * each).mean(), self.weight_at)}

    def weight_at(self, progress: float) -> float:
        return self.weight * min(1.0, progress / self.warm_up) if self.warm_up else self.weight


ENTRIES = (
    Entry("dkd", "loss", DKD, {}, "CVPR 2022; weights of the ResNet32x4 pairs"),
    Entry("dkd-zhao2026", "loss", DKD, {"printed": True}, "zhao2026 eq. 10 as printed"),
    Entry(
        "dkd-logit-std",
        "loss",
        DKD,
        {"standardised": True, "temperature": 2.0, "weight": 9.0},
        "CVPR 2024: DKD on standardised logits, nine-fold",
    ),
    Entry(
        "normkd-dkd",
        "loss",
        DKD,
        {"standardised": True, "rescaled": True, "temperature": 2.0, "alpha": 4.0, "beta": 5.0},
        "arXiv:2308.00520 with DKD; its authors' weights for ResNet32x4 to ShuffleNetV2",
    ),
)
