"""On which side of zero a neuron stands: the boundaries of activation, learned before the task."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_range,
    check_same_shape,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._alignment import Shape, on_preactivations, shapes_of
from kdcore.losses.feature._stages import Pairs
from kdcore.losses.feature.hints import Regressor
from kdcore.losses.response.distillation import kd_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Stage, Term, Update

THOUSANDTH = 1e-3  # the authors divide the sum over positions and channels by a thousand
Rest = Literal["kd", "labels"]


def ab_loss(
    student_features: Float[Tensor, "batch channels height width"],
    teacher_features: Float[Tensor, "batch channels height width"],
    *,
    margin: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match on which side of zero each pre-activation stands, by a squared hinge.

    .. math::
        L = \sum_i \max(0, \; \mu - \mathrm{sgn}(t_i) \, s_i)^2, \qquad \mathrm{sgn}(t) = \begin{cases} 1 & t > 0 \\
        -1 & t \le 0 \end{cases}

    Survey: none; huang2022 section 4.2 speaks of what is matched of a map.
    Paper: {cite:t}`heo2019boundaries`, as in the authors' code.

    Args:
        student_features: pre-activations behind the connector, any floating type; computed in float32 at least.
        teacher_features: pre-activations, the same shape; only their signs count; taken as a constant.
        margin: how far behind the boundary a student's value must stand to cost nothing, at least 0. Default 1: the
            authors'.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where every value stands at least the margin deep on the teacher's side; it grows
        with the number of positions and channels.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same shape, or the margin is below 0.

    Notes:
        How far the teacher's value is from zero does not matter, so equal maps do not cost nothing.
        The authors divide by a thousand and multiply by three; both belong to the method's weight.
        Knowledge-Distillation-Zoo takes margin 2 and a mean.

    Example:
        >>> import torch
        >>> student = torch.tensor([2.0, 0.5, -1.0, -3.0]).view(1, 1, 1, 4)
        >>> teacher = torch.tensor([0.1, 9.0, 9.0, -0.1]).view(1, 1, 1, 4)
        >>> ab_loss(student, teacher)  # 0, 0.25, 4 and 0
        tensor(4.2500)
    """
    check_floating(student_features=student_features, teacher_features=teacher_features)
    meaning = "batch channels height width"
    check_dimensions(meaning, student_features=student_features, teacher_features=teacher_features)
    check_same_shape(student_features=student_features, teacher_features=teacher_features)
    check_range(margin=(margin, 0.0, True))
    student = at_least_float32(student_features)
    other_side = 1 - 2 * (teacher_features.detach() > 0).to(student.dtype)
    beyond = (student * other_side).add_(margin).relu_()
    return reduce(beyond.square().flatten(1).sum(1), reduction)


class AB(Method):
    """Boundaries first, then the task: `ab_loss` initialises the student, and takes no part in what follows.

    What follows is, with ``then="kd"``, the teacher's softened answer alone, without labels and without the square of
    the temperature, as in the authors' script for CIFAR-10; with ``then="labels"`` the labels alone, as in
    RepDistiller. Where two maps agree in shape nothing stands between them; else a convolution brings the student's
    to the teacher's channels and size (as `Regressor`), with batch norm and without ReLU.

    Args:
        shapes: the student's and the teacher's channels, height and width, for each pair.
        pairs: stages to match, as (student's, teacher's), shallow to deep; each counts half as much as the next.
        then: what is learned afterwards. Default ``kd``: the authors' script.
        margin: of the hinge. Default 1: the authors'.
        temperature: of what follows. Default 3: the authors'.
        share: length of the first stage, as a part of the recipe's epochs. Default 1 / 8: RepDistiller's 30 of 240.
        weight: of the boundaries. Default 0.003: the authors' three thousandths.
        kd_weight: of what follows. Default 1: the authors'.
    """

    def __init__(
        self,
        shapes: tuple[tuple[Shape, Shape], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        then: Rest = "kd",
        margin: float = 1.0,
        temperature: float = 3.0,
        share: float = 0.125,
        weight: float = 3 * THOUSANDTH,
        kd_weight: float = 1.0,
    ):
        super().__init__()
        above_zero = {"temperature": temperature, "share": share}
        refuse_out_of_range(above_zero=above_zero, margin=margin, weight=weight, kd_weight=kd_weight)
        if then not in ("kd", "labels"):
            raise Refusal(f"then must be 'kd' or 'labels', got {then!r}")
        self.pairs, self.then, self.margin, self.temperature = tuple(pairs), then, margin, temperature
        self.share, self.weight, self.kd_weight = share, weight, kd_weight
        self.task_weight, self.zero_at_agreement = (0.0, True) if then == "kd" else (1.0, False)
        self.connectors = nn.ModuleList(_connector(mine, theirs) for mine, theirs in shapes)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        before, matched = on_preactivations(setting, pairs)
        return cls(tuple(shapes_of(before, pair) for pair in matched), matched, **settings)

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        def losses(batch: Batch) -> dict[str, Term]:
            return {"boundaries": Term(self.boundaries(batch.outputs(student), batch.outputs(teacher)), self.weight)}

        return [Stage("boundaries", [Update("boundaries", [student, self.connectors], losses)], share=self.share)]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        if self.then == "labels":
            return {}
        value = kd_loss(student.logits, teacher.logits, temperature=self.temperature) / self.temperature**2
        return {"ab_kd": Term(value, self.kd_weight)}

    def adapters(self) -> list[nn.Module]:
        """None in the second stage: the connectors have done their work."""
        return []

    def boundaries(self, student: Outputs, teacher: Outputs) -> Tensor:
        """`ab_loss` over the stages, the deepest in full, each one before it at half."""
        values = [
            ab_loss(connector(student.preactivations[mine]), teacher.preactivations[theirs], margin=self.margin)
            / 2 ** (len(self.pairs) - 1 - number)
            for number, (connector, (mine, theirs)) in enumerate(zip(self.connectors, self.pairs))
        ]
        return torch.stack(values).sum()


def _connector(student: Shape, teacher: Shape) -> nn.Module:
    if student == teacher:
        return nn.Identity()
    return Regressor(student, teacher, normalised=True).layers[:-1]  # all but the ReLU: signs are what is matched


ENTRIES = (Entry("ab", "loss", AB, {}, "AAAI 2019, the authors' script for CIFAR-10"),)
