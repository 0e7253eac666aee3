"""The student learns with some of its stages replaced, at each step others, by the teacher's."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.feature.hints import Regressor
from kdcore.randomness import generator, seeded
from kdcore.schemes.progressive._parts import Staged
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take

Schedule = Literal["uniform", "linear", "curriculum"]
ALONE = 0.5  # the part of training after which a curriculum leaves the student to itself: ours


def swapping(progress: float, swap: float, schedule: Schedule) -> float:
    """The probability with which a stage is the teacher's, where `progress` of the training is done.

    ``uniform`` stays, ``linear`` falls evenly to 0 at the end, ``curriculum`` falls to 0 at half the training.

    Example:
        >>> [swapping(0.25, 0.5, schedule) for schedule in ("uniform", "linear", "curriculum")]
        [0.5, 0.375, 0.25]
    """
    if schedule == "uniform":
        return swap
    return swap * max(0.0, 1 - progress / (ALONE if schedule == "curriculum" else 1.0))


class InteractiveKD(Scheme):
    r"""At each step every stage of the student is, with some probability, the teacher's; the labels alone are learned.

    .. math::
        L = \mathrm{CE}(y, h(x)), \quad h = c^s \circ b_n \circ \dots \circ b_1 \circ e^s, \quad
        b_k = \begin{cases} B^t_k & u_k < \rho \\ B^s_k & \text{else,} \end{cases}

    with :math:`e` the stem, :math:`B_k` the stages and :math:`c` the classifier. The teacher's stages are constants
    through which gradients pass, so the student's must do with what theirs need and give. At test the student stands
    alone.

    Survey: si2023 section 2.2.1.
    Paper: {cite:t}`fu2021interactive`, of which the abstract was read.

    Args:
        student: the network that learns and is delivered.
        teacher: a finished network with as many stages; it is frozen, put in eval mode, and not part of this
            scheme's state.
        sample: a few inputs, to learn what each stage reads.
        swap: rho, the probability at the start, in 0 .. 1. Default 0.5: ours.
        schedule: how it changes, see `swapping`; the forms are ours. Default ``linear``: ours, since ``uniform``
            delivers a student that never ran alone.

    Raises:
        Refusal: a network cannot be run stage by stage, the numbers of stages differ, or a setting is out of range.

    Notes:
        The paper swaps residual blocks of networks that fit; here a stage is a block. Where the two networks'
        shapes differ a `Regressor` stands at every change from one to the other and learns with the student: ours.
        A student's stage that is swapped out gets a gradient of zero, so its momentum and its weight decay go on.
        Its batch norms keep statistics of what they read in the mixtures; only a probability that falls to 0 before
        the end lets those of the student alone take their place.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        sample: Tensor,
        *,
        swap: float = 0.5,
        schedule: Schedule = "linear",
    ):
        super().__init__()
        refuse_out_of_range(swap=swap)
        if swap > 1:
            raise Refusal(f"swap must be at most 1, got {swap:g}")
        if schedule not in ("uniform", "linear", "curriculum"):
            raise Refusal(f"schedule must be 'uniform', 'linear' or 'curriculum', got {schedule!r}")
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.swap, self.schedule = swap, schedule
        self.mine, self.theirs = Staged(student, sample), Staged(teacher, sample)
        if len(self.mine) != len(self.theirs):
            raise Refusal(
                f"stages are swapped one for one, the student has {len(self.mine)} and the teacher {len(self.theirs)}"
            )
        mine, theirs = ([*staged.inside, staged.outside[-1]] for staged in (self.mine, self.theirs))
        self.into = nn.ModuleList(_bridge(a, b) for a, b in zip(mine[:-1], theirs[:-1]))
        self.back = nn.ModuleList(_bridge(b, a) for a, b in zip(mine[1:], theirs[1:]))

    @classmethod
    def build(cls, bench: Any, **settings: Any) -> Self:
        if bench.teacher is None:
            raise Refusal("interactive-kd swaps a teacher's stages in, and the row has none")
        sample = take(bench.data.inputs, slice(0, 2))
        student = bench.network("student")
        made = seeded(lambda: cls(student, bench.teacher, sample, **settings), bench.seed, "init", "bridges")
        return made.to(bench.data.device)

    def stages(self) -> list[Stage]:
        update = Update("student", [self.student, self.into, self.back], self._losses, backward=with_zeros)
        return [Stage("main", [update])]

    def _losses(self, batch: Batch) -> dict[str, Term]:
        return {"task": Term(batch.task.loss(self.hybrid(batch.inputs, self.drawn(batch)), batch))}

    def drawn(self, batch: Batch) -> list[bool]:
        """Which stages are the teacher's in this step; drawn on the host, where the way is decided."""
        rho = swapping(batch.clock.progress, self.swap, self.schedule)
        chances = torch.rand(len(self.mine), generator=generator(batch.seed, "swap", batch.clock.step))
        return (chances < rho).tolist()

    def hybrid(self, images: Tensor, swapped: list[bool]) -> Outputs:
        """The answer with the teacher's stages where `swapped` says so."""
        x, at_teacher = self.mine.begin(images), False
        for number, swap in enumerate(swapped):
            if swap and not at_teacher:
                x = self.into[number](x)
            if at_teacher and not swap:
                x = self.back[number - 1](x)
            x, at_teacher = (self.theirs if swap else self.mine).stage(number, x), swap
        return self.mine.finish(self.back[-1](x) if at_teacher else x)

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


def _bridge(inside: tuple[int, ...], outside: tuple[int, ...]) -> nn.Module:
    return nn.Identity() if inside == outside else Regressor(inside, outside)


def with_zeros(terms: dict[str, Term], parameters: list[nn.Parameter]) -> None:
    """Gradients of the weighted sum; what took no part gets zeros in place of nothing."""
    torch.autograd.backward(sum(term.weight * term.value for term in terms.values()), inputs=parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


ENTRIES = (Entry("interactive-kd", "scheme", InteractiveKD, {}, "Neurocomputing 2021; a stage is a block"),)
