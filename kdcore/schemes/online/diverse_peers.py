"""Peers that each weigh the others in a way of their own, and a leader that learns from all of them."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, refuse_other, refuse_out_of_range
from kdcore.randomness import seeded
from kdcore.schemes._probe import answer
from kdcore.schemes.ensemble import MeanOf
from kdcore.schemes.online._branches import Branches, BranchOutputs, Together, ramp
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class PeerAttention(nn.Module):
    r"""How much each peer counts for each other one, image by image.

    .. math::
        \alpha_{ab} = \mathrm{softmax}_b\big(L(h_a)^\top E(h_b)\big)

    L and E differ, so that b may count for a what a does not count for b. A peer counts for itself too. It gives
    the weights' logarithms.

    Args:
        size: of an embedding.
        factor: by which L and E make it smaller.
    """

    def __init__(self, size: int, factor: int):
        super().__init__()
        small = max(1, size // factor)
        self.query, self.key = nn.Linear(size, small, bias=False), nn.Linear(size, small, bias=False)

    def forward(self, embeddings: Float[Tensor, "batch peers size"]) -> Float[Tensor, "batch peers peers"]:
        energy = self.query(embeddings) @ self.key(embeddings).mT
        return at_least_float32(energy).log_softmax(2)


class OKDDip(Scheme):
    r"""Auxiliary peers learn targets of their own, mixed from all peers' answers; a leader learns the mean of them.

    .. math::
        t_a = \sum_b \alpha_{ab} \, p_b^\tau, \qquad L = \sum_a \mathrm{CE}(p_a, y) + \mathrm{CE}(p_l, y)
        + w \tau^2 \Big[ \sum_a \mathrm{KL}(t_a \,\|\, p_a^\tau) + \mathrm{KL}(\bar t \,\|\, p_l^\tau) \Big]

    with :math:`\bar t` the mean of the peers' targets, and the attention of `PeerAttention`.

    Survey: si2023 section 2.3.1 and Table 1, with three students; huang2022 section 5.5.
    Paper: {cite:t}`chen2020okddip`, its two levels; numbers of the authors' code.

    One optimiser moves everything. It delivers the leader, which is ranked, every peer, and the peers' ensemble.

    Args:
        networks: the leader, then two or more peers.
        sample: a few inputs, from which sizes are read.
        form: ``branches``, all share their lower layers, or ``networks``, they share nothing. Default ``branches``,
            the authors' script's.
        cut: number of shared stages. Default: all but the last, the authors' code.
        attention: ``learned``, or ``uniform``, which gives every peer the mean of all as its target.
        mixed: ``probabilities``, the equation above, or ``logits``, the authors' released code: logits are mixed and
            then softened, and the leader learns the peers' mean logits, not their targets. Default ``probabilities``.
        attached: whether gradients pass through peers' answers into targets, as in the authors' code. False leaves
            the attention's gradient alone. Default True.
        factor: by which an embedding is made smaller for the attention. Default 8: the authors' code.
        temperature: above 0. Default 3: the authors' code.
        rampup: share of the training in which w rises from exp(-5) to 1. Default 80 / 300: the code's 80 epochs.
        weight: w after the rise, at least 0. Default 1: the authors' code.

    Raises:
        Refusal: fewer than two peers, networks that cannot be cut or name no embedding, or a number out of its range.

    Notes:
        The attention learns through the targets alone, so some gradient must pass there; the authors let all of it
        pass. Energies are not divided by the root of their size, as in the code. The code adds 1e-7 to targets and
        raises w once an epoch, here at every step.
    """

    def __init__(
        self,
        *networks: nn.Module,
        sample: Tensor,
        form: Literal["branches", "networks"] = "branches",
        cut: int | None = None,
        attention: Literal["learned", "uniform"] = "learned",
        mixed: Literal["probabilities", "logits"] = "probabilities",
        attached: bool = True,
        factor: int = 8,
        temperature: float = 3.0,
        rampup: float = 80 / 300,
        weight: float = 1.0,
    ):
        super().__init__()
        above_zero = {"factor": factor, "temperature": temperature}
        refuse_out_of_range(above_zero=above_zero, rampup=rampup, weight=weight)
        refuse_other("form", form, "branches", "networks")
        refuse_other("attention", attention, "learned", "uniform")
        refuse_other("mixed", mixed, "probabilities", "logits")
        if len(networks) < 3:
            raise Refusal(f"diverse peers are a leader and at least 2 peers, got {len(networks)} networks")
        group = Branches(*networks, sample=sample, cut=cut) if form == "branches" else Together(*networks)
        self.networks, self.asked = group.networks, (group,)
        self.attention = PeerAttention(_embedding(networks[0], sample), factor) if attention == "learned" else None
        self.mixed, self.attached, self.temperature = mixed, attached, temperature
        self.rise, self.weight = ramp(rampup), weight

    @classmethod
    def build(cls, bench: Any, *, peers: int = 3, **settings: Any) -> Self:
        """From a bench: a leader from the row's own initial weights and so many peers; the code has 3 peers."""
        roles = ["student", *(f"peer{number}" for number in range(1, peers + 1))]
        networks, sample = [bench.network(role) for role in roles], take(bench.data.inputs, slice(0, 2))
        make = lambda: cls(*networks, sample=sample, **settings)
        return seeded(make, bench.seed, "init", "okddip").to(bench.data.device)

    def stages(self) -> list[Stage]:
        learning = [self.networks, *([] if self.attention is None else [self.attention])]
        return [Stage("main", [Update("group", learning, self._terms)])]

    def _terms(self, batch: Batch) -> dict[str, Term]:
        said = batch.outputs(*self.asked)
        leader, *peers = said.each
        targets, last = self._targets(said)
        terms = {"leader_task": Term(batch.task.loss(Outputs(leader), batch))}
        terms["leader_mimicry"] = Term(self._divergence(leader, last), self._weight_at)
        for me, logits in enumerate(peers):
            terms[f"task{me}"] = Term(batch.task.loss(Outputs(logits), batch))
            terms[f"mimicry{me}"] = Term(self._divergence(logits, targets[:, me]), self._weight_at)
        return terms

    def _targets(self, said: BranchOutputs) -> tuple[Tensor, Tensor]:
        """Logarithms of every peer's softened target, and of the leader's."""
        logits = at_least_float32(torch.stack(said.each[1:], 1))
        logits = logits if self.attached else logits.detach()
        weights = self._attended(said, logits)
        if self.mixed == "logits":
            return self._softened(weights.exp() @ logits), self._softened(logits.mean(1))
        targets = (weights[..., None] + self._softened(logits)[:, None]).logsumexp(2)
        return targets, targets.logsumexp(1) - math.log(logits.shape[1])

    def _attended(self, said: BranchOutputs, logits: Tensor) -> Float[Tensor, "batch peers peers"]:
        batch, peers, _ = logits.shape
        if self.attention is None:
            return logits.new_full((batch, peers, peers), -math.log(peers))
        embeddings = torch.stack(said.embeddings[1:], 1)
        return self.attention(embeddings if self.attached else embeddings.detach())

    def _softened(self, logits: Tensor) -> Tensor:
        return (logits / self.temperature).log_softmax(-1)

    def _divergence(self, logits: Tensor, target: Tensor) -> Float[Tensor, ""]:
        mine = self._softened(at_least_float32(logits))
        return self.temperature**2 * (target.exp() * (target - mine)).sum(1).mean()

    def _weight_at(self, progress: float) -> float:
        return self.weight * self.rise(progress)

    def delivers(self) -> dict[str, nn.Module]:
        leader, *peers = self.networks
        return {"leader": leader, **{f"peer{n}": peer for n, peer in enumerate(peers)}, "ensemble": MeanOf(*peers)}


def _embedding(network: nn.Module, sample: Tensor) -> int:
    embedding = answer(network, sample).embedding
    if embedding is None or embedding.ndim != 2:
        raise Refusal(f"the attention reads one vector an example, and {type(network).__name__} names none")
    return embedding.shape[1]


ENTRIES = (
    Entry("okddip", "scheme", OKDDip, {}, "AAAI 2020, branches and a leader"),
    Entry("okddip-networks", "scheme", OKDDip, {"form": "networks"}, "AAAI 2020, networks that share nothing"),
    Entry("okddip-released", "scheme", OKDDip, {"mixed": "logits"}, "the authors' code, which mixes logits"),
)
