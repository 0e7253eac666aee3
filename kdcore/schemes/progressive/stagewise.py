"""The student's stages learn the teacher's one after the other, and its classifier the labels at last."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from torch import nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.losses.feature.hints import Regressor, fitnet_loss
from kdcore.randomness import seeded
from kdcore.schemes.progressive._parts import Portion, reached
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update, take


class StageByStageKD(Scheme):
    r"""First the backbone is transferred, stage by stage, then the head alone learns the labels.

    .. math::
        L_k = w \, \mathrm{mean} \, (r_k(F^s_k) - F^t_k)^2 \quad (k = 1 \ldots n), \qquad L_{n+1} = \mathrm{CE}

    In stage k only what lies between the student's layers k - 1 and k is trained, with the adapter :math:`r_k`;
    what was trained before rests, batch norms too. No loss has to be weighed against another. What a layer
    depends on is found by asking for its gradient, so any network with named layers will do.

    Survey: si2023 section 2.2.1.
    Paper: {cite:t}`gao2018stage`, of which the abstract was read.

    Args:
        student: the network that learns and is delivered.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        adapters: one for each pair; `build` makes a `Regressor` where the shapes differ, none where they agree.
        pairs: the student's and the teacher's stage of each step, shallow to deep.
        sample: a few inputs, to find what each layer depends on.
        weight: w, at least 0. Default 100: RepDistiller's for a hint's mean; with one loss it scales its steps.

    Raises:
        Refusal: no pair, pairs out of order, a number of adapters that differs, or a setting out of its range.

    Notes:
        Every stage has the same share, so that together they take as many steps as any student: the paper's lengths
        were not read. The learning rate's schedule begins anew with each stage.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        adapters: list[nn.Module],
        pairs: Pairs,
        sample: Any,
        *,
        weight: float = 100.0,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        mine = [stage for stage, _ in pairs]
        if not mine or mine != sorted(set(mine)) or len(adapters) != len(mine):
            raise Refusal(f"stages must be paired shallow to deep, each with an adapter, got {list(pairs)}")
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.adapters, self.pairs, self.weight = nn.ModuleList(adapters), tuple(pairs), weight
        self.portions = tuple(self._portions(sample))

    @classmethod
    def build(cls, bench: Any, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        if bench.teacher is None:
            raise Refusal("stage-by-stage-kd matches a teacher, and the row has none")
        setting = bench.setting
        pairs = stage_pairs(setting, pairs)
        shapes = [
            (tuple(setting.student.features[mine].shape[1:]), tuple(setting.teacher.features[theirs].shape[1:]))
            for mine, theirs in pairs
        ]
        adapt = lambda: [nn.Identity() if mine == theirs else Regressor(mine, theirs) for mine, theirs in shapes]
        adapters = seeded(adapt, bench.seed, "init", "adapters")
        sample = take(bench.data.inputs, slice(0, 2))
        return cls(bench.network("student"), bench.teacher, adapters, pairs, sample, **settings).to(bench.data.device)

    def _portions(self, sample: Any) -> list[Portion]:
        """What each stage trains: what its layer depends on and no earlier one does; at last what is left."""
        seen: set[str] = set()
        portions = []
        for mine, _ in self.pairs:
            names = reached(self.student, sample, lambda said, stage=mine: said.features[stage])
            portions.append(Portion(self.student, names - seen))
            seen |= names
        rest = {name for name, _ in self.student.named_parameters()} - seen
        return [*portions, Portion(self.student, rest)]

    def stages(self) -> list[Stage]:
        share, (*layers, head) = 1 / len(self.portions), self.portions
        stages = [
            Stage(f"layer{number}", [Update("student", [portion, adapter], partial(self._match, number))], share)
            for number, (portion, adapter) in enumerate(zip(layers, self.adapters))
        ]
        return [*stages, Stage("head", [Update("student", [head], self._task)], share)]

    def _match(self, number: int, batch: Batch) -> dict[str, Term]:
        mine, theirs = self.pairs[number]
        made = self.adapters[number](batch.outputs(self.student).features[mine])
        target = batch.outputs(*self.outside).features[theirs]
        return {"hint": Term(fitnet_loss(made, target, form="mean"), self.weight)}

    def _task(self, batch: Batch) -> dict[str, Term]:
        return {"task": Term(batch.task.loss(batch.outputs(self.student), batch))}

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


ENTRIES = (Entry("stage-by-stage-kd", "scheme", StageByStageKD, {}, "arXiv 1812.01819"),)
