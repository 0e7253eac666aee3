"""A temperature that is learned against the student, from an easy lesson to a hard one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_floating,
    check_logits,
    check_range,
    divergence,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Term

RISE = 10 / 240  # the authors' 10 of 240 epochs


def curriculum_temperature_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    temperature_scores: Float[Tensor, " temperatures"],
    *,
    strength: float = 1.0,
    lowest: float = 1.0,
    span: float = 20.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's softened answer at a temperature that is itself moved to make this harder.

    .. math::
        L = T^2 \, \mathrm{KL}(p^t \,\|\, p^s), \quad p = \mathrm{softmax}(z / T), \;
        T = T_0 + T_1 \, \sigma(a), \qquad \frac{\partial L}{\partial a} \;\text{taken}\; -\lambda \;\text{times}

    Survey: none of zhao2026, si2023, huang2022 and the notes names it; an addition, not to be confused with the
    collaborative teaching of si2023 that has the same initials.
    Paper: {cite:t}`li2023curriculum`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperature_scores: what is learned, a; one number for all examples or one each.
        strength: the paper's lambda: how much of the gradient, turned round, reaches it, at least 0. Default 1: where
            the authors' schedule ends.
        lowest: the temperature's lower bound, above 0. Default 1: the authors' code.
        span: how far above it the temperature may rise, at least 0. Default 20: the authors' code.
        reduction: over examples.

    Returns:
        The value of `kd_loss` at that temperature.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, there is neither one number nor one an example, or a number is out of its range.

    Notes:
        The value does not depend on the strength, the gradient of the scores does; a minimiser of this loss raises
        it through the temperature while it lowers it through the student.
        The authors start from ``a = 1``, a temperature of 15.6; that the temperature itself starts at 1 is told
        elsewhere and is not what their code does.

    Example:
        >>> import torch
        >>> student, teacher, score = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.zeros(1)
        >>> from kdcore.losses import kd_loss
        >>> curriculum_temperature_loss(student, teacher, score) == kd_loss(student, teacher, temperature=11.0)
        tensor(True)
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_floating(temperature_scores=temperature_scores)
    if temperature_scores.shape not in ((1,), (len(student_logits),)):
        wanted = f"(1,) or ({len(student_logits)},)"
        raise ValueError(f"temperature_scores must have shape {wanted}, got {tuple(temperature_scores.shape)}")
    check_range(strength=(strength, 0.0, True), lowest=(lowest, 0.0, False), span=(span, 0.0, True))
    scores = reversed_gradient(at_least_float32(temperature_scores), strength)
    temperature = (lowest + span * scores.sigmoid())[:, None]
    student, teacher = log_softened(student_logits, temperature), log_softened(teacher_logits.detach(), temperature)
    return reduce(temperature[:, 0] ** 2 * divergence(student, teacher), reduction)


def reversed_gradient(x: Tensor, strength: float) -> Tensor:
    """The value as it is, its gradient times minus `strength`.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> torch.autograd.grad(reversed_gradient(x, 0.5) ** 2, x)[0]
        tensor(-3.)
    """
    return x.detach() - strength * (x - x.detach())


class LearnedTemperature(nn.Module):
    """One number for all examples, from which a temperature is made."""

    def __init__(self, score: float = 1.0):
        super().__init__()
        self.scores = nn.Parameter(torch.full((1,), score))

    def forward(self) -> Float[Tensor, " temperatures"]:
        return self.scores


class CurriculumTemperature(Method):
    """`curriculum_temperature_loss` beside the labels, 0.9 against 0.1, with one temperature for all examples.

    The number behind it trains with the student, in the same optimiser; the strength of the reversal rises from 0 to
    `strength` by a cosine over the first part of the training.

    Args:
        score: where the number starts. Default 1, as all here the authors' code; the temperature is then 15.6.
        lowest: of the temperature. Default 1.
        span: above the lowest. Default 20.
        strength: of the reversed gradient at the end of its rise. Default 1.
        rise: the part of the training over which it rises. Default 10 / 240.
        weight: against the labels. Default 0.9.
        task_weight: of the labels. Default 0.1.
    """

    zero_at_agreement = True

    def __init__(
        self,
        *,
        score: float = 1.0,
        lowest: float = 1.0,
        span: float = 20.0,
        strength: float = 1.0,
        rise: float = RISE,
        weight: float = 0.9,
        task_weight: float = 0.1,
    ):
        super().__init__()
        weights = {"weight": weight, "task_weight": task_weight}
        refuse_out_of_range(above_zero={"lowest": lowest}, span=span, strength=strength, rise=rise, **weights)
        self.options = {"lowest": lowest, "span": span}
        self.strength, self.rise, self.weight, self.task_weight = strength, rise, weight, task_weight
        self.temperature = LearnedTemperature(score)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        strength = self.strength_at(batch.clock.progress)
        scores = self.temperature()
        value = curriculum_temperature_loss(student.logits, teacher.logits, scores, strength=strength, **self.options)
        return {"curriculum_temperature": Term(value, self.weight)}

    def strength_at(self, progress: float) -> float:
        risen = min(1.0, progress / self.rise) if self.rise else 1.0
        return self.strength * (1 - math.cos(math.pi * risen)) / 2


ENTRIES = (Entry("curriculum-temperature", "loss", CurriculumTemperature, {}, "AAAI 2023, one temperature for all"),)
