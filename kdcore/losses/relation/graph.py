"""A graph of samples at every layer, and what a layer does to it."""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, check_logits, check_range, refuse_out_of_range
from kdcore.losses.relation._kinds import distances_of_the_largest
from kdcore.losses.relation._rows import check_samples, embedding_sizes, inverse, maps_of, mean_square, nothing
from kdcore.losses.relation.structure import structural_generic_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Layers = tuple[Tensor, Tensor, Tensor]  # two maps, the earlier first, and an embedding


def irg_loss(
    student_logits: Float[Tensor, "batch classes"],
    student_first: Float[Tensor, "batch student_channels student_height student_width"],
    student_second: Float[Tensor, "batch student_second_channels student_second_height student_second_width"],
    student_embedding: Float[Tensor, "batch student_size"],
    teacher_logits: Float[Tensor, "batch classes"],
    teacher_first: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
    teacher_second: Float[Tensor, "batch teacher_second_channels teacher_second_height teacher_second_width"],
    teacher_embedding: Float[Tensor, "batch teacher_size"],
    *,
    vertex_weight: float = 0.1,
    edge_weight: float = 5.0,
    transformation_weight: float = 5.0,
) -> Float[Tensor, ""]:
    r"""Match a graph of samples: what stands at them, how far they lie apart, how far they are moved; a scalar.

    .. math::
        L = \lambda_V \, \overline{(z^s - z^t)^2} + \lambda_E \, \frac13 \sum_{l} \overline{(E_l^s - E_l^t)^2}
        + \lambda_T \, \overline{(\Lambda^s - \Lambda^t)^2},

    .. math::
        E_l = \frac{\lVert f_i - f_j \rVert^2}{\max_{ij} \lVert f_i - f_j \rVert^2}, \quad
        \Lambda = \frac{\lVert f_i^1 - f_i^2 \rVert^2}{\max_i \lVert f_i^1 - f_i^2 \rVert^2}

    Survey: si2023 section 2.2.3, Table 1; huang2022 sections 1 and 4.4.
    Paper: {cite:t}`liu2019irg`; parts and sizes are those of Knowledge-Distillation-Zoo.

    Args:
        student_logits: what stands at the vertices; computed in float32 at least.
        student_first: the earlier of two layers' maps.
        student_second: the later one's.
        student_embedding: the vector before the classifier.
        teacher_logits: of the same samples and classes; taken as a constant.
        teacher_first: of any size; taken as a constant.
        teacher_second: of any size; taken as a constant.
        teacher_embedding: of any size; taken as a constant.
        vertex_weight: at least 0. Default 0.1: Knowledge-Distillation-Zoo.
        edge_weight: at least 0. Default 5: the same.
        transformation_weight: at least 0. Default 5: the same.

    Returns:
        A value of at least 0, 0 when logits are equal and distances have the same proportions.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors do not hold the same samples, or a weight is below 0.

    Notes:
        A network's two maps are averaged down to one shape, neighbouring channels like neighbouring positions: of
        twice the channels always two make one, as in the code named above.
        The authors' released networks (for Caffe) know two graphs, one of edges at the pooled last layer and one of
        transformations inside each stage, each weighted 0.005, and take the largest distance as a constant.
        The inventory names a change of edges too; neither code has one, and nor has this loss.

    Example:
        >>> import torch
        >>> maps, line = torch.zeros(3, 1, 1, 1), torch.tensor([[0.0], [1.0], [2.0]])
        >>> wider = torch.tensor([[0.0], [1.0], [1.0]])  # squared distances 1, 0, 1 for 1/4, 1/4, 1
        >>> round(irg_loss(line, maps, maps, wider, line, maps, maps, line).item(), 4)
        0.2315
    """
    weights = {"vertex": vertex_weight, "edge": edge_weight, "transformation": transformation_weight}
    check_range(**{f"{name}_weight": (weight, 0.0, True) for name, weight in weights.items()})
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    student = student_first, student_second, student_embedding
    teacher = teacher_first, teacher_second, teacher_embedding
    names = [f"{whose}_{what}" for whose in ("student", "teacher") for what in ("first", "second", "embedding")]
    check_samples(student_logits=student_logits, **dict(zip(names, (*student, *teacher))))
    vertices = mean_square(*(at_least_float32(logits) for logits in (student_logits, teacher_logits.detach())))
    parts = vertices, irg_edges(student, teacher), irg_transformation(student[:2], teacher[:2])
    return sum(weight * part for weight, part in zip(weights.values(), parts))


def irg_edges(student: Layers, teacher: Layers) -> Float[Tensor, ""]:
    """Squared differences of the distances between samples, as parts of the largest, averaged over layers."""
    pairs = zip(student, teacher)
    given = {"relation": distances_of_the_largest, "distance": mean_square}
    return torch.stack([structural_generic_loss(mine, theirs, **given) for mine, theirs in pairs]).mean()


def irg_transformation(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]) -> Float[Tensor, ""]:
    """Squared differences of how far each sample is moved from one layer to the next, as parts of the furthest."""
    if len(student[0]) == 1:
        return nothing(student[0])
    wanted = _moved(*(maps.detach() for maps in teacher))
    return mean_square(_moved(*student), wanted)


def _moved(first: Tensor, second: Tensor) -> Float[Tensor, " batch"]:
    size = [min(pair) for pair in zip(first.shape[1:], second.shape[1:])]
    first, second = (_shrunk(at_least_float32(maps), size) for maps in (first, second))
    squares = (first - second).square().flatten(1).sum(1)
    return squares * inverse(squares.amax())


def _shrunk(maps: Tensor, size: list[int]) -> Tensor:
    """Averaged over neighbouring positions, then over neighbouring channels: one after the other is faster."""
    channels = maps.shape[1]
    if list(maps.shape[2:]) != size[1:]:
        maps = F.adaptive_avg_pool2d(maps, size[1:])
    if channels == size[0]:
        return maps
    if channels % size[0] == 0:
        return maps.unflatten(1, (size[0], channels // size[0])).mean(2)
    return F.adaptive_avg_pool3d(maps[:, None], size)[:, 0]


class IRG(Method):
    """`irg_loss` between logits, the last two stages and the embeddings, its three terms logged apart.

    Args:
        vertex_weight, edge_weight, transformation_weight: see `irg_loss`.
        weight: of the sum. Default 1: Knowledge-Distillation-Zoo.
    """

    zero_at_agreement = True

    def __init__(
        self,
        *,
        vertex_weight: float = 0.1,
        edge_weight: float = 5.0,
        transformation_weight: float = 5.0,
        weight: float = 1.0,
    ):
        super().__init__()
        weights = {"vertex": vertex_weight, "edge": edge_weight, "transformation": transformation_weight}
        refuse_out_of_range(weight=weight, **{f"{name}_weight": value for name, value in weights.items()})
        self.weights = {name: weight * value for name, value in weights.items()}

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        embedding_sizes(setting)
        for whose, outputs in (("student", setting.student), ("teacher", setting.teacher)):
            maps = maps_of(whose, outputs)
            if len(maps) < 2:
                raise Refusal(f"a transformation needs two stages, and the {whose} has {len(maps)}")
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = ((*answer.features[-2:], answer.embedding) for answer in (student, teacher))
        parts = {
            "vertex": mean_square(at_least_float32(student.logits), at_least_float32(teacher.logits.detach())),
            "edge": irg_edges(mine, theirs),
            "transformation": irg_transformation(mine[:2], theirs[:2]),
        }
        return {f"irg_{name}": Term(value, self.weights[name]) for name, value in parts.items()}


ENTRIES = (Entry("irg", "loss", IRG, {}, "CVPR 2019, as Knowledge-Distillation-Zoo has it"),)
