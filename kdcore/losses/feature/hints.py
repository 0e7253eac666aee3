"""Hints: a middle layer of the teacher that the lower part of the student learns to predict."""

from __future__ import annotations

from typing import Any, Literal, Self

from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    check_choice,
    check_floating,
    check_same_shape,
    refuse_out_of_range,
    squared_error,
)
from kdcore.losses.feature._stages import middle, stage_pairs
from kdcore.losses.response.labels import ce_soft_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Stage, Term, Update

Shape = tuple[int, int, int]  # channels, height, width
Form = Literal["half-sum", "mean"]


def fitnet_loss(
    student_features: Float[Tensor, "batch channels height width"],
    teacher_features: Float[Tensor, "batch channels height width"],
    *,
    form: Form = "half-sum",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match a layer of the teacher by squared difference, the student's having been brought to its shape.

    .. math::
        L = \tfrac12 \lVert r(F^s) - F^t \rVert_2^2 \;\text{(half-sum)}, \qquad
        L = \frac{1}{WHC} \lVert r(F^s) - F^t \rVert_2^2 \;\text{(mean)}

    Survey: huang2022 eq. 8 (``half-sum``); zhao2026 eq. 5 and Table 2 (``mean``: errata Z-05); si2023 eq. 2, whose
    text puts the regressor on the teacher (errata S-05); note-kd section 3.
    Paper: {cite:t}`romero2015fitnets`.

    Args:
        student_features: what the regressor makes of the student's layer, any floating type; float32 at least.
        teacher_features: the same shape; taken as a constant.
        form: ``half-sum`` over the map, or its ``mean``. Default ``half-sum``: the paper's, as huang2022 prints it.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only when both are equal. ``half-sum`` grows with the size of the map.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the form is unknown.

    Notes:
        The forms differ by the factor ``width * height * channels / 2``, so a weight must name its form; RepDistiller's
        and mdistiller's weight 100 belongs to ``mean``.
        The authors' code sums over one dimension of the map and averages over the others.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
        >>> fitnet_loss(student, teacher), fitnet_loss(student, teacher, form="mean")
        (tensor(2.), tensor(1.))
    """
    check_floating(student_features=student_features, teacher_features=teacher_features)
    check_same_shape(student_features=student_features, teacher_features=teacher_features)
    check_choice("form", form, "half-sum", "mean")
    scale = student_features.shape[1:].numel() if form == "mean" else 2
    return squared_error(student_features, teacher_features, scale, reduction)


class Regressor(nn.Module):
    """A convolution that brings the student's map to the teacher's shape, then ReLU, as the teacher's layer has one.

    A map twice as wide is halved by a stride, one an even part as wide is enlarged by a transposed convolution (both
    as in RepDistiller); any other larger map loses its border to a kernel without padding, as in the paper.
    `normalised` puts batch normalisation in front of the ReLU, as RepDistiller and mdistiller do.

    Args:
        student: channels, height, width of the student's layer.
        teacher: of the teacher's.
        normalised: whether to normalise over the batch.
    """

    def __init__(self, student: Shape, teacher: Shape, *, normalised: bool = False):
        super().__init__()
        norm = nn.BatchNorm2d(teacher[0]) if normalised else nn.Identity()
        self.layers = nn.Sequential(_convolution(student, teacher), norm, nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def _convolution(student: Shape, teacher: Shape) -> nn.Module:
    (channels, *mine), (wanted, *theirs) = student, teacher
    if all(a == 2 * b for a, b in zip(mine, theirs)):
        return nn.Conv2d(channels, wanted, 3, stride=2, padding=1)
    if all(a >= b for a, b in zip(mine, theirs)):
        return nn.Conv2d(channels, wanted, tuple(1 + a - b for a, b in zip(mine, theirs)))
    factor = theirs[0] // mine[0]
    if factor % 2 == 0 and all(b == factor * a for a, b in zip(mine, theirs)):
        return nn.ConvTranspose2d(channels, wanted, 2 * factor, stride=factor, padding=factor // 2)
    raise Refusal(
        f"no regressor brings the student's map of {mine[0]} x {mine[1]} to the teacher's {theirs[0]} x {theirs[1]}: "
        "choose another pair of layers"
    )


class FitNet(Method):
    """Two stages: the lower student learns the hint, then the whole student distils with a falling weight.

    The second stage is the cross-entropy with the teacher's answer at `temperature`, without its square, beside the
    labels at weight 1; its weight falls evenly from `weight` to `last_weight` (the authors' CIFAR settings: 3, 4
    and 1; theirs stop a little before the end of the fall). `joint` leaves the first stage out and adds the hint to
    the task with `weight`, as RepDistiller and mdistiller do. While the hint is learned the student's upper layers
    get no gradient, but batches still pass them and move their running statistics.

    Args:
        student: channels, height, width of the guided layer.
        teacher: of the hint layer.
        pair: the guided and the hint stage.
        form: of `fitnet_loss`. Default ``mean``: the paper's half-sum but for a factor, which its optimiser, RMSprop,
            divides out again; the steps that SGD takes on a half-sum of tens of thousands of numbers are too long.
        share: length of the first stage, as a part of the recipe's epochs. Default 1 / 2, ours: the authors stop it
            on a validation set.
        normalised: batch normalisation in the regressor.
    """

    def __init__(
        self,
        student: Shape,
        teacher: Shape,
        pair: tuple[int, int],
        *,
        form: Form = "mean",
        temperature: float = 3.0,
        weight: float = 4.0,
        last_weight: float = 1.0,
        share: float = 0.5,
        joint: bool = False,
        normalised: bool = False,
    ):
        super().__init__()
        above_zero = {"temperature": temperature, "share": share}
        refuse_out_of_range(above_zero=above_zero, weight=weight, last_weight=last_weight)
        self.pair, self.form, self.joint, self.share = pair, form, joint, share
        self.temperature, self.weight, self.last_weight = temperature, weight, last_weight
        self.regressor = Regressor(student, teacher, normalised=normalised)

    @classmethod
    def build(
        cls, setting: Setting, *, student_stage: int | None = None, teacher_stage: int | None = None, **settings: Any
    ) -> Self:
        mine = middle(setting.student) if student_stage is None else student_stage
        theirs = middle(setting.teacher) if teacher_stage is None else teacher_stage
        (pair,) = stage_pairs(setting, [(mine, theirs)])
        shapes = setting.student.features[mine].shape[1:], setting.teacher.features[theirs].shape[1:]
        return cls(*(tuple(shape) for shape in shapes), pair, **settings)

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        if self.joint:
            return []

        def losses(batch: Batch) -> dict[str, Term]:
            return {"hint": Term(self._hint(batch.outputs(student), batch.outputs(teacher)))}

        return [Stage("hint", [Update("hint", [student, self.regressor], losses)], share=self.share)]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        if self.joint:
            return {"hint": Term(self._hint(student, teacher), self.weight)}
        value = ce_soft_loss(student.logits, teacher.logits, temperature=self.temperature)
        return {"fitnet_kd": Term(value, self.weight_at)}

    def adapters(self) -> list[nn.Module]:
        """None in the second stage of two: the regressor has done its work."""
        return [self.regressor] if self.joint else []

    def weight_at(self, progress: float) -> float:
        return self.weight + (self.last_weight - self.weight) * progress

    def _hint(self, student: Outputs, teacher: Outputs) -> Tensor:
        mine, theirs = self.pair
        return fitnet_loss(self.regressor(student.features[mine]), teacher.features[theirs], form=self.form)


ENTRIES = (
    Entry("fitnet", "loss", FitNet, {}, "ICLR 2015, two stages", revision=2),
    Entry(
        "fitnet-joint",
        "loss",
        FitNet,
        {"joint": True, "form": "mean", "weight": 100.0, "normalised": True},
        "RepDistiller and mdistiller, one stage",
    ),
)
