"""The student's feature put before the teacher's classifier: what it says of it must be what it says of its own."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch.nn.functional as F
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
from kdcore.losses.feature._norms import SteadyNorm2d
from kdcore.losses.feature._stages import named_stages
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

On = Literal["map", "embedding"]


def srrl_loss(
    student_embedding: Float[Tensor, "batch size"],
    teacher_embedding: Float[Tensor, "batch size"],
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    logit_weight: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's feature, and what the teacher's classifier makes of either feature.

    .. math::
        L = \frac1D \lVert r(f^s) - f^t \rVert_2^2 + \frac{w}{K} \lVert W r(f^s) - W f^t \rVert_2^2

    Survey: none; it stands beside the rows of si2023 section 2.2 in the comparisons of the field.
    Paper: {cite:t}`yang2021srrl`, as its authors' code has it.

    Args:
        student_embedding: the student's feature in the teacher's size, any floating type; float32 at least.
        teacher_embedding: what the teacher's classifier reads; taken as a constant.
        student_logits: what the teacher's classifier says of the student's feature.
        teacher_logits: what it says of the teacher's; taken as a constant.
        logit_weight: of the second part, at least 0. Default 1: the authors'.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only when features and answers are equal.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the weight is below 0.

    Notes:
        With a linear classifier the second part is the first one seen through its weights: directions of the feature
        that no class reads cost nothing there.

    Example:
        >>> import torch
        >>> feature, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])
        >>> scores, wanted = torch.tensor([[2.0, 0.0, 0.0, 0.0]]), torch.zeros(1, 4)
        >>> srrl_loss(feature, target, scores, wanted).item()
        1.5
    """
    check_floating(student_embedding=student_embedding, teacher_embedding=teacher_embedding)
    check_floating(student_logits=student_logits, teacher_logits=teacher_logits)
    check_same_shape(student_embedding=student_embedding, teacher_embedding=teacher_embedding)
    check_same_shape(student_logits=student_logits, teacher_logits=teacher_logits)
    check_dimensions("batch size", student_embedding=student_embedding)
    check_dimensions("batch classes", student_logits=student_logits)
    check_range(logit_weight=(logit_weight, 0.0, True))
    feature = _mean_square(student_embedding, teacher_embedding)
    return reduce(feature + logit_weight * _mean_square(student_logits, teacher_logits), reduction)


def _mean_square(student: Tensor, teacher: Tensor) -> Float[Tensor, " batch"]:
    return (at_least_float32(student) - at_least_float32(teacher.detach())).square().mean(1)


def classifier_of(teacher: nn.Module, embedding: int, classes: int, name: str | None = None) -> nn.Linear:
    """The linear layer that turns a network's embedding into its answer, by name or found by its size."""
    if name is not None:
        found = [module for path, module in teacher.named_modules() if path == name]
    else:
        linears = [module for module in teacher.modules() if isinstance(module, nn.Linear)]
        found = [one for one in linears if (one.in_features, one.out_features) == (embedding, classes)]
    if len(found) != 1 or not isinstance(found[0], nn.Linear):
        wanted = f"called {name!r}" if name is not None else f"from {embedding} features to {classes} classes"
        raise Refusal(f"the teacher must have one linear layer {wanted}, found {len(found)}")
    return found[0]


class SRRL(Method):
    """`srrl_loss`: a connector brings the student's last map to the teacher's channels, and its mean is classified.

    The connector is a convolution of one pixel, a batch norm and a ReLU. Only channels have to fit, since the mean
    over positions is taken after it (``map``, the authors'); ``embedding`` connects the student's own embedding
    instead, as SimKD's copy does, which for a network with layers after its last stage is another feature.

    Args:
        size: channels of the student's map, or size of its embedding.
        classifier: the teacher's; its weights are copied and never learn.
        on: what is connected.
        logit_weight: of the answers beside the feature. Default 1: the authors'.
        weight: of `srrl_loss`. Default 1: the authors'.
    """

    def __init__(
        self,
        size: int,
        classifier: nn.Linear,
        *,
        on: On = "map",
        logit_weight: float = 1.0,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(logit_weight=logit_weight, weight=weight)
        if on not in ("map", "embedding"):
            raise Refusal(f"on must be 'map' or 'embedding', got {on!r}")
        self.on, self.logit_weight, self.weight = on, logit_weight, weight
        self.connector = nn.Sequential(
            nn.Conv2d(size, classifier.in_features, 1, bias=False), SteadyNorm2d(classifier.in_features), nn.ReLU()
        )
        nn.init.kaiming_normal_(self.connector[0].weight, mode="fan_out")
        bias = classifier.bias
        self.register_buffer("scores", classifier.weight.detach().clone(), persistent=False)
        self.register_buffer("offsets", None if bias is None else bias.detach().clone(), persistent=False)

    @classmethod
    def build(cls, setting: Setting, *, on: On = "map", classifier: str | None = None, **settings: Any) -> Self:
        student, teacher = setting.student, setting.teacher
        if teacher.embedding is None or (on == "embedding" and student.embedding is None):
            raise Refusal("SRRL connects features that a classifier reads, and a network names no embedding")
        if on == "embedding":
            size = student.embedding.shape[1]
        else:
            size = student.features[named_stages("student", student)[-1]].shape[1]
        found = classifier_of(setting.teacher_network, teacher.embedding.shape[1], setting.classes, classifier)
        return cls(size, found, on=on, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        feature = student.embedding[:, :, None, None] if self.on == "embedding" else student.features[-1]
        connected = self.connector(feature).mean((2, 3))
        said = F.linear(connected, self.scores, self.offsets)
        value = srrl_loss(connected, teacher.embedding, said, teacher.logits, logit_weight=self.logit_weight)
        return {"srrl": Term(value, self.weight)}


ENTRIES = (
    Entry("srrl", "loss", SRRL, {}, "ICLR 2021, the authors' code"),
    Entry("srrl-simkd", "loss", SRRL, {"on": "embedding"}, "SimKD's copy, on the embedding"),
)
