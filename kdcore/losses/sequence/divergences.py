"""Divergences between two distributions over the next token, from covering the teacher to staying inside it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from kdcore._typing import Bool, Float
from kdcore.losses._common import (
    Reduction,
    check_choice,
    check_dimensions,
    check_floating,
    check_range,
    check_same_shape,
    divergence,
    log_softened,
    reduce,
)
from kdcore.losses.sequence._positions import check_mask, counted, mean_over_positions

Form = Literal["published", "scaled"]


def generalised_jsd_loss(
    student_logits: Float[Tensor, "batch length vocabulary"],
    teacher_logits: Float[Tensor, "batch length vocabulary"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    beta: float = 0.5,
    temperature: float = 1.0,
    form: Form = "published",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Bring both distributions over the next token close to a mixture of the two, position by position.

    .. math::
        D_\beta(p^t, p^s) = \beta \, \mathrm{KL}(p^t \,\|\, m) + (1 - \beta) \, \mathrm{KL}(p^s \,\|\, m),
        \quad m = \beta p^t + (1 - \beta) p^s, \qquad
        L = \frac{1}{|M|} \sum_{i \in M} D_\beta\bigl( p^t(\cdot \mid y_{<i}), p^s(\cdot \mid y_{<i}) \bigr)

    for each sequence, over its positions :math:`M` that are not padding. At the ends the divergence is
    :math:`\mathrm{KL}(p^t \,\|\, p^s)` for :math:`\beta = 0` and :math:`\mathrm{KL}(p^s \,\|\, p^t)` for
    :math:`\beta = 1`.

    Survey: zhao2026 section 5.3 (on-policy distillation, in words).
    Paper: {cite:t}`agarwal2024onpolicy`, eq. 1.

    Args:
        student_logits: unnormalised scores of every position, any floating type; computed in float32 at least.
        teacher_logits: the same shape, so one vocabulary for both; taken as a constant.
        mask: true where a position counts. Default: everywhere.
        beta: the teacher's share of the mixture, in [0, 1]. Default 0.5, the even mixture: TRL's.
        temperature: softens both answers, above 0; no square of it multiplies the loss. Default 1: the distributions
            that generate text.
        form: ``published``, or ``scaled``: divided by :math:`\beta (1 - \beta)`, so that the ends are limits. Default
            ``published``.
        reduction: over sequences.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree at every counted position up to a shift.
        ``published`` is at most :math:`\log 2` inside the family and has no bound at its ends.

    Raises:
        TypeError: a tensor of scores is not of a floating type, or the mask holds anything but booleans.
        ValueError: shapes differ, a number is out of its range, or the form is unknown.

    Notes:
        The published divergence itself tends to 0 as :math:`\beta` nears an end; only its gradient turns into that of
        a Kullback-Leibler divergence, times :math:`\beta` or :math:`1 - \beta`. TRL puts the divergences themselves at
        the ends, so there is a jump, which ``published`` keeps; ``scaled`` has none.
        TRL sums over positions and divides by the sequences where no labels are given, by all tokens of the batch
        where they are; here each sequence is averaged over its own positions, as in `token_level_kd_loss`, which is
        the end :math:`\beta = 0`.

    Example:
        >>> teacher = torch.tensor([[[0.8, 0.2]]]).log()
        >>> student = torch.tensor([[[0.2, 0.8]]]).log()
        >>> [round(generalised_jsd_loss(student, teacher, beta=beta).item(), 4) for beta in (0.0, 0.5, 1.0)]
        [0.8318, 0.1927, 0.8318]
    """
    check_floating(student_logits=student_logits, teacher_logits=teacher_logits)
    check_same_shape(student_logits=student_logits, teacher_logits=teacher_logits)
    check_dimensions("batch length vocabulary", student_logits=student_logits)
    check_range(temperature=(temperature, 0.0, False), beta=(beta, 0.0, True), **{"1 - beta": (1 - beta, 0.0, True)})
    check_choice("form", form, "published", "scaled")
    shape = student_logits.shape[:2]
    check_mask(mask, shape)
    pair = (counted(logits, mask).flatten(0, 1) for logits in (student_logits, teacher_logits.detach()))
    per_token = between(*(log_softened(rows, temperature) for rows in pair), beta)
    if form == "scaled" and 0 < beta < 1:
        per_token = per_token / (beta * (1 - beta))
    return reduce(mean_over_positions(per_token.unflatten(0, shape), mask), reduction)


def between(
    student_log: Float[Tensor, "tokens vocabulary"], teacher_log: Float[Tensor, "tokens vocabulary"], beta: float
) -> Float[Tensor, " tokens"]:
    """The divergence of each pair of distributions, given as logarithms."""
    if beta == 0:
        return divergence(student_log, teacher_log)
    if beta == 1:
        return divergence(teacher_log, student_log)
    mixture = torch.logaddexp(student_log + math.log1p(-beta), teacher_log + math.log(beta))
    return beta * divergence(mixture, teacher_log) + (1 - beta) * divergence(mixture, student_log)
