"""A temperature for each example: low where the student has trouble, so that the teacher speaks plainly."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    at_least_float32,
    check_choice,
    check_logits,
    check_range,
    divergence,
    log_softened,
    refuse_out_of_range,
)
from kdcore.losses.response.selective import adjust_knowledge
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Term

Form = Literal["flsw", "cwsm"]


def dtd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    form: Form = "flsw",
    temperature: float = 4.0,
    bias: float = 1.0,
    gamma: float = 2.0,
    lowest: float = 1.0,
) -> Float[Tensor, ""]:
    r"""Match the teacher's answers over a batch, each softened the less the harder it is: a scalar.

    .. math::
        L = \frac1B \sum_x \tau_x^2 \, \mathrm{KL}(p^t(\tau_x) \,\|\, p^s(\tau_x)), \quad
        \tau_x = \tau_0 + \beta \Bigl( \frac1B \sum_j w_j - w_x \Bigr)

    .. math::
        w = \Bigl( 1 - \frac{z^s \cdot z^t}{\lVert z^s \rVert \lVert z^t \rVert} \Bigr)^\gamma \;\text{(flsw)}, \qquad
        w = \frac{1}{\max_i \mathrm{softmax}(z^s)_i} \;\text{(cwsm)}

    Survey: si2023 section 2.1, in words.
    Paper: {cite:t}`wen2021preparing`.

    Args:
        student_logits: unnormalised scores, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        form: how hard an example is: by the angle between both networks' scores (``flsw``, focal-loss style) or by
            the student's confidence (``cwsm``). Default ``flsw``, named first by the paper.
        temperature: of an example of average difficulty, above 0. Default 4, as for `kd_loss`.
        bias: the paper's beta, how far the temperature moves, at least 0. Default 1: TextBrewer's example.
        gamma: the exponent of ``flsw``, at least 0. Default 2: TextBrewer's example.
        lowest: no example's temperature falls below it, above 0. Default 1, ours.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree up to a shift of the logits.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, the form is unknown, or a number is out of its range.

    Notes:
        An example's temperature depends on the others of its batch, so there is no value for each example alone.
        The temperatures are constants: no gradient goes through them. With ``bias = 0`` it is `kd_loss`.
        Without a floor, one very unsure answer among many classes drives its ``cwsm`` temperature below 0.
        The numbers of the paper itself could not be read; TextBrewer, which has both forms, adds 1e-4 to the norms
        and 1e-3 to the confidence, where this form needs nothing.
        Putting the teacher's wrong answers right, the paper's other half, is `adjust_knowledge`.

    Example:
        >>> import torch
        >>> from kdcore.losses import kd_loss
        >>> student, teacher = torch.tensor([[1.0, 0.0], [2.0, 1.0]]), torch.tensor([[0.0, 1.0], [4.0, 1.0]])
        >>> torch.allclose(dtd_loss(student, teacher, bias=0.0), kd_loss(student, teacher))
        True
    """
    softness = dynamic_temperatures(
        student_logits, teacher_logits, form=form, temperature=temperature, bias=bias, gamma=gamma, lowest=lowest
    )[:, None]
    student, teacher = log_softened(student_logits, softness), log_softened(teacher_logits.detach(), softness)
    return (softness[:, 0] ** 2 * divergence(student, teacher)).mean()


@torch.no_grad()
def dynamic_temperatures(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    form: Form = "flsw",
    temperature: float = 4.0,
    bias: float = 1.0,
    gamma: float = 2.0,
    lowest: float = 1.0,
) -> Float[Tensor, " batch"]:
    """The temperature of each example, as `dtd_loss` explains it; constants, none below `lowest`.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]])
        >>> dynamic_temperatures(student, teacher)  # a right angle is harder than none
        tensor([4.5000, 3.5000])
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_choice("form", form, "flsw", "cwsm")
    check_range(temperature=(temperature, 0.0, False), lowest=(lowest, 0.0, False))
    check_range(bias=(bias, 0.0, True), gamma=(gamma, 0.0, True))
    difficulty = _angle(student_logits, teacher_logits) ** gamma if form == "flsw" else _doubt(student_logits)
    return (temperature + bias * (difficulty.mean() - difficulty)).clamp_min(lowest)


def _angle(student_logits: Tensor, teacher_logits: Tensor) -> Float[Tensor, " batch"]:
    """One minus the cosine; rounding must not take it below 0, where a power has no value."""
    student, teacher = (F.normalize(at_least_float32(logits)) for logits in (student_logits, teacher_logits))
    return (1 - (student * teacher).sum(1)).clamp_min(0)


def _doubt(student_logits: Tensor) -> Float[Tensor, " batch"]:
    return at_least_float32(student_logits).softmax(1).amax(1).reciprocal()


class DTD(Method):
    """`dtd_loss` beside the labels, on the teacher's answers put right (`adjust_knowledge`) unless told otherwise.

    The weights 0.9 and 0.1 are those of `KD`, the paper's own could not be read.
    """

    zero_at_agreement = False  # where the teacher is wrong, agreeing with it is no longer the goal

    def __init__(
        self,
        *,
        form: Form = "flsw",
        temperature: float = 4.0,
        bias: float = 1.0,
        gamma: float = 2.0,
        lowest: float = 1.0,
        adjusted: bool = True,
        weight: float = 0.9,
        task_weight: float = 0.1,
    ):
        super().__init__()
        above_zero = {"temperature": temperature, "lowest": lowest}
        refuse_out_of_range(above_zero=above_zero, bias=bias, gamma=gamma, weight=weight, task_weight=task_weight)
        if form not in ("flsw", "cwsm"):
            raise Refusal(f"form must be 'flsw' or 'cwsm', got {form!r}")
        self.options = {"form": form, "temperature": temperature, "bias": bias, "gamma": gamma, "lowest": lowest}
        self.adjusted, self.weight, self.task_weight = adjusted, weight, task_weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        answers = adjust_knowledge(teacher.logits, batch.targets) if self.adjusted else teacher.logits
        return {"dtd": Term(dtd_loss(student.logits, answers, **self.options), self.weight)}


ENTRIES = (
    Entry("dtd", "loss", DTD, {}, "Neurocomputing 2021, focal-loss style"),
    Entry("dtd-cwsm", "loss", DTD, {"form": "cwsm"}, "Neurocomputing 2021, by the student's confidence"),
)
