"""Less of the soft label where it only holds the student back: a weight for each example."""

from __future__ import annotations

import torch
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

SMALLEST_LOSS = 1e-7  # the authors' code adds it to the teacher's loss, by which it divides


def wsld_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    temperature: float = 4.0,
    weighted: bool = True,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's softened answer, the less the better the student knows the label already.

    .. math::
        L = T^2 \Bigl( 1 - e^{- \mathrm{CE}(y, z^s) / \mathrm{CE}(y, z^t)} \Bigr) \, \mathrm{CE}(p^t, p^s),
        \quad p = \mathrm{softmax}(z / T)

    Survey: none of zhao2026, si2023, huang2022 and the notes names it; an addition.
    Paper: {cite:t}`zhou2021wsl`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        targets: true classes, in ``0 .. classes - 1``.
        temperature: softens both answers, but not the losses in the weight, above 0. Default 4: cls_KD on CIFAR-100;
            mmrazor takes 2 on ImageNet.
        weighted: whether to weigh examples at all; all weights are 1 otherwise. Default True: the paper's.
        reduction: over examples.

    Returns:
        A value of at least 0; 0 only where the student's loss on the label is, whatever the teacher says.

    Raises:
        TypeError: logits are not of a floating type, or targets are.
        ValueError: shapes differ, a target is out of range, or the temperature is not above 0.

    Notes:
        The weight is a constant: no gradient goes through it. Where both losses are equal it is ``1 - 1 / e``.
        The soft part is a cross-entropy, not a divergence, so the weight also decides how much of the teacher's
        entropy the value holds; gradients are those of a weighted divergence.

    Example:
        >>> import torch
        >>> agree = torch.tensor([[0.5, 0.5]]).log()
        >>> round(wsld_loss(agree, agree, torch.tensor([0]), temperature=1.0).item(), 4)
        0.4382
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_targets(targets, student_logits)
    check_range(temperature=(temperature, 0.0, False))
    teacher = teacher_logits.detach()
    soft = -(log_softened(teacher, temperature).exp() * log_softened(student_logits, temperature)).sum(1)
    weights = label_weights(student_logits, teacher, targets) if weighted else 1
    return reduce(temperature**2 * weights * soft, reduction)


@torch.no_grad()
def label_weights(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """The weight of each example in `wsld_loss`: near 0 where the student knows the label, near 1 where it does not.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.zeros(2, 2)
        >>> [round(w, 3) for w in label_weights(student, teacher, torch.tensor([0, 0])).tolist()]
        [0.0, 1.0]
    """
    mine, theirs = (
        -at_least_float32(logits).log_softmax(1).gather(1, targets[:, None])[:, 0]
        for logits in (student_logits, teacher_logits)
    )
    return -torch.expm1(-mine / (theirs + SMALLEST_LOSS))


class WSLD(Method):
    """`wsld_loss` beside the labels: 2.25 against 1 at temperature 4, as cls_KD has it for CIFAR-100."""

    def __init__(self, *, temperature: float = 4.0, weighted: bool = True, weight: float = 2.25):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, weight=weight)
        self.options, self.weight = {"temperature": temperature, "weighted": weighted}, weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        value = wsld_loss(student.logits, teacher.logits, batch.targets, **self.options)
        return {"wsld": Term(value, self.weight)}


ENTRIES = (Entry("wsld", "loss", WSLD, {}, "ICLR 2021, weights of cls_KD for CIFAR-100"),)
