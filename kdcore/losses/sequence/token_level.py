"""The teacher's distribution over the next token, matched at every position."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor

from kdcore._typing import Bool, Float
from kdcore.losses._common import (
    Reduction,
    check_dimensions,
    check_floating,
    check_range,
    check_same_shape,
    divergence,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.sequence._positions import PADDING, check_mask, counted, mean_over_positions
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term


def token_level_kd_loss(
    student_logits: Float[Tensor, "batch length vocabulary"],
    teacher_logits: Float[Tensor, "batch length vocabulary"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's distribution over the next token, position by position.

    .. math::
        L = \frac{\tau^2}{|M|} \sum_{i \in M}
            \mathrm{KL}\bigl( p^t(\cdot \mid y_{<i}) \,\|\, p^s(\cdot \mid y_{<i}) \bigr),
        \quad p = \mathrm{softmax}(z / \tau)

    for each sequence, over its positions :math:`M` that are not padding.

    Survey: zhao2026 eq. 14 (called sequence-level there, with the length written as T and the prefix left out:
    errata Z-14).
    Paper: {cite:t}`kim2016sequence`, the word-level form.

    Args:
        student_logits: unnormalised scores of every position, any floating type; computed in float32 at least.
        teacher_logits: the same shape, so one vocabulary for both; taken as a constant.
        mask: true where a position counts. Default: everywhere.
        temperature: softens both answers, above 0. Default 1: zhao2026's equation has none.
        reduction: over sequences.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree at every counted position up to a shift.
        A sequence without a counted position gives 0.

    Raises:
        TypeError: a tensor of scores is not of a floating type, or the mask holds anything but booleans.
        ValueError: shapes differ, or the temperature is not above 0.

    Notes:
        Each sequence is averaged over its own positions, as the equation does, so a short one weighs as much as a
        long one. The mean over all tokens of a batch, usual for language models, is
        ``(loss * counts).sum() / counts.sum()`` with ``reduction="none"``; where no sequence is padded, both agree.
        Summed over positions and averaged over prefixes that the teacher writes, the divergence between whole
        sequences would result; over prefixes of the data it is another number, and matching the teacher's decoded
        sequences (sequence-level distillation) is a third.
        The paper's word-level form is a cross-entropy; it differs by the teacher's entropy, a constant.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[[0.6, 0.4], [0.5, 0.5]]]).log()
        >>> student = torch.zeros(1, 2, 2)
        >>> round(token_level_kd_loss(student, teacher).item(), 4)  # (0.0201 + 0) / 2
        0.0101
        >>> round(token_level_kd_loss(student, teacher, torch.tensor([[True, False]])).item(), 4)
        0.0201
    """
    check_floating(student_logits=student_logits, teacher_logits=teacher_logits)
    check_same_shape(student_logits=student_logits, teacher_logits=teacher_logits)
    check_dimensions("batch length vocabulary", student_logits=student_logits)
    check_range(temperature=(temperature, 0.0, False))
    shape = student_logits.shape[:2]
    check_mask(mask, shape)
    tokens = (counted(logits, mask).flatten(0, 1) for logits in (student_logits, teacher_logits.detach()))
    per_token = divergence(*(log_softened(rows, temperature) for rows in tokens)).unflatten(0, shape)
    return reduce(temperature**2 * mean_over_positions(per_token, mask), reduction)


class TokenLevelKD(Method):
    """`token_level_kd_loss` on every position whose target is not padding.

    zhao2026 prints no weights; beside the task both count 1.
    """

    zero_at_agreement = True

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        weight: float = 1.0,
        task_weight: float = 1.0,
        padding: int | None = PADDING,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight, task_weight=task_weight)
        self.temperature, self.weight, self.task_weight, self.padding = temperature, weight, task_weight, padding

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        student, teacher = setting.student.logits.shape, setting.teacher.logits.shape
        if len(student) != 3:
            raise Refusal(f"token-level-kd needs scores of shape (batch, length, vocabulary), got {tuple(student)}")
        if student[-1] != teacher[-1]:
            raise Refusal(
                f"token-level-kd needs one vocabulary for both networks, the student's has {student[-1]} entries "
                f"and the teacher's {teacher[-1]}"
            )
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mask = None if self.padding is None else batch.targets != self.padding
        value = token_level_kd_loss(student.logits, teacher.logits, mask, temperature=self.temperature)
        return {"token_level_kd": Term(value, self.weight)}


ENTRIES = (Entry("token-level-kd", "loss", TokenLevelKD, {}, "EMNLP 2016, word-level; zhao2026 eq. 14"),)
