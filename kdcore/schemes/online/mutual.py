"""Networks that learn from each other while they learn, without a finished teacher."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.ensemble import MeanOf
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update


class DML(Scheme):
    r"""Every peer learns the labels and what the others answer, and each is the others' teacher.

    .. math::
        L_k = \mathrm{CE}(p_k, y) + \frac{\lambda}{K - 1} \sum_{l \ne k} \mathrm{KL}(p_l \,\|\, p_k)

    Survey: huang2022 eq. 14 to 17, two networks, as in the paper (their indices: errata H-23); si2023 eq. 5, a sum
    over pairs i < j, which trains one direction of each pair alone (errata S-03; here with ``printed=True``).
    Paper: {cite:t}`zhang2018dml`.

    Each peer has its own optimiser. The updates of a step come one after the other, and each reads what the others
    answer by then, after their own updates; with ``joint=True`` all peers answer once and one optimiser moves them
    together. Peers are constants in each other's targets. It delivers every peer, the first of which is ranked, and
    their `ensemble`.

    Args:
        peers: two or more networks with the same classes.
        temperature: softens both answers, above 0. Default 1: the paper's (OKDDip's script takes 3).
        mimicry_weight: lambda, at least 0. Default 1: the paper's.
        joint: one update for all peers instead of one a peer.
        printed: si2023's form. A peer imitates those after it, the divergences are summed, and the last one learns
            from the labels alone. Of the two arguments of its L_KD the first is the one that learns, as in its eq. 1.

    Raises:
        Refusal: fewer than two peers, one network twice, or a number out of its range.

    Notes:
        In turn, each peer answers once with a graph and once without for every other peer that updates in the step,
        in train mode: its batch norms see K times as many batches, and dropout is drawn anew. ``joint`` avoids both.
        With the same recipe for all peers, ``joint`` is what separate optimisers make of targets from before the step.
        OKDDip's script leaves the targets attached (its comparison's DML is therefore another method), and huang2022
        sums over the examples where this takes the mean.
    """

    def __init__(
        self,
        *peers: nn.Module,
        temperature: float = 1.0,
        mimicry_weight: float = 1.0,
        joint: bool = False,
        printed: bool = False,
    ):
        super().__init__()
        if len(peers) < 2:
            raise Refusal(f"mutual learning needs at least 2 peers, got {len(peers)}")
        if len({id(peer) for peer in peers}) < len(peers):
            raise Refusal("mutual learning needs peers of their own, one network was given twice")
        refuse_out_of_range(above_zero={"temperature": temperature}, mimicry_weight=mimicry_weight)
        self.peers = nn.ModuleList(peers)
        self.temperature, self.mimicry_weight, self.joint, self.printed = temperature, mimicry_weight, joint, printed

    @classmethod
    def build(cls, bench: Any, *, peers: int | Sequence[str | None] = 2, **settings: Any) -> Self:
        """From a bench: so many peers of the row's student, or one for each architecture's name.

        The first starts from the student's own initial weights, so that a table pairs it with the other rows.
        """
        names = [None] * peers if isinstance(peers, int) else list(peers)
        roles = ["student", *(f"peer{number}" for number in range(1, len(names)))]
        return cls(*(bench.network(role, name) for role, name in zip(roles, names)), **settings)

    def stages(self) -> list[Stage]:
        if self.joint:
            return [Stage("main", [Update("peers", list(self.peers), self._all_terms)])]
        updates = [Update(f"peer{me}", [peer], partial(self._terms, me)) for me, peer in enumerate(self.peers)]
        return [Stage("main", updates)]

    def _terms(self, me: int, batch: Batch) -> dict[str, Term]:
        mine = batch.outputs(self.peers[me])
        with torch.no_grad():
            others = [batch.outputs(self.peers[other]) for other in self._teachers(me)]
        terms = {"task": Term(batch.task.loss(mine, batch))}
        return terms | ({"mimicry": self._mimicry(mine, others)} if others else {})

    def _all_terms(self, batch: Batch) -> dict[str, Term]:
        said = [batch.outputs(peer) for peer in self.peers]
        terms: dict[str, Term] = {}
        for me, mine in enumerate(said):
            terms[f"task{me}"] = Term(batch.task.loss(mine, batch))
            if others := [said[other] for other in self._teachers(me)]:
                terms[f"mimicry{me}"] = self._mimicry(mine, others)
        return terms

    def _teachers(self, me: int) -> list[int]:
        """Whom a peer imitates: all others, or in si2023's form those after it."""
        return [other for other in range(me + 1 if self.printed else 0, len(self.peers)) if other != me]

    def _mimicry(self, mine: Outputs, others: list[Outputs]) -> Term:
        rows = mine.logits.flatten(0, -2)
        each = [kd_loss(rows, other.logits.flatten(0, -2), temperature=self.temperature) for other in others]
        return Term(torch.stack(each).sum() / (1 if self.printed else len(each)), self.mimicry_weight)

    def delivers(self) -> dict[str, nn.Module]:
        return {**{f"peer{number}": peer for number, peer in enumerate(self.peers)}, "ensemble": MeanOf(*self.peers)}


ENTRIES = (
    Entry("dml", "scheme", DML, {}, "CVPR 2018; huang2022 eq. 14 to 17"),
    Entry("dml-si2023", "scheme", DML, {"printed": True}, "si2023 eq. 5 as printed, pairs i < j"),
)
