"""Several teachers, each of whom counts as much as it is worth for the image, and guides a layer of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, refuse_out_of_range
from kdcore.losses.adversarial.maps import averaged_to
from kdcore.losses.relation.distance import rkd_parts
from kdcore.randomness import seeded
from kdcore.schemes._probe import answer
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class Importance(nn.Module):
    r"""How much each teacher counts for an image, by a latent factor of the teacher and the student's view of it.

    .. math::
        w_{ti} = \mathrm{softmax}_t\big( v^\top (\theta_t \odot \alpha_i) \big)

    with :math:`\alpha_i` the student's embedding. It gives the weights' logarithms.

    Args:
        teachers: how many.
        size: of the student's embedding.
    """

    def __init__(self, teachers: int, size: int):
        super().__init__()
        self.factors, self.common = nn.Parameter(torch.randn(teachers, size)), nn.Parameter(torch.randn(size))

    def forward(self, embedding: Float[Tensor, "batch size"]) -> Float[Tensor, "batch teachers"]:
        return (at_least_float32(embedding) @ (self.factors * self.common).T).log_softmax(1)

    def size(self) -> Float[Tensor, ""]:
        """The sum of all squares."""
        return self.factors.square().sum() + self.common.square().sum()


class GroupHint(nn.Module):
    """A 1 x 1 convolution from a student's map to a teacher's; both are brought to length 1 along their channels.

    Starting values and the comparison are the authors' code's. Larger maps are averaged down.

    Args:
        student: channels of the guided map.
        teacher: of the teacher's.
    """

    def __init__(self, student: int, teacher: int):
        super().__init__()
        self.transform = nn.Conv2d(student, teacher, 1, bias=False)
        nn.init.uniform_(self.transform.weight, -0.005, 0.005)

    def forward(
        self,
        student: Float[Tensor, "batch channels height width"],
        teacher: Float[Tensor, "batch others rows columns"],
    ) -> Float[Tensor, ""]:
        size = tuple(min(mine, theirs) for mine, theirs in zip(student.shape[2:], teacher.shape[2:]))
        mine = self.transform(F.normalize(averaged_to(student, size)))
        theirs = F.normalize(averaged_to(teacher.detach(), size))
        return (at_least_float32(mine) - at_least_float32(theirs)).square().mean()


class AMTMLKD(Scheme):
    r"""The student learns the labels, all teachers' answers at once, weighed image by image, and a hint of each.

    .. math::
        \bar q_i = \sum_t w_{ti} \, q_{ti}^\tau, \qquad
        L = \beta \, \mathrm{CE}(p, y) + \lambda \tau^2 \, \mathrm{KL}(\bar q \,\|\, p^\tau)
        + \lambda_A \, \overline{\ell(\psi_A(\bar q), \psi_A(\ln p^\tau))} + \lambda_H \sum_t H_t

    with the weights of `Importance`, RKD's angles :math:`\psi_A` between three images, and :math:`H_t` the `GroupHint`
    of teacher t for the student's layers of one group.

    In the stage ``importance`` the student and the weights learn together, the weights' squares held small; in
    ``main`` the weights' parameters rest and the student goes on from where it is.

    Survey: si2023 section 2.3.3 and Table 1, there ALTKD with three teachers (errata S-18: the abbreviation occurs
    nowhere else, the mapping is by citation).
    Paper: {cite:t}`liu2020adaptive`, by its abstract and the authors' notebooks; the formula is put together from
    these.

    Args:
        student: the network that is delivered.
        teachers: one or more finished networks, not part of this scheme's state.
        sample: a few inputs, from which sizes are read.
        temperature: above 0. Default 5: the authors' notebooks.
        weight: lambda, of the integrated answer. Default 0.7: the notebooks' ratio.
        task_weight: beta, of the labels. Default 0.3, its rest.
        averaged: the divergence as the notebooks take it: averaged over the classes too, and doubled. Default False.
        angle_weight: of the angles. Default 1: the notebooks.
        distance_weight: of RKD's distances, which a notebook adds. Default 0.
        hint_weight: of every hint. Default 1: the notebooks.
        shrink_weight: of the squares of the weights' parameters. Default 0.1: the notebooks.
        share: length of the first stage, as a part of the recipe's. Default 80 / 200: the notebooks' epochs.

    Raises:
        Refusal: no teacher, networks that name no embedding or maps, or a number out of its range.

    Notes:
        Teacher t guides the student's stage t, from the first on, and is asked for its own map of that depth; with
        more teachers than stages they go round. One notebook has the student's two upper stages follow two teachers'
        pooled embeddings, another its middle stage those of all; there the convolutions are given to no optimiser.
        Answers and weights keep their gradient into the student, as in the notebooks. Angles compare the student's
        softened log-probabilities with the teachers' probabilities, as there. In one notebook the labels' loss is of
        the softened answer too; here it is of the answer. Notebooks differ in their terms: these are all of them. While
        the weights learn the student's rate stands still there; here each stage follows the recipe's schedule.
    """

    def __init__(
        self,
        student: nn.Module,
        *teachers: nn.Module,
        sample: Any,
        temperature: float = 5.0,
        weight: float = 0.7,
        task_weight: float = 0.3,
        averaged: bool = False,
        angle_weight: float = 1.0,
        distance_weight: float = 0.0,
        hint_weight: float = 1.0,
        shrink_weight: float = 0.1,
        share: float = 80 / 200,
    ):
        super().__init__()
        weights = {"angle": angle_weight, "distance": distance_weight, "hint": hint_weight, "shrink": shrink_weight}
        above_zero = {"temperature": temperature, "share": share}
        refuse_out_of_range(
            above_zero=above_zero,
            weight=weight,
            task_weight=task_weight,
            **{f"{name}_weight": value for name, value in weights.items()},
        )
        if not teachers:
            raise Refusal("several teachers are at least 1, got 0")
        mine, theirs = answer(student, sample), [answer(teacher, sample) for teacher in teachers]
        self.pairs = _paired(mine, theirs)
        self.student, self.importance = student, Importance(len(teachers), mine.embedding.shape[1])
        self.hints = nn.ModuleList(
            GroupHint(mine.features[here].shape[1], said.features[there].shape[1])
            for said, (here, there) in zip(theirs, self.pairs)
        )
        self.outside = tuple(teacher.eval().requires_grad_(False) for teacher in teachers)
        self.temperature, self.weight, self.task_weight, self.averaged = temperature, weight, task_weight, averaged
        self.weights, self.share = weights, share

    @classmethod
    def build(cls, bench: Any, *, others: Sequence[Mapping[str, Any]] = (), **settings: Any) -> Self:
        """From a bench: the row's teacher, and the finished networks that ``others`` stand for."""
        if bench.teacher is None:
            raise Refusal("several teachers begin with one, and the row has none")
        teachers = [bench.teacher, *(bench.taught_by(source) for source in others)]
        student, sample = bench.network("student"), take(bench.data.inputs, slice(0, 2))
        make = lambda: cls(student, *teachers, sample=sample, **settings)
        return seeded(make, bench.seed, "init", "amtml-kd").to(bench.data.device)

    def stages(self) -> list[Stage]:
        guided = [self.student, self.hints]
        first = Update("student", [*guided, self.importance], partial(self._terms, shrinking=True))
        main = Update("student", guided, self._terms)
        return [Stage("importance", [first], share=self.share), Stage("main", [main])]

    def _terms(self, batch: Batch, shrinking: bool = False) -> dict[str, Term]:
        said = batch.outputs(self.student)
        theirs = [batch.outputs(teacher) for teacher in self.outside]
        target = self._integrated(said, theirs)
        softened = self._softened(said)
        terms = {
            "task": Term(batch.task.loss(said, batch), self.task_weight),
            "kd": Term(self._divergence(softened, target), self.weight),
        }
        distance, angle = rkd_parts(softened, target.exp())
        found = {"angle": angle, "distance": distance, "hint": self._hinted(said, theirs)}
        found |= {"shrink": self.importance.size()} if shrinking else {}
        return terms | {name: Term(value, self.weights[name]) for name, value in found.items() if self.weights[name]}

    def _integrated(self, said: Outputs, theirs: Sequence[Outputs]) -> Float[Tensor, "batch classes"]:
        """The logarithm of the teachers' softened answers, weighed."""
        each = torch.stack([self._softened(one).detach() for one in theirs], 1)
        return (self.importance(said.embedding)[:, :, None] + each).logsumexp(1)

    def _softened(self, said: Outputs) -> Tensor:
        return (at_least_float32(said.logits) / self.temperature).log_softmax(-1)

    def _divergence(self, softened: Tensor, target: Tensor) -> Float[Tensor, ""]:
        each = self.temperature**2 * (target.exp() * (target - softened))
        return 2 * each.mean() if self.averaged else each.sum(1).mean()

    def _hinted(self, said: Outputs, theirs: Sequence[Outputs]) -> Float[Tensor, ""]:
        parts = [
            hint(said.features[here], one.features[there])
            for hint, one, (here, there) in zip(self.hints, theirs, self.pairs)
        ]
        return torch.stack(parts).sum()

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


def _paired(student: Outputs, teachers: Sequence[Outputs]) -> list[tuple[int, int]]:
    """For every teacher the student's stage that it guides, and its own of that depth."""
    maps = [maps for said in (student, *teachers) for maps in said.features or (None,)]
    embedded = student.embedding is not None and student.embedding.ndim == 2
    if not embedded or any(one is None or one.ndim != 4 for one in maps):
        raise Refusal("teachers are weighed by the student's embedding and guide its maps, and a network names none")
    depth = len(student.features)
    return [(at % depth, min(at % depth, len(said.features) - 1)) for at, said in enumerate(teachers)]


ENTRIES = (
    Entry("amtml-kd", "scheme", AMTMLKD, {}, "Neurocomputing 415, 2020; si2023's ALTKD"),
    Entry(
        "amtml-kd-released",
        "scheme",
        AMTMLKD,
        {"averaged": True, "distance_weight": 1.0},
        "the authors' notebooks: divergence averaged over classes and doubled, distances too",
    ),
)
