"""Channels of the student paired with channels of the teacher, each with those that answer most alike."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import Reduction, check_choice, check_floating, full_precision, refuse_out_of_range
from kdcore.losses.feature._alignment import aligned, check_maps, on_preactivations, shapes_of
from kdcore.losses.feature._assignment import assign
from kdcore.losses.feature._stages import Pairs
from kdcore.losses.feature.overhaul import Margins, ofd_loss
from kdcore.types import Batch, Data, Entry, Method, Outputs, Refusal, Setting, Term

Reducer = Literal["absolute-max", "random"]
CHUNK = 500  # examples at a time while channels are compared


def mgd_matching_loss(
    student_features: Float[Tensor, "batch student_channels student_height student_width"],
    teacher_features: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
    matching: Int[Tensor, "parts student_channels"],
    margins: Float[Tensor, " teacher_channels"],
    *,
    reducer: Reducer = "absolute-max",
    generator: torch.Generator | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match each of the student's pre-activations with one of the teacher's channels that were given to it.

    .. math::
        L = \sum_{c,i} d_p \bigl( s_{c,i}, \; t_{M(c),i} \bigr), \qquad
        t_{M(c),i} = t_{j^*,i}, \; j^* = \arg\max_{j \in M(c)} |t_{j,i}| \;\text{(absolute-max)}

    Survey: si2023 section 2.2.2, in words.
    Paper: {cite:t}`yue2020mgd`, as in the authors' code; the partial distance :math:`d_p` is that of `ofd_loss`.

    Args:
        student_features: pre-activations behind a batch norm, any floating type; computed in float32 at least.
        teacher_features: pre-activations of the same examples; sizes may differ; taken as a constant.
        matching: column ``c`` names the teacher's channels of the student's channel ``c`` (`matched_channels`).
        margins: of the teacher's channels (`closed_margins`); a group's are averaged; taken as a constant.
        reducer: which of a group counts at a position: the largest in absolute value, or one at ``random``, drawn
            for every example, channel and position. Default ``absolute-max``: the authors'.
        generator: of the draw. Default None: torch's own.
        reduction: over examples.

    Returns:
        A value of at least 0 that grows with the number of positions and channels.

    Raises:
        TypeError: a tensor is not of the right kind.
        ValueError: they are no maps of the same examples, the matching does not fit, or the reducer is unknown.

    Notes:
        Nothing is learned between the two maps; one row in the matching is the paper's sparse form, where a channel
        of the student has one of the teacher's to itself.
        Of two sizes the larger maps are averaged down to the smaller; the authors' are equal.
        The authors draw a random margin beside a random channel; here it is the group's mean.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[1.0]]]]), torch.tensor([[[[2.0]], [[-3.0]], [[4.0]]]])
        >>> margins = torch.tensor([-1.0, -1.0, -1.0])
        >>> mgd_matching_loss(student, teacher, torch.tensor([[0], [2]]), margins)
        tensor(9.)
    """
    check_maps(student_features, teacher_features)
    check_floating(margins=margins)
    _check_matching(student_features, teacher_features, matching, margins)
    check_choice("reducer", reducer, "absolute-max", "random")
    student, teacher = aligned(student_features, teacher_features)
    groups = teacher[:, matching]  # batch, parts, channels, height, width
    if reducer == "random":
        shape = (len(student), 1, *student.shape[1:])
        drawn = torch.rand(shape, generator=generator, device=student.device) * len(matching)
        reduced = groups.gather(1, drawn.long().clamp_max(len(matching) - 1))[:, 0]
    else:
        highest, lowest = groups.amax(1), groups.amin(1)
        reduced = torch.where(highest >= -lowest, highest, lowest)
    return ofd_loss(student, reduced, margins.detach()[matching].mean(0), reduction=reduction)


def _check_matching(student: Tensor, teacher: Tensor, matching: Tensor, margins: Tensor) -> None:
    if matching.is_floating_point() or matching.dtype == torch.bool:
        raise TypeError(f"matching must hold whole numbers, places of the teacher's channels, got {matching.dtype}")
    mine, theirs = student.shape[1], teacher.shape[1]
    if matching.ndim != 2 or matching.shape[1] != mine or not len(matching):
        raise ValueError(f"matching must have shape (parts, {mine}), got {tuple(matching.shape)}")
    readable = matching.device.type == "cpu" and not torch.compiler.is_compiling()
    if readable and not 0 <= matching.min() <= matching.max() < theirs:
        raise ValueError(f"matching must lie in 0 .. {theirs - 1}, got {matching.min()} .. {matching.max()}")
    if margins.shape != (theirs,):
        raise ValueError(f"margins must have shape ({theirs},), one a channel, got {tuple(margins.shape)}")


# ---------------------------------------------------------------- the matching


def channel_distances(
    student_features: Float[Tensor, "batch student_channels student_height student_width"],
    teacher_features: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
) -> Float[Tensor, "student_channels teacher_channels"]:
    """How far every channel is from every other: squared, each at length one in every example, averaged over these."""
    student, teacher = (F.normalize(maps.flatten(2), dim=2) for maps in aligned(student_features, teacher_features))
    one, other = (maps.transpose(0, 1).flatten(1) for maps in (student, teacher))
    with full_precision(one):
        return 2 - 2 * one @ other.T / len(student)


def matched_channels(
    distances: Float[Tensor, "student_channels teacher_channels"],
) -> Int[Tensor, "parts student_channels"]:
    """Give every channel of the student as many of the teacher's as there are for each, none of them twice.

    The sum of their distances is the smallest possible. What is left over of the teacher's channels goes without.

    Example:
        >>> matched_channels(torch.tensor([[0.1, 0.9, 0.2, 0.8], [0.1, 0.2, 0.9, 0.1]]))
        tensor([[0, 1],
                [2, 3]])
    """
    mine, theirs = distances.shape
    parts = theirs // mine
    columns = assign(distances.repeat(parts, 1))
    return columns.view(parts, mine).sort(0).values.to(distances.device)


class MGDMatching(Method):
    """`mgd_matching_loss` summed over stages, each with half the weight of the next deeper one.

    Before the first step and after every second epoch both networks answer training images as they are, in eval
    mode, and the channels are matched anew; between, the matching is fixed. The student's pre-activations pass a
    batch norm, the only part that learns. A student with more channels than the teacher is refused.

    Args:
        channels: the student's and the teacher's number of channels, for each pair.
        pairs: stages to match, as (student's, teacher's), shallow to deep.
        reducer: of `mgd_matching_loss`. Default ``absolute-max``: the authors'.
        every: epochs between two matchings. Default 2: the authors'.
        images: on which channels are compared, at most. Default 20000: the authors', for ImageNet.
        weight: of the sum. Default 0.0001: the authors', for images of 224 x 224.
    """

    def __init__(
        self,
        channels: tuple[tuple[int, int], ...],
        pairs: Pairs = ((0, 0), (1, 1), (2, 2)),
        *,
        reducer: Reducer = "absolute-max",
        every: int = 2,
        images: int = 20000,
        weight: float = 1e-4,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"every": every, "images": images}, weight=weight)
        if reducer not in ("absolute-max", "random"):
            raise Refusal(f"reducer must be 'absolute-max' or 'random', got {reducer!r}")
        for (mine, theirs), pair in zip(channels, pairs):
            _refuse_wider_student(mine, theirs, pair)
        self.pairs, self.reducer, self.every, self.images, self.weight = tuple(pairs), reducer, every, images, weight
        self.norms = nn.ModuleList(nn.BatchNorm2d(mine) for mine, _ in channels)
        self.margins = Margins([theirs for _, theirs in channels])
        for number, (mine, theirs) in enumerate(channels):
            in_turn = torch.arange(theirs // mine * mine).view(-1, mine)  # until they are compared
            self.register_buffer(f"matching{number}", in_turn)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        before, matched = on_preactivations(setting, pairs)
        channels = tuple(tuple(shape[0] for shape in shapes_of(before, pair)) for pair in matched)
        return cls(channels, matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        self.margins.look(teacher, batch, [theirs for _, theirs in self.pairs])
        networks = student.ask, teacher.ask
        due = batch.clock.step % (self.every * batch.clock.steps_per_epoch) == 0
        if due and all(isinstance(network, nn.Module) for network in networks):
            self.match(*networks, batch.data)
        values = [
            self._one(number, student.preactivations[mine], teacher.preactivations[theirs], batch)
            for number, (mine, theirs) in enumerate(self.pairs)
        ]
        return {"mgd": Term(torch.stack(values).sum(), self.weight)}

    def _one(self, number: int, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        value = mgd_matching_loss(
            self.norms[number](student),
            teacher,
            getattr(self, f"matching{number}"),
            self.margins(number, teacher),
            reducer=self.reducer,
            generator=batch.generator(f"mgd:{number}") if self.reducer == "random" else None,
        )
        return value / 2 ** (len(self.pairs) - 1 - number)

    @torch.no_grad()
    def match(self, student: nn.Module, teacher: nn.Module, data: Data) -> None:
        """Compare all channels on training images, and match them."""
        learning, seen = student.training, 0
        totals = [torch.zeros(())] * len(self.pairs)
        student.eval()
        for part in data.parts(CHUNK):
            mine, theirs = (network.forward(part.inputs).preactivations for network in (student, teacher))
            for number, (one, other) in enumerate(self.pairs):
                totals[number] = channel_distances(mine[one], theirs[other]) * len(part) + totals[number]
            seen += len(part)
            if seen >= self.images:
                break
        student.train(learning)
        for number, total in enumerate(totals):
            getattr(self, f"matching{number}").copy_(matched_channels(total / seen))


def _refuse_wider_student(mine: int, theirs: int, pair: Any) -> None:
    if mine > theirs:
        raise Refusal(
            f"every channel of the student needs one of the teacher's to itself, and stage {pair[0]} of the student "
            f"has {mine}, stage {pair[1]} of the teacher {theirs}: name other pairs to match"
        )


ENTRIES = (
    Entry("mgd-matching", "loss", MGDMatching, {}, "ECCV 2020, absolute maxima"),
    Entry("mgd-matching-random", "loss", MGDMatching, {"reducer": "random"}, "ECCV 2020, random drop"),
)
