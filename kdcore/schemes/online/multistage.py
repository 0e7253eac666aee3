"""A teacher that is caught at several stages of its own training, and a student that follows it block by block."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.adversarial.critics import MapCritic, judged_apart
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.adversarial.maps import averaged_to
from kdcore.losses.response.distillation import kd_loss
from kdcore.randomness import seeded
from kdcore.schemes._probe import answer, blocks
from kdcore.schemes._rates import steady
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class MSMGANs(Scheme):
    r"""Stage by stage: the teacher learns to be told from the student, then the student's blocks learn to pass for it.

    Training is cut into stages. In each, the teacher first learns the labels, the student's softened answers (from
    the second stage on: mutual learning) and, together with one judge a block, to be told from the student by its
    maps: teacher and judges are the discriminators, several at once. Then it rests, and is the teacher of this stage.
    The student follows greedily: its blocks are trained one after the other, the others standing still, each to
    regress the teacher's map of the same depth and to pass for it before its judge, which goes on learning; last,
    the student learns the labels and the stage teacher's softened answers. Each part of a stage is a stage of the
    engine, since what trains changes.

    .. math::
        L_{D_b} = -\ln D_b(F^t_b) - \ln(1 - D_b(r_b(F^s_b))), \quad
        L_{G_b} = \lVert r_b(F^s_b) - F^t_b \rVert^2 / n_b - w \ln D_b(r_b(F^s_b))

    Survey: si2023 section 2.3.5: the teacher supervises layer by layer, greedily, with the discriminator beside it.
    Paper: {cite:t}`huang2022multistage`. Of it we could read the abstract, which names the three parts (stage teachers,
    block-wise greedy training, the teacher as discriminator and the student as generator of features) and nothing of
    its formulas; what joins them here is ours, and so is every number.

    Args:
        student: the network that is delivered and ranked.
        teacher: a larger network, untrained; it learns along.
        sample: a few inputs, from which blocks and sizes of maps are read.
        rounds: stages that the training is cut into. Default 3.
        temperature: of both directions of the softened answers. Default 3.
        hidden: channels of a judge's convolutions. Default 32.
        teacher_share: the teacher's training in all rounds, as a part of the recipe's length. Default 1.
        judge_rate: of the judges, with Adam. Default 1e-4.
        student_share: the student's, half for its blocks and half for its answers. Default 1, so that it takes as many
            steps as other rows' students.
        tuned: what learns the answers, the whole ``network`` or its ``classifier``, the layers above the last block.
            Default ``network``: in a short training the classifier alone never reaches the labels.
        hint_weight: of the regression of maps. Default 1.
        mimicry_weight: of the softened answers, both ways. Default 1.
        weight: w, of the game. Default 0.1.

    Raises:
        Refusal: both networks' stages differ in number, a layer belongs to no block, or a number is out of range.

    Notes:
        r is a 1 x 1 convolution that learns with its block; of two sizes the larger maps are averaged down.
        A block is the layers that the student's map of this depth hangs on and the one before does not.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        sample: Any,
        rounds: int = 3,
        temperature: float = 3.0,
        hidden: int = 32,
        teacher_share: float = 1.0,
        student_share: float = 1.0,
        tuned: Literal["network", "classifier"] = "network",
        judge_rate: float = 1e-4,
        hint_weight: float = 1.0,
        mimicry_weight: float = 1.0,
        weight: float = 0.1,
    ):
        super().__init__()
        sizes = {"rounds": rounds, "temperature": temperature, "hidden": hidden, "judge_rate": judge_rate}
        above_zero = {**sizes, "teacher_share": teacher_share, "student_share": student_share}
        refuse_out_of_range(
            above_zero=above_zero, hint_weight=hint_weight, mimicry_weight=mimicry_weight, weight=weight
        )
        pairs = _paired(answer(student, sample), answer(teacher, sample))
        self.student, self.teacher = student, teacher
        self.adapters = nn.ModuleList(nn.Conv2d(mine.shape[1], theirs.shape[1], 1) for mine, theirs in pairs)
        self.judges = nn.ModuleList(MapCritic(theirs.shape[1], hidden) for _, theirs in pairs)
        self.sizes = [(min(m.shape[2], t.shape[2]), min(m.shape[3], t.shape[3])) for m, t in pairs]
        *self.blocks, self.top = (tuple(block) for block in blocks(student, sample))
        if tuned not in ("network", "classifier"):
            raise Refusal(f"tuned must be 'network' or 'classifier', got {tuned!r}")
        if not (all(self.blocks) and self.top):
            raise Refusal("every block of the student and its classifier must have layers of their own to learn")
        self.rounds, self.temperature = rounds, temperature
        self.tuned, self.judge_recipe = tuned, steady(judge_rate)
        self.teacher_share, self.student_share = teacher_share, student_share
        self.hint_weight, self.mimicry_weight, self.weight = hint_weight, mimicry_weight, weight

    @classmethod
    def build(cls, bench: Any, *, teacher_network: str | None = None, **settings: Any) -> Self:
        """From a bench: a fresh network of the student's architecture, or of the one that is named, as the teacher."""
        sample = take(bench.data.inputs, slice(0, 2))
        networks = bench.network("student"), bench.network("teacher", teacher_network)
        make = lambda: cls(*networks, sample=sample, **settings)
        return seeded(make, bench.seed, "init", "ms-mgans").to(bench.data.device)

    def stages(self) -> list[Stage]:
        return [stage for at in range(self.rounds) for stage in self._round(at)]

    def _round(self, at: int) -> list[Stage]:
        mimicry = self.mimicry_weight if at else 0.0
        taught = Update("teacher", [self.teacher], partial(self._told_apart, mimicry))
        judges = Update("judges", list(self.judges), self._all_judged, self.judge_recipe)
        stages = [Stage(f"round{at} teacher", [taught, judges], share=self.teacher_share / self.rounds)]
        half = self.student_share / self.rounds / 2
        for depth, block in enumerate(self.blocks):
            learning = Update("student", [*block, self.adapters[depth]], partial(self._followed, depth))
            judging = Update("judge", [self.judges[depth]], partial(self._judged, depth), self.judge_recipe)
            stages.append(Stage(f"round{at} block{depth}", [learning, judging], share=half / len(self.blocks)))
        tuned = [self.student] if self.tuned == "network" else self.top
        answers = Update("student", tuned, self._answered)
        return [*stages, Stage(f"round{at} answers", [answers], share=half)]

    def _told_apart(self, mimicry: float, batch: Batch) -> dict[str, Term]:
        """The teacher's own training, as a classifier and as a discriminator."""
        teacher = batch.outputs(self.teacher)
        with torch.no_grad():
            student = batch.outputs(self.student)
            theirs = [self._brought(depth, student) for depth in range(len(self.blocks))]
        softened = kd_loss(teacher.logits, student.logits, temperature=self.temperature)
        terms = {"task": Term(batch.task.loss(teacher, batch)), "mimicry": Term(softened, mimicry)}
        for depth, judge in enumerate(self.judges):
            scores = judge(self._true(depth, teacher)), judge(theirs[depth])
            terms[f"judge{depth}"] = Term(gan_kd_critic_loss(scores[1], scores[0]), self.weight)
        return terms

    def _followed(self, depth: int, batch: Batch) -> dict[str, Term]:
        mine = self._brought(depth, batch.outputs(self.student))
        theirs = self._true(depth, batch.outputs(self.teacher))
        hint = F.mse_loss(mine.float(), theirs.float())
        fooled = gan_kd_loss(self.judges[depth](mine))
        return {"hint": Term(hint, self.hint_weight), "fool": Term(fooled, self.weight)}

    @torch.no_grad()
    def _maps(self, depth: int, batch: Batch) -> tuple[Tensor, Tensor]:
        student, teacher = batch.outputs(self.student), batch.outputs(self.teacher)
        return self._brought(depth, student), self._true(depth, teacher)

    def _judged(self, depth: int, batch: Batch) -> dict[str, Term]:
        scores = judged_apart(self.judges[depth], *self._maps(depth, batch))
        return {"judge": Term(gan_kd_critic_loss(*scores))}

    def _all_judged(self, batch: Batch) -> dict[str, Term]:
        return {f"judge{depth}": self._judged(depth, batch)["judge"] for depth in range(len(self.judges))}

    def _answered(self, batch: Batch) -> dict[str, Term]:
        student, teacher = batch.outputs(self.student), batch.outputs(self.teacher)
        softened = kd_loss(student.logits, teacher.logits, temperature=self.temperature)
        return {"task": Term(batch.task.loss(student, batch)), "mimicry": Term(softened, self.mimicry_weight)}

    def _brought(self, depth: int, student: Outputs) -> Tensor:
        """The student's map in the teacher's channels, at the size that both have."""
        return self.adapters[depth](averaged_to(student.features[depth], self.sizes[depth]))

    def _true(self, depth: int, teacher: Outputs) -> Tensor:
        return averaged_to(teacher.features[depth], self.sizes[depth])

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student, "teacher": self.teacher}


def _paired(student: Outputs, teacher: Outputs) -> list[tuple[Tensor, Tensor]]:
    mine, theirs = student.features, teacher.features
    if not mine or len(mine) != len(theirs) or any(one.ndim != 4 for one in (*mine, *theirs)):
        raise Refusal(
            f"ms-mgans pairs the stages of both networks by depth, got {len(mine)} maps of the student "
            f"and {len(theirs)} of the teacher"
        )
    return list(zip(mine, theirs))


ENTRIES = (Entry("ms-mgans", "scheme", MSMGANs, {}, "Computer Science 49(10), 2022, by its abstract"),)
