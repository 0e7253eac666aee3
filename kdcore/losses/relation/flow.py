"""How one layer's channels go together with the next one's: the flow from problem to solution."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_dimensions,
    refuse_out_of_range,
    squared_error,
)
from kdcore.losses.relation._rows import check_samples, maps_of, product
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Stage, Term, Update

Form = Literal["sum", "mean"]
Pooling = Literal["max", "average"]


def fsp_loss(
    student_first: Float[Tensor, "batch first_channels student_first_height student_first_width"],
    student_second: Float[Tensor, "batch second_channels student_second_height student_second_width"],
    teacher_first: Float[Tensor, "batch first_channels teacher_first_height teacher_first_width"],
    teacher_second: Float[Tensor, "batch second_channels teacher_second_height teacher_second_width"],
    *,
    form: Form = "sum",
    pooling: Pooling = "max",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match how the channels of two layers go together, position by position, sample by sample.

    .. math::
        L = \lVert G^t - G^s \rVert_F^2 \;\text{(sum)}, \quad
        L = \frac{1}{mn} \lVert G^t - G^s \rVert_F^2 \;\text{(mean)}, \quad
        G_{ij} = \frac{1}{hw} \sum_{u, v} F^1_{u v i} F^2_{u v j}

    Survey: huang2022 eq. 10 and 11, one pair of layers without its weight (n is there the number of pairs and of
    channels: errata H-08); si2023 section 2.2.2, Table 1; zhao2026 section 3.3 (as products inside one flattened
    vector: errata Z-19).
    Paper: {cite:t}`yim2017gift`.

    Args:
        student_first: the earlier layer's maps, with as many channels as the teacher's; float32 at least.
        student_second: the later layer's, likewise.
        teacher_first: of the same samples; taken as a constant.
        teacher_second: of the same samples; taken as a constant.
        form: ``sum`` over the matrix, or its ``mean``, as RepDistiller has it. Default ``sum``: huang2022.
        pooling: what brings the larger of a network's two maps to the smaller, ``max`` or ``average``. Default
            ``max``: the paper's, as torchdistill and the code of the MHGD authors have it; RepDistiller averages.
        reduction: over examples.

    Returns:
        A value of at least 0; 0 when both networks' products are the same.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same samples with equal channels, or an option is unknown.

    Notes:
        One product of matrices a sample: nothing of the size of channels x channels x positions is made.
        The later authors halve the sum and weigh it by a thousandth.

    Example:
        >>> import torch
        >>> first, second = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 4.0]], [[0.0, 2.0]]]])
        >>> fsp_matrix(first, second), fsp_loss(first, second, first, 2 * second).item()  # (3 + 8) / 2, 4 / 2
        (tensor([[[5.5000, 2.0000]]]), 34.25)
    """
    maps = {"student_first": student_first, "student_second": student_second}
    maps |= {"teacher_first": teacher_first, "teacher_second": teacher_second}
    check_samples(**maps)
    check_dimensions("batch channels height width", **maps)
    check_choice("form", form, "sum", "mean")
    channels = [tensor.shape[1] for tensor in maps.values()]
    if channels[:2] != channels[2:]:
        raise ValueError(f"student and teacher must have equal channels, got {channels[:2]} and {channels[2:]}")
    student = fsp_matrix(student_first, student_second, pooling=pooling)
    teacher = fsp_matrix(teacher_first.detach(), teacher_second.detach(), pooling=pooling)
    over = 1 if form == "sum" else channels[0] * channels[1]
    return squared_error(student, teacher, over, reduction)


def fsp_matrix(
    first: Float[Tensor, "batch first_channels first_height first_width"],
    second: Float[Tensor, "batch second_channels second_height second_width"],
    *,
    pooling: Pooling = "max",
) -> Float[Tensor, "batch first_channels second_channels"]:
    """Mean product of every channel of one layer with every channel of another, of each sample (huang2022 eq. 10)."""
    check_choice("pooling", pooling, "max", "average")
    first, second = at_least_float32(first), at_least_float32(second)
    size = [min(a, b) for a, b in zip(first.shape[2:], second.shape[2:])]
    pool = F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d
    first, second = (maps if list(maps.shape[2:]) == size else pool(maps, size) for maps in (first, second))
    return product(first.flatten(2), second.flatten(2).mT) / (size[0] * size[1])


class FSP(Method):
    """Two stages: the student learns the flow between neighbouring layers, then the task alone.

    The layers are the stem, where a network names one, and the stages. In the second stage the loss has weight 0: it
    is still logged, so that one sees how much of the flow is kept. `joint` leaves the first stage out and adds the
    loss to the task. While the flow is learned the classifier gets no gradient, but batches still pass all layers
    and move their running statistics.

    Args:
        student: channels of the student's layers.
        teacher: of the teacher's.
        form: Default ``mean``: RepDistiller's, in the weights of the paper's sum the inverse of the matrix's size.
        pooling: see `fsp_loss`.
        share: length of the first stage, as a part of the recipe's epochs. Default 1 / 8: 30 of 240 epochs,
            RepDistiller; 50 of 200 in Knowledge-Distillation-Zoo.
        projected: 1 x 1 convolutions that bring the student's layers to the teacher's channels, an addition of ours
            for pairs that the paper cannot serve.
        joint: beside the task from the beginning.
        weight: of the sum over pairs of layers. Default 1: RepDistiller.
    """

    zero_at_agreement = True

    def __init__(
        self,
        student: tuple[int, ...],
        teacher: tuple[int, ...],
        *,
        form: Form = "mean",
        pooling: Pooling = "max",
        share: float = 1 / 8,
        projected: bool = False,
        joint: bool = False,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"share": share}, weight=weight)
        if student != teacher and not projected:
            raise Refusal(
                "the flow's matrices must have equal sizes, and the student's layers have "
                f"{_listed(student)} channels where the teacher's have {_listed(teacher)}"
            )
        self.options, self.share, self.joint, self.weight = {"form": form, "pooling": pooling}, share, joint, weight
        different = [a != b for a, b in zip(student, teacher)]
        self.projections = nn.ModuleList(
            nn.Conv2d(a, b, 1) if other else nn.Identity() for a, b, other in zip(student, teacher, different)
        )

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        channels = []
        for whose, outputs in (("student", setting.student), ("teacher", setting.teacher)):
            maps_of(whose, outputs)
            channels.append(tuple(maps.shape[1] for maps in _layers(outputs)))
        if len(channels[0]) != len(channels[1]) or len(channels[0]) < 2:
            counts = " and ".join(str(len(layers)) for layers in channels)
            raise Refusal(f"the flow needs two or more layers, as many of the student as of the teacher, got {counts}")
        return cls(*channels, **settings)

    def adapters(self) -> list[nn.Module]:
        return [self.projections] if self.joint else []

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        if self.joint:
            return []

        def losses(batch: Batch) -> dict[str, Term]:
            return {"fsp": Term(self._flow(batch.outputs(student), batch.outputs(teacher)), self.weight)}

        return [Stage("flow", [Update("flow", [student, self.projections], losses)], share=self.share)]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"fsp": Term(self._flow(student, teacher), self.weight if self.joint else 0.0)}

    def _flow(self, student: Outputs, teacher: Outputs) -> Float[Tensor, ""]:
        mine = [project(maps) for project, maps in zip(self.projections, _layers(student))]
        pairs = zip(pairwise(mine), pairwise(_layers(teacher)))
        return torch.stack([fsp_loss(*here, *there, **self.options) for here, there in pairs]).sum()


def _layers(outputs: Outputs) -> list[Tensor]:
    stem = getattr(outputs, "stem", None)
    return [*([] if stem is None else [stem]), *outputs.features]


def _listed(channels: tuple[int, ...]) -> str:
    return ", ".join(map(str, channels))


ENTRIES = (
    Entry("fsp", "loss", FSP, {}, "CVPR 2017; length and weight of RepDistiller"),
    Entry("fsp-joint", "loss", FSP, {"joint": True}, "beside the task"),
)
