"""Channels that the teacher cannot do without: a penalty that grows with the loss each of them prevents."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_floating,
    full_precision,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._alignment import aligned, check_channels, pointwise, shapes_of
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.losses.feature._tracing import Masked, call_of
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term, take

Form = Literal["penalty", "released"]
SHARPNESS = 5.0  # the authors divide standardised increases by it
SMALLEST_SPREAD = 1e-12
PART = 64  # examples that are asked at a time, the authors' batch


def delta_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    loss_increases: Float[Tensor, " channels"],
    *,
    form: Form = "penalty",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match maps channel by channel, each the more the teacher's own loss grows without that channel.

    .. math::
        \Omega = \sum_j W_j \lVert F^s_j - F^t_j \rVert_2^2, \qquad
        W_j = \mathrm{softmax}_j \bigl( L(z(x, w^{* \setminus j}), y) - L(z(x, w^*), y) \bigr)

    Survey: huang2022 eq. 9, which prints the weights without the penalty (errata H-07).
    Paper: {cite:t}`li2019delta`, which could not be read; the released form is the authors' code.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples and as many channels; sizes may differ; taken as a constant.
        loss_increases: how much the teacher's loss grows when a channel is set to zero; taken as a constant
            (`measured_increases` measures it).
        form: ``penalty`` as above; ``released``, where increases are standardised and divided by 5 before the
            softmax, and the sum is multiplied by ``channels / (2 * height * width)``. Default ``penalty``.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where all channels that count agree.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and channels, increases do not fit, or the form is unknown.

    Notes:
        The method was made for fine-tuning: student and teacher are one architecture and the student starts from the
        teacher's weights. Between a large and a small network it is a weighted hint.
        The authors' code sums over the batch too, so their weight 0.01 at 64 images is 0.64 here.
        Of two sizes the larger maps are averaged down to the smaller; the authors' are equal.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[1.0]], [[1.0]]]]), torch.tensor([[[[0.0]], [[3.0]]]])
        >>> round(delta_loss(student, teacher, torch.tensor([0.0, 3.0]).log1p()).item(), 4)
        3.4
    """
    check_channels(student_features, teacher_features)
    check_floating(loss_increases=loss_increases)
    check_choice("form", form, "penalty", "released")
    channels = teacher_features.shape[1]
    if loss_increases.shape != (channels,):
        raise ValueError(
            f"loss_increases must have shape ({channels},), one a channel, got {tuple(loss_increases.shape)}"
        )
    student, teacher = aligned(student_features, teacher_features)
    weights = _weights(at_least_float32(loss_increases.detach()), form)
    squares = (student - teacher).square().flatten(2)
    per_channel = channels * squares.mean(2) / 2 if form == "released" else squares.sum(2)
    return reduce((weights * per_channel).sum(1), reduction)


def _weights(increases: Tensor, form: Form) -> Float[Tensor, " channels"]:
    if form == "released":
        spread = increases.std(correction=0).clamp_min(SMALLEST_SPREAD)
        increases = (increases - increases.mean()) / spread / SHARPNESS
    return increases.softmax(0)


@torch.no_grad()
def measured_increases(network: nn.Module, batch: Batch, stage: int) -> Float[Tensor, " channels"]:
    """How much a network's own loss on a batch's examples, unchanged by any view, grows without each channel.

    The layers above the stage are asked once for every channel, those below it once, and so many examples at a time
    that what lies between fits into memory. The network is left as it was.
    """
    parts = batch.index.split(PART)
    increases = [len(part) * _increases(network, batch.sibling(part), stage) for part in parts]
    return torch.stack(increases).sum(0) / len(batch.index)


def _increases(network: nn.Module, batch: Batch, stage: int) -> Float[Tensor, " channels"]:
    inputs = take(batch.data.inputs, batch.index)
    with full_precision(batch.index):  # increases are far smaller than what half precision can tell apart
        said = network.forward(inputs)
        whole, channels = batch.task.loss(said, batch), said.features[stage].shape[1]
        masked = Masked(network, inputs, call_of(network, take(inputs, slice(0, 1)), stage))
        masks = 1 - torch.eye(channels, device=whole.device)
        without = [batch.task.loss(masked(mask), batch) for mask in masks]
    return torch.stack(without) - whole


class DELTA(Method):
    """`delta_loss` summed over stages, with the increases measured on training images at the first step.

    Where channel numbers differ, which the paper does not have, a 1 x 1 convolution brings the student's to the
    teacher's. The authors' second penalty, on the weights of the new classifier alone, is the recipe's weight decay.
    Measuring asks what lies above a stage once for each of its channels, work in proportion to `images` times the
    number of channels.

    Args:
        channels: the student's and the teacher's number of channels, for each pair.
        pairs: stages to match, as (student's, teacher's).
        form: of `delta_loss`. Default ``released``, the form that the weight belongs to.
        images: on which increases are measured. Default 256: four of the authors' batches of 64.
        weight: of the sum. Default 0.64: the authors' 0.01 at 64 images a batch (0.1 for one of their data sets).
    """

    def __init__(
        self,
        channels: tuple[tuple[int, int], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        form: Form = "released",
        images: int = 256,
        weight: float = 0.64,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"images": images}, weight=weight)
        if form not in ("penalty", "released"):
            raise Refusal(f"form must be 'penalty' or 'released', got {form!r}")
        self.pairs, self.form, self.images, self.weight = tuple(pairs), form, images, weight
        self.connectors = nn.ModuleList(pointwise(mine, theirs) for mine, theirs in channels)
        for number, (_, theirs) in enumerate(channels):
            self.register_buffer(f"increases{number}", torch.zeros(theirs))  # equal weights, until they are measured

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        return cls(
            tuple((mine[0], theirs[0]) for mine, theirs in (shapes_of(setting, p) for p in matched)),
            matched,
            **settings,
        )

    @property
    def zero_at_agreement(self) -> bool:
        """Where no convolution stands between."""
        return all(isinstance(connector, nn.Identity) for connector in self.connectors)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        if batch.clock.step == 0 and isinstance(teacher.ask, nn.Module):
            self._measure(teacher.ask, batch)
        values = [
            delta_loss(
                connector(student.features[mine]),
                teacher.features[theirs],
                getattr(self, f"increases{number}"),
                form=self.form,
            )
            for number, (connector, (mine, theirs)) in enumerate(zip(self.connectors, self.pairs))
        ]
        return {"delta": Term(torch.stack(values).sum(), self.weight)}

    def _measure(self, teacher: nn.Module, batch: Batch) -> None:
        random = batch.generator("importance")
        order = torch.randperm(len(batch.data), generator=random, device=random.device)
        asked = batch.sibling(order[: self.images])
        for number, (_, theirs) in enumerate(self.pairs):
            getattr(self, f"increases{number}").copy_(measured_increases(teacher, asked, theirs))


ENTRIES = (
    Entry("delta", "loss", DELTA, {}, "ICLR 2019, the authors' code"),
    Entry("delta-huang2022", "loss", DELTA, {"form": "penalty"}, "huang2022 eq. 9, with the penalty it omits"),
)
