"""The teacher's shallow half feeds the student's deep half, by the route that turns out best; then all is distilled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses._common import at_least_float32, refuse_out_of_range
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.losses.feature.hints import fitnet_loss
from kdcore.randomness import seeded
from kdcore.schemes.progressive._parts import Staged
from kdcore.types import Batch, Clock, Data, Entry, Refusal, Scheme, Stage, Term, Update, take


class KnowledgeProjection(Scheme):
    r"""Projected layers of the teacher are injected into the student, and the best injection guides it afterwards.

    .. math::
        J_{mn} = \mathrm{CE}\bigl(y, c_n(P_{mn} F^t_m)\bigr) + w \, \mathrm{mean} \, (F^s_n - P_{mn} F^t_m)^2, \qquad
        L = \mathrm{CE}(y, p^s) + w \, \mathrm{mean} \, (F^s_n - P_{mn} F^t_m)^2

    with :math:`c_n` what the student does above its stage n. In the first half of the training all routes (m, n) that
    are left lower their joint loss J together, and at even distances the worse half of them, by its mean since the
    last choice, is given up. In the second half the student learns as a whole, L, along the one that is left,
    whose projection then rests.

    Survey: si2023 section 2.2.1, which describes the two halves and not the choice (errata S-16: which work is meant
    is an inference).
    Paper: {cite:t}`zhang2017projection`, of which the abstract was read.

    Args:
        student: the network that learns and is delivered; it must run stage by stage.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        routes: the student's stage and the teacher's of each candidate.
        projections: one for each route.
        sample: a few inputs.
        weight: w, at least 0. Default 1: ours.
        share: the first half's part of the training, in 0 .. 1, both excluded. Default 1 / 2: ours.

    Raises:
        Refusal: no route, a number of projections that differs, a student that cannot be run stage by stage, or a
            setting out of its range.

    Notes:
        How the paper trains and compares its candidates was not read: halving them is ours.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        routes: Pairs,
        projections: list[nn.Module],
        sample: Tensor,
        *,
        weight: float = 1.0,
        share: float = 0.5,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"share": share}, weight=weight)
        if share >= 1:
            raise Refusal(f"share must be below 1, got {share:g}")
        if not routes or len(routes) != len(projections):
            raise Refusal(f"a projection is needed for each of at least one route, got {len(projections)}")
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.staged, self.routes = Staged(student, sample), tuple(tuple(route) for route in routes)
        self.projections, self.weight, self.share = nn.ModuleList(projections), weight, share
        self.rounds = math.ceil(math.log2(len(routes)))
        self.register_buffer("left", torch.ones(len(routes), dtype=torch.bool))
        self.register_buffer("joint", torch.zeros(len(routes)))  # sums since the last choice

    @classmethod
    def build(cls, bench: Any, *, routes: Pairs | None = None, **settings: Any) -> Self:
        """From a bench: the named routes, or every pair of stages."""
        if bench.teacher is None:
            raise Refusal("knowledge-projection projects a teacher's layers, and the row has none")
        mine, theirs = bench.setting.student.features, bench.setting.teacher.features
        pairs = stage_pairs(bench.setting, routes or list(product(range(len(mine)), range(len(theirs)))))
        project = lambda: [Projection(theirs[m].shape[1], mine[n].shape[1:]) for n, m in pairs]
        projections = seeded(project, bench.seed, "init", "projections")
        sample = take(bench.data.inputs, slice(0, 2))
        made = cls(bench.network("student"), bench.teacher, pairs, projections, sample, **settings)
        return made.to(bench.data.device)

    def stages(self) -> list[Stage]:
        injected = Update("student", [self.student, self.projections], self._joint)
        return [
            Stage("inject", [injected], self.share, between=self._choose),
            Stage("distil", [Update("student", [self.student], self._distil)], 1 - self.share),
        ]

    def _joint(self, batch: Batch) -> dict[str, Term]:
        mine, theirs = batch.outputs(self.student).features, batch.outputs(*self.outside).features
        left = self.left.nonzero()[:, 0].tolist()
        tasks, matches = [], []
        for (n, m), projection in ((self.routes[number], self.projections[number]) for number in left):
            projected = projection(theirs[m])
            said = self.staged.finish(self.staged.through(projected, n + 1))
            tasks.append(batch.task.loss(said, batch))
            matches.append((at_least_float32(mine[n]) - at_least_float32(projected)).square().mean())
        task, match = torch.stack(tasks), torch.stack(matches)
        self.joint[left] += (task + self.weight * match).detach()
        return {"injected": Term(task.mean()), "match": Term(match.mean(), self.weight)}

    @torch.no_grad()
    def _choose(self, data: Data, clock: Clock) -> None:
        """Give up the routes whose joint loss was the higher, when it is time for it."""
        keep = math.ceil(len(self.routes) / 2 ** int(clock.progress * self.rounds))
        if keep < int(self.left.sum()):
            best = self.joint.masked_fill(~self.left, math.inf).argsort(stable=True)[:keep]
            self.left.fill_(False).index_fill_(0, best, True)
            self.joint.zero_()

    def _distil(self, batch: Batch) -> dict[str, Term]:
        student, route = batch.outputs(self.student), int(self.left.long().argmax())
        n, m = self.routes[route]
        with torch.no_grad():
            projected = self.projections[route](batch.outputs(*self.outside).features[m])
        match = fitnet_loss(student.features[n], projected, form="mean")
        return {"task": Term(batch.task.loss(student, batch)), "match": Term(match, self.weight)}

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


class Projection(nn.Module):
    """A map averaged down, or repeated up, to a size, its channels mixed by a matrix, and cut off below zero.

    Args:
        channels: of the map.
        shape: channels, height and width of what is wanted.
    """

    def __init__(self, channels: int, shape: Sequence[int]):
        super().__init__()
        wanted, *size = shape
        self.mix, self.size = nn.Conv2d(channels, wanted, 1), tuple(size)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.mix(F.adaptive_avg_pool2d(maps, self.size)))


ENTRIES = (Entry("knowledge-projection", "scheme", KnowledgeProjection, {}, "arXiv 1710.09505; candidates are halved"),)
