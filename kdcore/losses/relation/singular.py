"""How the strongest channel directions of two layers go together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import Reduction, check_dimensions, check_range, reduce, refuse_out_of_range
from kdcore.losses.relation._directions import aligned, directions
from kdcore.losses.relation._rows import check_samples, maps_of
from kdcore.losses.relation._truncation import leave, truncated_backward
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

MORE = 3  # student's directions beyond the teacher's, among which the nearest is sought: the authors'
WIDTH = 8.0  # of the radial basis functions: the authors'

Compressed = Float[Tensor, "batch channels components"]
Strengths = Float[Tensor, "batch 1 components"]


def kdsvd_loss(
    student_first: Float[Tensor, "batch first_channels student_first_height student_first_width"],
    student_second: Float[Tensor, "batch second_channels student_second_height student_second_width"],
    teacher_first: Float[Tensor, "batch first_channels teacher_first_height teacher_first_width"],
    teacher_second: Float[Tensor, "batch second_channels teacher_second_height teacher_second_width"],
    *,
    components: int = 1,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match how the strongest channel directions of two layers correlate, sample by sample.

    .. math::
        L = \sum_{i j k} (R^s_{i j k} - R^t_{i j k})^2, \quad
        R_{i j k} = \exp \bigl( -\tfrac18 (v^{(2)}_{i k} - v^{(1)}_{j k})^2 \bigr), \quad
        F^{(l)} = U^{(l)} \Sigma^{(l)} V^{(l) \top} \text{ (positions by channels)}

    Survey: huang2022 section 4.3 (where it is said not to depend on the two networks' structures; it needs equal
    channels).
    Paper: {cite:t}`lee2018svd`; the form is the authors' later code and RepDistiller's.

    Args:
        student_first: the earlier layer's maps, with as many channels as the teacher's; float32 at least.
        student_second: the later layer's, likewise.
        teacher_first: of the same samples, of any size; taken as a constant.
        teacher_second: of the same samples, of any size; taken as a constant.
        components: how many directions of the teacher, at least 1. Default 1: the authors'.
        reduction: over examples.

    Returns:
        A value of at least 0, below the number of pairs of channels times the components; 0 when the directions are
        the same.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same samples with equal channels, or a number is out of its range.

    Notes:
        A singular vector is right with either sign, and the public codes take what their library gives, so their
        values change with it. Here the teacher's largest entry is positive, and each of its directions is
        compared with the nearest of the student's first few, turned to its side, as the codes do.
        Several directions are weighed by the teacher's singular values at length 1. An all-zero map has no direction:
        its vector is zeros and gets no gradient. The vectors come from the eigenvectors of the smaller Gram matrix.
        That the distillation's gradient is cut to the task's is the method's business.

    Example:
        >>> import torch
        >>> one, other = torch.tensor([[[[3.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[2.0]]]])
        >>> round(kdsvd_loss(one, one, one, other).item(), 4)  # exp(-1/8) for 1 and 1 for exp(-1/8), twice each
        0.0552
    """
    maps = {"student_first": student_first, "student_second": student_second}
    maps |= {"teacher_first": teacher_first, "teacher_second": teacher_second}
    check_samples(**maps)
    check_dimensions("batch channels height width", **maps)
    check_range(components=(components, 1, True))
    channels = [tensor.shape[1] for tensor in maps.values()]
    if channels[:2] != channels[2:]:
        raise ValueError(f"student and teacher must have equal channels, got {channels[:2]} and {channels[2:]}")
    first = compressed(student_first, taught(teacher_first, components))
    second = compressed(student_second, taught(teacher_second, components))
    return reduce(_apart(first, second), reduction)


@torch.no_grad()
def taught(teacher: Tensor, components: int) -> tuple[Strengths, Compressed]:
    """The strengths of the teacher's strongest directions of a layer, as parts of length 1, and these directions."""
    strengths, wanted = directions(teacher, components)
    return F.normalize(strengths, dim=1)[:, None], wanted


def compressed(student: Tensor, teacher: tuple[Strengths, Compressed]) -> tuple[Compressed, Compressed]:
    """The student's directions of a layer that are nearest to the teacher's, and these, weighed by their strengths."""
    strengths, wanted = teacher
    found = aligned(directions(student, wanted.shape[2] + MORE)[1], wanted)
    return found * strengths, wanted * strengths


def _apart(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Float[Tensor, " batch"]:
    student, teacher = (
        torch.exp(-(later[:, :, None] - earlier[:, None]).square() / WIDTH) for earlier, later in zip(first, second)
    )
    return (student - teacher).square().flatten(1).sum(1)


class LayerwiseDirections(Method):
    """What `KDSVD` and the graphs built on it share: layers with equal channels, and a gradient cut to the task's.

    Args:
        student: channels of the student's stages.
        teacher: of the teacher's.
        projected: 1 x 1 convolutions that bring the student's stages to the teacher's channels.
    """

    term = ""

    def __init__(self, student: Sequence[int], teacher: Sequence[int], projected: bool):
        super().__init__()
        if tuple(student) != tuple(teacher) and not projected:
            raise Refusal(
                "directions among channels compare where both have the same channels, and the student's stages have "
                f"{', '.join(map(str, student))} where the teacher's have {', '.join(map(str, teacher))}"
            )
        self.limit = leave(0.0)
        self.projections = nn.ModuleList(
            nn.Conv2d(a, b, 1) if a != b else nn.Identity() for a, b in zip(student, teacher)
        )

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        student, teacher = maps_of("student", setting.student), maps_of("teacher", setting.teacher)
        if len(student) != len(teacher) or len(student) < 2:
            raise Refusal(
                "two or more stages are needed, as many of the student as of the teacher, "
                f"got {len(student)} and {len(teacher)}"
            )
        return cls([shape[0] for shape in student], [shape[0] for shape in teacher], **settings)

    def adapters(self) -> list[nn.Module]:
        return [self.projections]

    def layers(
        self, student: Outputs, teacher: Outputs, batch: Batch, components: int = 1
    ) -> list[tuple[Tensor, Tensor]]:
        """The student's and the teacher's directions, stage by stage."""
        mine = [project(maps) for project, maps in zip(self.projections, student.features)]
        theirs = [self.taught(maps, batch, components) for maps in teacher.features]
        return [compressed(here, there) for here, there in zip(mine, theirs)]

    def taught(self, maps: Tensor, batch: Batch, components: int = 1) -> tuple[Tensor, Tensor]:
        """The teacher's, made once for all runs that are shown the same maps."""
        key = ("directions", id(maps), components)  # the maps are kept with them, so that no others get their number
        return batch.once(key, lambda: (*taught(maps, components), maps))[:2]

    def backward(self, terms: dict[str, Term], parameters: list[nn.Parameter]) -> None:
        """The engine's, in place of its own: this method's gradient is cut weight by weight."""
        truncated_backward(terms, parameters, (self.term,), self.limit)


class KDSVD(LayerwiseDirections):
    """`kdsvd_loss` summed over neighbouring stages; for each weight its gradient is cut to the length of the task's.

    The cut is the authors', whose limit grows from half of that length to all of it in the first epochs; it makes the
    weight matter little.

    Args:
        student: channels of the student's stages.
        teacher: of the teacher's.
        components: see `kdsvd_loss`.
        projected: 1 x 1 convolutions that bring the student's stages to the teacher's channels, an addition of ours
            for pairs that the paper cannot serve.
        weight: Default 1: the authors' code (a sum over examples, before the cut), RepDistiller (their mean).
    """

    zero_at_agreement = True
    term = "kdsvd"

    def __init__(
        self,
        student: Sequence[int],
        teacher: Sequence[int],
        *,
        components: int = 1,
        projected: bool = False,
        weight: float = 1.0,
    ):
        super().__init__(student, teacher, projected)
        refuse_out_of_range(above_zero={"components": components}, weight=weight)
        self.components, self.weight = components, weight

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        self.limit = leave(batch.clock.progress)
        layers = self.layers(student, teacher, batch, self.components)
        values = [_apart(first, second).mean() for first, second in pairwise(layers)]
        return {self.term: Term(torch.stack(values).sum(), self.weight)}


ENTRIES = (Entry("kdsvd", "loss", KDSVD, {}, "ECCV 2018, the authors' later code, with their cut gradient"),)
