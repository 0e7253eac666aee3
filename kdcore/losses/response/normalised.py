"""The true class weighed by the teacher's belief in it, and the others among themselves."""

from __future__ import annotations

from torch import Tensor

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    check_targets,
    check_two_classes,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.response.decoupled import other_classes
from kdcore.types import Batch, Entry, Method, Outputs, Term


def nkd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    gamma: float = 1.5,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Learn the true class as firmly as the teacher believes in it, and the ranking of the others by itself.

    .. math::
        L = -p^t_y \log p^s_y - \gamma T^2 \sum_{i \ne y} \hat p^t_i \log \hat p^s_i,
        \quad p = \mathrm{softmax}(z), \; \hat p = \mathrm{softmax}(z_{j \ne y} / T)

    Survey: none of zhao2026, si2023, huang2022 and the notes names it; an addition.
    Paper: {cite:t}`yang2023nkd`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        gamma: weight of the other classes, at least 0. Default 1.5: the authors' code; 3.5 on CIFAR-100.
        temperature: softens the other classes alone, above 0. Default 1: the authors' code; 3 on CIFAR-100.
        reduction: over examples.

    Returns:
        A value of at least 0. It does not vanish where both agree: the first term is a weighted loss on the label,
        the second a cross-entropy, which keeps the teacher's entropy.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or a number is out of its range.

    Notes:
        The gradient of the second term is that of the divergence, so beside `dkd_loss` it is the first term that
        differs: DKD matches the teacher's share of the true class, this one only weighs the label by it.
        Two classes leave one other class and nothing to rank: the second term is 0.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> value = nkd_loss(student, teacher, torch.tensor([0]))
        >>> torch.allclose(value, (0.6 + 1.5) * torch.log(torch.tensor(2.0)))
        True
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_two_classes(student_logits)
    check_targets(targets, student_logits)
    check_range(gamma=(gamma, 0.0, True), temperature=(temperature, 0.0, False))
    student, teacher = at_least_float32(student_logits), at_least_float32(teacher_logits.detach())
    target, others = targets[:, None], other_classes(targets, student.shape[1])
    belief = teacher.softmax(1).gather(1, target)
    true_class = -(belief * student.log_softmax(1).gather(1, target))[:, 0]
    mine, theirs = (scores.gather(1, others) / temperature for scores in (student, teacher))
    rest = -(theirs.softmax(1) * mine.log_softmax(1)).sum(1)
    return reduce(true_class + gamma * temperature**2 * rest, reduction)


class NKD(Method):
    """`nkd_loss` beside the labels at weight 1; gamma 3.5 and temperature 3, the authors' on CIFAR-100."""

    def __init__(self, *, gamma: float = 3.5, temperature: float = 3.0, weight: float = 1.0):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, gamma=gamma, weight=weight)
        self.options, self.weight = {"gamma": gamma, "temperature": temperature}, weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        value = nkd_loss(student.logits, teacher.logits, batch.targets, **self.options)
        return {"nkd": Term(value, self.weight)}


ENTRIES = (Entry("nkd", "loss", NKD, {}, "ICCV 2023, weights for CIFAR-100"),)
