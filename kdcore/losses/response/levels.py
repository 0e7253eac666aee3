"""Three levels of one answer: each example, how examples resemble each other, how classes go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    at_least_float32,
    check_logits,
    check_range,
    full_precision,
    log_softened,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)  # the authors'
STRONG, MIXED_UP = (3.0, 4.0, 5.0), (2.0, 6.0)  # of the strong view's terms in the authors' code, two read the weak one

Logits = tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch classes"]]  # the student's, the teacher's
Stacked = Float[Tensor, "temperatures rows size"]


def mlkd_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    instance_weight: float = 1.0,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Float[Tensor, ""]:
    r"""Match the teacher's answers one by one, as resemblances of examples and as those of classes: a scalar.

    .. math::
        L = \sum_T \Bigl[ \frac{T^2}{B} \sum_x \mathrm{KL}(p^t_x \,\|\, p^s_x)
        + \frac1B \lVert P^t P^{t\top} - P^s P^{s\top} \rVert_F^2
        + \frac1K \lVert P^{t\top} P^t - P^{s\top} P^s \rVert_F^2 \Bigr],
        \quad P = \mathrm{softmax}(Z / T)

    Survey: none of zhao2026, si2023, huang2022 and the notes names it; an addition.
    Paper: {cite:t}`jin2023multilevel`, which could not be read; the three terms are those of the authors' code.

    Args:
        student_logits: unnormalised scores of B examples, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        temperatures: all of them are summed over, each above 0. Default 2, 3, 4, 5 and 6: the authors' code.
        instance_weight: of the first term, at least 0. Default 1: the authors' code weighs all three alike.
        batch_weight: of the second term, at least 0. Default 1.
        class_weight: of the third term, at least 0. Default 1.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree up to a shift of each example's logits.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, there is no temperature, or a number is out of its range.

    Notes:
        The second term sums over pairs of examples and divides by their number only once, so it grows with the
        batch; the third grows with its square, since a class is as long as the batch.
        What the authors' code does with two views, masks and mixed-up arguments is `MLKD` with ``form="released"``.

    Example:
        >>> import torch
        >>> from kdcore.losses import kd_loss
        >>> student, teacher = torch.tensor([[1.0, 0.0], [2.0, 1.0]]), torch.tensor([[0.0, 1.0], [4.0, 1.0]])
        >>> one = mlkd_loss(student, teacher, temperatures=[4.0], batch_weight=0.0, class_weight=0.0)
        >>> torch.allclose(one, kd_loss(student, teacher, temperature=4.0))
        True
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    if not len(temperatures):
        raise ValueError("temperatures must name at least one, got none")
    for temperature in temperatures:
        check_range(temperatures=(temperature, 0.0, False))
    weights = {"instance": instance_weight, "batch": batch_weight, "class": class_weight}
    check_range(**{f"{level}_weight": (weight, 0.0, True) for level, weight in weights.items()})
    levels = all_levels((student_logits, teacher_logits), temperatures)
    return sum(weight * levels[level] for level, weight in weights.items())


def all_levels(logits: Logits, temperatures: Sequence[float]) -> dict[str, Float[Tensor, ""]]:
    """The three terms of `mlkd_loss`, each summed over temperatures."""
    student, teacher = _softened(logits, temperatures)
    return {
        "instance": _one_by_one(student, teacher, temperatures),
        "batch": _resemblance(student.exp(), teacher.exp()),
        "class": _resemblance(student.exp().mT, teacher.exp().mT),
    }


def _softened(logits: Logits, temperatures: Sequence[float]) -> tuple[Stacked, Stacked]:
    """Logarithms of both answers at all temperatures."""
    student, teacher = (torch.stack([log_softened(scores, t) for t in temperatures]) for scores in logits)
    return student, teacher.detach()


def _one_by_one(student: Stacked, teacher: Stacked, temperatures: Sequence[float]) -> Float[Tensor, ""]:
    values = F.kl_div(student, teacher, reduction="none", log_target=True).sum(2).mean(1)
    return sum(t**2 * value for t, value in zip(temperatures, values))


def _resemblance(student: Stacked, teacher: Stacked) -> Float[Tensor, ""]:
    """Squared differences of all inner products of rows, over the number of rows."""
    with full_precision(student):
        return (student @ student.mT - teacher @ teacher.mT).square().sum() / student.shape[1]


def share_of_unsure(confidences: Float[Tensor, " some"]) -> Float[Tensor, ""]:
    """How many are at most the median: what a mask of these does to a loss that is a scalar already."""
    return (confidences <= confidences.quantile(0.5)).to(confidences.dtype).mean()


class MLKD(Method):
    """`mlkd_loss` on the views ``weak`` and ``strong``, beside the labels on both: 0.9 against 0.1, the authors'.

    ``form="released"`` computes what the authors' code computes: its mask of unsure examples multiplies a loss that
    is a scalar already, so that the weak view's terms are about halved; of the strong view's, those at temperatures
    2 and 6 are given the weak view's logits; and the levels of batch and class are taken of the weak view alone. Its
    length, 240 epochs for pairs of one family and 480 or 960 for others, belongs to a recipe.
    """

    def __init__(
        self,
        *,
        temperatures: Sequence[float] = TEMPERATURES,
        form: str = "views",
        weight: float = 0.9,
        task_weight: float = 0.1,
        strong_task_weight: float = 0.1,
    ):
        super().__init__()
        above_zero = {"temperatures": min(temperatures, default=0.0)}
        weights = {"weight": weight, "task_weight": task_weight, "strong_task_weight": strong_task_weight}
        refuse_out_of_range(above_zero=above_zero, **weights)
        if form not in ("views", "released"):
            raise Refusal(f"form must be 'views' or 'released', got {form!r}")
        if form == "released" and tuple(temperatures) != TEMPERATURES:
            raise Refusal(f"the released form has temperatures 2, 3, 4, 5 and 6, got {list(temperatures)}")
        self.temperatures, self.form = tuple(temperatures), form
        self.weight, self.task_weight, self.strong_task_weight = weight, task_weight, strong_task_weight

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        if setting.student.logits.ndim != 2:
            raise Refusal("mlkd compares one answer an example, and these networks answer word by word")
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        strong, strong_teacher = student.view("strong"), teacher.view("strong")
        weak_logits, strong_logits = (student.logits, teacher.logits), (strong.logits, strong_teacher.logits)
        terms = self._released if self.form == "released" else self._views
        labels = {"mlkd_strong_task": Term(batch.task.loss(strong, batch), self.strong_task_weight)}
        return labels | {
            f"mlkd_{level}": Term(v, self.weight) for level, v in terms(weak_logits, strong_logits).items()
        }

    def _views(self, *views: Logits) -> dict[str, Tensor]:
        weak, strong = (all_levels(view, self.temperatures) for view in views)
        return {level: value + strong[level] for level, value in weak.items()}

    def _released(self, weak: Logits, strong: Logits) -> dict[str, Tensor]:
        answers = at_least_float32(weak[1].detach()).softmax(1)
        unsure, rare = share_of_unsure(answers.amax(1)), share_of_unsure(answers.sum(0))
        levels = all_levels(weak, TEMPERATURES)
        instance = unsure * levels["instance"]
        for view, temperatures in ((strong, STRONG), (weak, MIXED_UP)):
            instance = instance + _one_by_one(*_softened(view, temperatures), temperatures)
        return {"instance": instance, "batch": unsure * levels["batch"], "class": rare * levels["class"]}


ENTRIES = (
    Entry("mlkd", "loss", MLKD, {}, "CVPR 2023, all levels on both views"),
    Entry("mlkd-released", "loss", MLKD, {"form": "released"}, "CVPR 2023, the authors' code"),
)
