"""Attention-based feature matching: every layer of the teacher asks which layers of the student should learn it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import Reduction, at_least_float32, reduce, refuse_out_of_range
from kdcore.losses.feature._norms import SteadyNorm1d
from kdcore.losses.feature._stages import Stages
from kdcore.losses.feature.calibration import check_attended, layers_of
from kdcore.losses.response.distillation import kd_loss
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term


def afd_attention_matching_loss(
    student_distances: Float[Tensor, "batch student_layers teacher_layers"],
    fit: Float[Tensor, "batch student_layers teacher_layers"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match each layer of the teacher with all of the student's, the more the better they answer its question.

    .. math::
        L = \sum_t \sum_s \alpha_{st} \, d_{st}, \quad \alpha_{st} = \frac{e^{a_{st}}}{\sum_{s'} e^{a_{s't}}}

    Survey: si2023 section 2.2.2.
    Paper: {cite:t}`ji2021show`, as its authors' code has it.

    Args:
        student_distances: how far each layer of the student is from each of the teacher's, for each example; the
            authors take the mean squared difference of normalised attention maps. Any floating type; float32 at
            least.
        fit: how well two layers go together, unnormalised; `AFDAttentionMatching` takes the scaled product of a query
            of the teacher's layer with the student's answer to it.
        reduction: over examples.

    Returns:
        A sum over the teacher's layers of means of the distances over the student's: 0 where all those are 0 that
        are attended to.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: their shapes differ.

    Notes:
        The fit learns too: nothing is taken as a constant here, so the teacher's maps must be cut off their graph
        before, as `AFDAttentionMatching` does. It is `semckd_loss` with the roles exchanged, and summed where that is
        averaged: there every layer of the student finds teachers, here every layer of the teacher finds students.

    Example:
        >>> import torch
        >>> distances = torch.tensor([[[1.0], [3.0]]])  # two layers of the student, one of the teacher
        >>> afd_attention_matching_loss(distances, torch.zeros(1, 2, 1)).item()
        2.0
    """
    check_attended(student_distances, fit)
    attention = at_least_float32(fit).softmax(1)
    return reduce((attention * at_least_float32(student_distances)).sum((1, 2)), reduction)


class AFDAttentionMatching(Method):
    r"""`afd_attention_matching_loss` over all pairs of layers, with plain distillation and the labels: 200, 0.9 and 1.

    .. math::
        a_{st} = \frac{\langle q_t, k_{st} \rangle + \langle p_s, p_t \rangle}{\sqrt D}

    Queries and keys are read off the means of a layer's channels, one key for each pair of layers; the positions p
    are learned vectors. What is matched is a layer's attention map: squares averaged over the
    channels, averaged down or repeated up to the teacher's size, and normalised over the positions.

    Args:
        student: channels of each layer of the student.
        teacher: of the teacher's.
        stages: which stages the layers are, of the student and of the teacher; all unless given to `build`. The
            authors take the end of every residual block.
        size: of keys and queries. Default 128: the authors'.
        temperature: of the plain distillation. Default 4: the authors'.
        kd_weight: of the plain distillation. Default 0.9: the authors'.
        weight: of `afd_attention_matching_loss`. Default 200: the authors', for WRN-40-2 to WRN-16-2.
    """

    def __init__(
        self,
        student: Sequence[int],
        teacher: Sequence[int],
        stages: tuple[Stages, Stages],
        *,
        size: int = 128,
        temperature: float = 4.0,
        kd_weight: float = 0.9,
        weight: float = 200.0,
    ):
        super().__init__()
        above_zero = {"size": size, "temperature": temperature}
        refuse_out_of_range(above_zero=above_zero, kd_weight=kd_weight, weight=weight)
        self.stages, self.temperature, self.kd_weight, self.weight = stages, temperature, kd_weight, weight
        self.asked = nn.ModuleList(_linear(channels, size) for channels in teacher)
        self.known = nn.ModuleList(_linear(channels, size) for channels in student)
        self.answer = _linear(size, size * len(teacher))
        self.positions = nn.ParameterList(
            nn.init.xavier_normal_(torch.empty(len(layers), size)) for layers in (student, teacher)
        )

    @classmethod
    def build(
        cls,
        setting: Setting,
        *,
        student_stages: Stages | None = None,
        teacher_stages: Stages | None = None,
        **settings: Any,
    ) -> Self:
        return cls(*layers_of(setting, student_stages, teacher_stages), **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine = [student.features[stage] for stage in self.stages[0]]
        theirs = [teacher.features[stage].detach() for stage in self.stages[1]]
        value = afd_attention_matching_loss(distances(mine, theirs), self._fit(mine, theirs))
        kd = kd_loss(student.logits, teacher.logits, temperature=self.temperature)
        return {"afd": Term(value, self.weight), "afd_kd": Term(kd, self.kd_weight)}

    def _fit(self, mine: list[Tensor], theirs: list[Tensor]) -> Float[Tensor, "batch students teachers"]:
        queries = torch.stack([asked(maps.mean((2, 3))) for asked, maps in zip(self.asked, theirs)], 1)
        known = torch.stack([F.relu(known(maps.mean((2, 3)))) for known, maps in zip(self.known, mine)], 1)
        keys = self.answer(known.flatten(0, 1)).view(*known.shape[:2], *queries.shape[1:])
        at_student, at_teacher = self.positions
        answers = (at_least_float32(keys) * at_least_float32(queries)[:, None]).sum(3)
        return (answers + (at_student[:, None] * at_teacher).sum(2)) / math.sqrt(queries.shape[2])


def _linear(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, outside), SteadyNorm1d(outside))


def distances(
    student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]
) -> Float[Tensor, "batch students teachers"]:
    """Mean squared difference of the normalised attention maps of every two layers, at the teacher's size."""
    energies = [at_least_float32(maps).square().mean(1) for maps in student_maps]
    columns = []
    for maps in teacher_maps:
        target = F.normalize(at_least_float32(maps).square().mean(1).flatten(1))
        mine = [F.adaptive_avg_pool2d(energy[:, None], maps.shape[2:]).flatten(1) for energy in energies]
        difference = F.normalize(torch.stack(mine, 1), dim=2) - target[:, None]
        columns.append(difference.square().mean(2))
    return torch.stack(columns, 2)


ENTRIES = (
    Entry(
        "afd-attention-matching",
        "loss",
        AFDAttentionMatching,
        {},
        "AAAI 2021, the authors' code, with plain distillation beside it",
    ),
)
