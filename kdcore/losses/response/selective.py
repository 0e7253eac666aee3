"""When the teacher is wrong: learn from the labels instead, or put its answer right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_targets,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Term


def conditional_ts_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Learn from the teacher where it is right, and from the label where it is not.

    .. math::
        L = -\sum_i q_i \log p^s_i, \quad q = \begin{cases} p^t & \arg\max_i z^t_i = y \\ e_y & \text{else} \end{cases}

    Survey: si2023 section 2.1, in words.
    Paper: {cite:t}`meng2019conditional`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        reduction: over examples.

    Returns:
        A value of at least the entropy of the chosen label, which is 0 where the teacher is wrong.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, or a target is out of range.

    Notes:
        The teacher's probabilities are taken as they are, without temperature. Of equally likely classes the first
        is the teacher's guess. Where the teacher is right its gradient is that of a divergence from it.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> teacher = torch.tensor([[0.6, 0.4, 0.0]]).log()
        >>> [round(conditional_ts_loss(student, teacher, torch.tensor([y])).item(), 4) for y in (0, 1)]
        [0.9704, 1.3863]
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_targets(targets, student_logits)
    teacher = teacher_logits.detach()
    right = teacher.argmax(1) == targets
    student = log_softened(student_logits, 1.0)
    soft = -(at_least_float32(teacher).softmax(1) * student).sum(1)
    return reduce(torch.where(right, soft, F.nll_loss(student, targets, reduction="none")), reduction)


def adjust_knowledge(
    teacher_logits: Float[Tensor, "batch classes"], targets: Int[Tensor, " batch"]
) -> Float[Tensor, "batch classes"]:
    """Give the true class the teacher's highest score and its wrong guess the score that the true class had.

    Survey: si2023 section 2.1. Paper: {cite:t}`wen2021preparing`, which exchanges the probabilities (probability
    shift); an exchange of scores is the same at every temperature.

    Args:
        teacher_logits: unnormalised scores; taken as a constant, and not written on.
        targets: true classes, in ``0 .. classes - 1``.

    Returns:
        New scores that rank the true class first; the old ones where the teacher was right.

    Example:
        >>> import torch
        >>> adjust_knowledge(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([1]))
        tensor([[1., 3., 2.]])
    """
    check_logits(teacher_logits=teacher_logits)
    check_targets(targets, teacher_logits)
    teacher, truth = teacher_logits.detach(), targets[:, None]
    guess = teacher.argmax(1, keepdim=True)
    lowered = teacher.scatter(1, guess, teacher.gather(1, truth))
    return lowered.scatter(1, truth, teacher.gather(1, guess))


class ConditionalTS(Method):
    """`conditional_ts_loss` alone: it holds the labels where they are needed."""

    task_weight = 0.0

    def __init__(self, *, weight: float = 1.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.weight = weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        value = conditional_ts_loss(student.logits, teacher.logits, batch.targets)
        return {"conditional_ts": Term(value, self.weight)}


ENTRIES = (Entry("conditional-ts", "loss", ConditionalTS, {}, "ICASSP 2019"),)
