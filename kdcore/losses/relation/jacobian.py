"""What the input does to the answer."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_same_shape,
    reduce,
    refuse_out_of_range,
    unit,
)
from kdcore.losses.relation._rows import check_samples, maps_of
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["sum", "mean"]
Of = Literal["logit", "label", "attention"]


def jacobian_matching_loss(
    student_jacobians: Float[Tensor, "batch channels height width"],
    teacher_jacobians: Float[Tensor, "batch channels height width"],
    *,
    form: Form = "sum",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match in which direction of the input an answer changes.

    .. math::
        L = \Bigl\lVert \frac{J^s}{\lVert J^s \rVert_2} - \frac{J^t}{\lVert J^t \rVert_2} \Bigr\rVert_2^2, \quad
        J = \frac{\partial \, \text{answer}}{\partial \, \text{input}}

    Survey: huang2022 section 4.3.
    Paper: {cite:t}`srinivas2018jacobian`.

    Args:
        student_jacobians: gradients of one number of each sample's answer with respect to its input, with a graph to
            the student's weights; computed in float32 at least.
        teacher_jacobians: the same shape; taken as a constant.
        form: ``sum`` over the input, or its ``mean``, as Knowledge-Distillation-Zoo has it. Default ``sum``: the
            paper's, as the inventory has it.
        reduction: over examples.

    Returns:
        A value of at least 0, at most 4 (``sum``); 0 when both answers change fastest in the same direction.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the form is unknown.

    Notes:
        An answer that no input changes has no direction: its row of zeros stays as it is.
        The paper could not be read; that matching logits under input noise is, to first order, matching them and
        their Jacobians is told of it and holds exactly for linear networks.

    Example:
        >>> import torch
        >>> right, up = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 3.0]]]])
        >>> jacobian_matching_loss(right, up), jacobian_matching_loss(5 * right, right, form="mean")
        (tensor(2.), tensor(0.))
    """
    check_samples(student_jacobians=student_jacobians, teacher_jacobians=teacher_jacobians)
    check_same_shape(student_jacobians=student_jacobians, teacher_jacobians=teacher_jacobians)
    check_choice("form", form, "sum", "mean")
    student, teacher = (
        unit(at_least_float32(slopes).flatten(1)) for slopes in (student_jacobians, teacher_jacobians.detach())
    )
    squares = (student - teacher).square()
    return reduce(squares.sum(1) if form == "sum" else squares.mean(1), reduction)


class JacobianMatching(Method):
    """`jacobian_matching_loss`, the images' gradients taken by asking both networks once more.

    The student answers the batch a second time, so its running statistics move twice, and the gradient of its
    gradient is taken: a step costs some three of plain distillation. The teacher's is made once for all runs.

    Args:
        of: what is differentiated: the ``logit`` of the class that the teacher finds likeliest, that of the true
            ``label``, as Knowledge-Distillation-Zoo has it, or the peak of the teacher's ``attention``, the squares of
            the last maps summed over channels. Default ``logit``: the inventory's first.
        form: see `jacobian_matching_loss`.
        weight: Default 20, which belongs to ``mean``: Knowledge-Distillation-Zoo.
    """

    zero_at_agreement = True

    def __init__(self, *, of: Of = "logit", form: Form = "mean", weight: float = 20.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if of not in ("logit", "label", "attention"):
            raise Refusal(f"of must be 'logit', 'label' or 'attention', got {of!r}")
        self.of, self.form, self.weight = of, form, weight

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        made = cls(**settings)
        if setting.student.logits.ndim != 2:
            raise Refusal("an answer is differentiated with respect to an image, and words are no numbers to change")
        if made.of == "attention":
            maps_of("student", setting.student)
            maps_of("teacher", setting.teacher)
        return made

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        with torch.enable_grad():
            key = ("jacobian", teacher.ask, student.features[-1].shape[2:] if self.of == "attention" else self.of)
            where, wanted = batch.once(key, lambda: self._of_the_teacher(student, teacher, batch))
            images = _images(batch)
            found = _slopes(self._numbers(student.ask(images), where, student, teacher), images, again=True)
        value = jacobian_matching_loss(found, wanted, form=self.form)
        return {"jacobian_matching": Term(value, self.weight)}

    def _of_the_teacher(self, student: Outputs, teacher: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which number of each answer is differentiated, and the teacher's gradient of it."""
        images = _images(batch)
        answer = teacher.ask(images)
        if self.of == "attention":
            where = self._numbers(answer, None, student, teacher).detach().argmax(1)
        else:
            where = answer.logits.detach().argmax(1) if self.of == "logit" else batch.targets
        return where, _slopes(self._numbers(answer, where, student, teacher), images, again=False)

    def _numbers(self, answer: Outputs, where: Tensor | None, student: Outputs, teacher: Outputs) -> Tensor:
        """The numbers at these places; all of them where no place is given."""
        values = answer.logits
        if self.of == "attention":
            sizes = zip(student.features[-1].shape[2:], teacher.features[-1].shape[2:])
            squares = at_least_float32(answer.features[-1]).square().sum(1, keepdim=True)
            values = F.adaptive_avg_pool2d(squares, [min(pair) for pair in sizes]).flatten(1)
        return values if where is None else values.gather(1, where[:, None])


def _images(batch: Batch) -> Tensor:
    images = batch.inputs
    images = images if images.is_floating_point() else images.float() / 255
    return images.detach().clone().requires_grad_()


def _slopes(numbers: Tensor, images: Tensor, again: bool) -> Tensor:
    return torch.autograd.grad(numbers.sum(), images, create_graph=again)[0]


ENTRIES = (
    Entry("jacobian-matching", "loss", JacobianMatching, {}, "ICML 2018; weight of Knowledge-Distillation-Zoo"),
    Entry("jacobian-matching-attention", "loss", JacobianMatching, {"of": "attention"}, "ICML 2018, of attention"),
)
