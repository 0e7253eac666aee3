"""A chain from the teacher over assistants to the student, each taught by the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Self

from torch import nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.response.distillation import kd_loss
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update


class TAKD(Scheme):
    r"""Every network of a chain learns the labels and the softened answers of the one before it, one after the other.

    .. math::
        L_k = (1 - \lambda) \, \mathrm{CE}(p_k, y) + \lambda \tau^2 \, \mathrm{KL}(p_{k-1}^\tau \,\|\, p_k^\tau),
        \quad k = 1 \dots K

    with the teacher as :math:`p_0` and the student as :math:`p_K`; all between are assistants. Without an assistant it
    is plain distillation.

    Survey: si2023 section 3.2 and Table 1, ResNet32 between ResNet56 and ResNet20; huang2022 section 5.3.
    Paper: {cite:t}`mirzadeh2020improved`, its chains of one or more assistants.

    An assistant learns in a stage of its own, then it rests and teaches the next. Each has the same optimiser and
    schedule. It delivers the student, which is ranked, and every assistant.

    Args:
        student: the network that is delivered.
        teacher: a finished network, not part of this scheme's state.
        assistants: from the teacher's to the student's side, usually ever smaller; none for plain distillation.
        temperature: above 0. Default 4: RepDistiller's for plain distillation, so that the table compares chains and
            not temperatures. The author names 5 for ResNet110 to ResNet20 on CIFAR-10.
        weight: lambda, of the softened answers. Default 0.9: RepDistiller. The author names 0.4 there.
        task_weight: of the labels. Default 0.1, the rest of `weight`; the equation wants both to be 1 together.
        share: length of an assistant's training, as a part of the recipe's. Default 1, the authors' code.

    Raises:
        Refusal: one network stands twice in the chain, or a number is out of its range.

    Notes:
        The authors' code averages the divergence over the classes too, so that its weight is a tenth of lambda for
        ten classes, and keeps an assistant's best epoch by the test images; here the last one teaches. Its learning
        rate never has the first of its three values (a comparison that is never true). `weight` and `temperature`
        were searched for each pair there; here all pairs have the same.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *assistants: nn.Module,
        temperature: float = 4.0,
        weight: float = 0.9,
        task_weight: float = 0.1,
        share: float = 1.0,
    ):
        super().__init__()
        above_zero = {"temperature": temperature, "share": share}
        refuse_out_of_range(above_zero=above_zero, weight=weight, task_weight=task_weight)
        chain = (teacher, *assistants, student)
        if len({id(network) for network in chain}) < len(chain):
            raise Refusal("a chain needs networks of their own, one was given twice")
        self.student, self.assistants = student, nn.ModuleList(assistants)
        self.outside = (teacher.eval().requires_grad_(False),)
        self.temperature, self.weight, self.task_weight, self.share = temperature, weight, task_weight, share

    @classmethod
    def build(cls, bench: Any, *, assistants: Sequence[Any] = (), **settings: Any) -> Self:
        """From a bench: an assistant for each architecture that is named, from the teacher's to the student's side."""
        between = [bench.network(f"assistant{number}", name) for number, name in enumerate(assistants)]
        if bench.teacher is None:
            raise Refusal("a chain begins with a finished teacher, and the row has none")
        return cls(bench.network("student"), bench.teacher, *between, **settings)

    def stages(self) -> list[Stage]:
        chain = [*self.outside, *self.assistants]
        taught = [
            Stage(f"assistant{number}", [self._update("assistant", guide, learner)], share=self.share)
            for number, (guide, learner) in enumerate(pairwise(chain))
        ]
        return [*taught, Stage("main", [self._update("student", chain[-1], self.student)])]

    def _update(self, name: str, guide: nn.Module, learner: nn.Module) -> Update:
        return Update(name, [learner], partial(self._terms, guide, learner))

    def _terms(self, guide: nn.Module, learner: nn.Module, batch: Batch) -> dict[str, Term]:
        mine, theirs = batch.outputs(learner), batch.outputs(guide)
        rows = [said.logits.flatten(0, -2) for said in (mine, theirs)]
        softened = kd_loss(*rows, temperature=self.temperature)
        return {"task": Term(batch.task.loss(mine, batch), self.task_weight), "kd": Term(softened, self.weight)}

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student, **{f"assistant{n}": one for n, one in enumerate(self.assistants)}}


ENTRIES = (Entry("takd", "scheme", TAKD, {}, "AAAI 2020, any number of assistants"),)
