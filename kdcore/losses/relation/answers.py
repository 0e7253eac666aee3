"""Correlations of answers: over the classes of one sample, and over the samples of one class."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, check_logits, check_range, refuse_out_of_range
from kdcore.losses.relation._rows import nothing
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

EPSILON = 1e-8  # the authors', beside the product of two lengths


def dist_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 4.0,
) -> Float[Tensor, ""]:
    r"""Match how softened answers rank a sample's classes and a class's samples, up to shift and scale; a scalar.

    .. math::
        L = \tau^2 \Bigl[ \beta \Bigl( 1 - \frac1B \sum_i \rho(p^s_{i \cdot}, p^t_{i \cdot}) \Bigr)
        + \gamma \Bigl( 1 - \frac1K \sum_k \rho(p^s_{\cdot k}, p^t_{\cdot k}) \Bigr) \Bigr],
        \quad p = \mathrm{softmax}(z / \tau)

    Survey: none; it stands beside the losses of si2023 section 2.2.3.
    Paper: {cite:t}`huang2022dist`; the form is the authors' code.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        beta: weight of the correlation between classes, at least 0. Default 1: the authors'.
        gamma: weight of the correlation inside a class, over the batch, at least 0. Default 1: the authors'.
        temperature: softens both answers, above 0. Default 4: the authors' for CIFAR.

    Returns:
        At least 0 and at most ``2 (beta + gamma) temperature^2``; next to 0 when the answers agree, up to the authors'
        constant 1e-8 beside the product of lengths.

    Raises:
        TypeError: logits are not of a floating type.
        ValueError: shapes differ, or a number is out of its range.

    Notes:
        A row or column without spread has no correlation and counts as 0, so a saturated batch pays the full price
        and learns nothing from it. One sample leaves no relation inside a class, and the second term is then 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]).log()
        >>> round(dist_loss(teacher.flip(0), teacher, temperature=1.0, beta=0.0).item(), 4)  # every class turned round
        2.0
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_range(beta=(beta, 0.0, True), gamma=(gamma, 0.0, True), temperature=(temperature, 0.0, False))
    between, inside = dist_parts(student_logits, teacher_logits, temperature)
    return beta * between + gamma * inside


def dist_parts(
    student_logits: Float[Tensor, "batch classes"], teacher_logits: Float[Tensor, "batch classes"], temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Both terms of `dist_loss` without their weights: between classes, inside a class."""
    both = (at_least_float32(logits) / temperature for logits in (student_logits, teacher_logits.detach()))
    student, teacher = (logits.softmax(1) for logits in both)
    between = temperature**2 * (1 - _correlation(student, teacher).mean())
    if len(student) == 1:
        return between, nothing(student)
    return between, temperature**2 * (1 - _correlation(student.mT, teacher.mT).mean())


def _correlation(student: Float[Tensor, "rows size"], teacher: Float[Tensor, "rows size"]) -> Float[Tensor, " rows"]:
    mine, theirs = (rows - rows.mean(1, keepdim=True) for rows in (student, teacher))
    lengths = (torch.linalg.vector_norm(rows, dim=1) for rows in (mine, theirs))
    return (mine * theirs).sum(1) / (next(lengths) * next(lengths) + EPSILON)


class DIST(Method):
    """`dist_loss`, its two terms logged apart.

    Args:
        beta, gamma, temperature: see `dist_loss`.
        weight: of both. Default 2: the authors' for CIFAR.
    """

    def __init__(self, *, beta: float = 1.0, gamma: float = 1.0, temperature: float = 4.0, weight: float = 2.0):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, beta=beta, gamma=gamma, weight=weight)
        self.weights, self.temperature = (weight * beta, weight * gamma), temperature

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        if setting.student.logits.ndim != 2:
            raise Refusal("one answer a sample is compared over the batch, and these networks answer word by word")
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        check_logits(student_logits=student.logits, teacher_logits=teacher.logits)
        between, inside = dist_parts(student.logits, teacher.logits, self.temperature)
        return {"dist_between": Term(between, self.weights[0]), "dist_inside": Term(inside, self.weights[1])}


ENTRIES = (Entry("dist", "loss", DIST, {}, "NeurIPS 2022, the authors' code, temperature 4 for CIFAR"),)
