"""Peers that pass for each other: the critic of each takes its neighbour's maps for true and its own for false."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.adversarial.critics import MapCritic, judged_apart
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.adversarial.maps import averaged_to
from kdcore.losses.response.distillation import kd_loss
from kdcore.randomness import seeded
from kdcore.recipe import Recipe
from kdcore.schemes._probe import last_map, reached
from kdcore.schemes._rates import slowed, steady
from kdcore.schemes.ensemble import MeanOf
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update, take


class OnlineAdversarialKD(Scheme):
    r"""Every peer learns the labels, its neighbour's softened answers, and to pass for its neighbour map by map.

    .. math::
        L_{D_k} = [1 - D_k(T_l(F_l))]^2 + [D_k(T_k(F_k))]^2, \qquad L_{G_k} = [1 - D_k(T_k(F_k))]^2, \\
        L_k = \mathrm{CE}(y, p_k) + \tau^2 \, \mathrm{KL}(p_l \,\|\, p_k), \quad l = k - 1

    F is a network's last map and T a layer that brings it to a shape which all share. Peers stand in a circle and
    each learns from the one before it, so that K networks need K critics; with two, each learns from the other.

    Survey: si2023 section 2.3.5, where the critic is said to keep the networks diverse (errata S-13: it makes the
    distributions of their maps agree; what it does not ask for is agreement map by map).
    Paper: {cite:t}`chung2020afd`, by its equations in a public account; the paper itself we could not read.

    Each network is updated twice a step, by its answers (one network after the other) and then by its maps (all at
    once), because the game needs the smaller rate; critics come last. What a network is compared with is a constant.

    Args:
        peers: two or more networks with the same classes.
        sample: a few inputs, from which the sizes of maps are read.
        temperature: tau, above 0. Default 3, ours: the account does not print it.
        mimicry_weight: of the divergence. Default 1: the paper's.
        hidden: channels of a critic's convolutions. Default 64, ours.
        slower: rate of the networks' part of the game, as a share of the run's. Default 0.03, ours: of the paper we
            know that it is smaller.
        critic_rate: of the critics, with Adam. Default 1e-4, ours.
        weight: of the game. Default 1: the paper's.
        recipe: of the run, which the networks' part of the game slows down; without it that part takes the run's as
            it is.

    Raises:
        Refusal: fewer than two peers, one network twice, no maps, or a number out of its range.

    Notes:
        A transfer layer is a 1 x 1 convolution to the channels of the first peer's map; larger maps are averaged
        down to the smallest. Layers above the last map are owned by the update of maps and get no gradient from it.
        A step asks each network four times in train mode, twice with a graph, and its batch norms move each time.
    """

    def __init__(
        self,
        *peers: nn.Module,
        sample: Any,
        temperature: float = 3.0,
        mimicry_weight: float = 1.0,
        hidden: int = 64,
        slower: float = 0.03,
        critic_rate: float = 1e-4,
        weight: float = 1.0,
        recipe: Recipe | None = None,
    ):
        super().__init__()
        if len(peers) < 2 or len({id(peer) for peer in peers}) < len(peers):
            raise Refusal(f"peers that pass for each other must be at least 2 different networks, got {len(peers)}")
        above_zero = {"temperature": temperature, "hidden": hidden, "slower": slower, "critic_rate": critic_rate}
        refuse_out_of_range(above_zero=above_zero, mimicry_weight=mimicry_weight, weight=weight)
        shapes = [last_map(peer, sample, f"peer{number}") for number, peer in enumerate(peers)]
        self.size = min(shape[1] for shape in shapes), min(shape[2] for shape in shapes)
        self.peers = nn.ModuleList(peers)
        self.transfers = nn.ModuleList(nn.Conv2d(shape[0], shapes[0][0], 1) for shape in shapes)
        self.critics = nn.ModuleList(MapCritic(shapes[0][0], hidden) for _ in peers)
        self.temperature, self.mimicry_weight, self.weight = temperature, mimicry_weight, weight
        self.recipe, self.critic_recipe = recipe and slowed(recipe, slower), steady(critic_rate)
        self._sample = (sample,)

    @classmethod
    def build(cls, bench: Any, *, peers: int | Sequence[str | None] = 2, **settings: Any) -> Self:
        """From a bench: so many peers of the row's student, or one for each architecture's name."""
        names = [None] * peers if isinstance(peers, int) else list(peers)
        roles = ["student", *(f"peer{number}" for number in range(1, len(names)))]
        networks = [bench.network(role, name) for role, name in zip(roles, names)]
        sample = take(bench.data.inputs, slice(0, 2))
        make = lambda: cls(*networks, sample=sample, recipe=bench.recipe, **settings)
        return seeded(make, bench.seed, "init", "online-adversarial-kd").to(bench.data.device)

    def stages(self) -> list[Stage]:
        answers = [Update(f"answers{me}", [peer], partial(self._answers, me)) for me, peer in enumerate(self.peers)]
        maps = Update("maps", [*self.peers, *self.transfers], self._fooled, self.recipe)
        critics = Update("critics", list(self.critics), self._judged, self.critic_recipe)
        return [Stage("main", [*answers, maps, critics])]

    def _answers(self, me: int, batch: Batch) -> dict[str, Term]:
        mine = batch.outputs(self.peers[me])
        with torch.no_grad():
            theirs = batch.outputs(self.peers[me - 1])
        mimicry = kd_loss(mine.logits, theirs.logits, temperature=self.temperature)
        return {"task": Term(batch.task.loss(mine, batch)), "mimicry": Term(mimicry, self.mimicry_weight)}

    def _fooled(self, batch: Batch) -> dict[str, Term]:
        scores = [critic(maps) for critic, maps in zip(self.critics, self._maps(batch))]
        values = [gan_kd_loss(score, form="least-squares") for score in scores]
        return {f"fool{me}": Term(value, self.weight) for me, value in enumerate(values)}

    def _judged(self, batch: Batch) -> dict[str, Term]:
        with torch.no_grad():
            maps = self._maps(batch)
        terms = {}
        for me, critic in enumerate(self.critics):
            scores = judged_apart(critic, maps[me], maps[me - 1])
            terms[f"critic{me}"] = Term(gan_kd_critic_loss(*scores, form="least-squares"))
        return terms

    def _maps(self, batch: Batch) -> list[Tensor]:
        """Every peer's last map in the shape that all share."""
        maps = (averaged_to(batch.outputs(peer).features[-1], self.size) for peer in self.peers)
        return [transfer(one) for transfer, one in zip(self.transfers, maps)]

    def delivers(self) -> dict[str, nn.Module]:
        return {**{f"peer{number}": peer for number, peer in enumerate(self.peers)}, "ensemble": MeanOf(*self.peers)}

    def untouched(self) -> set[str]:
        """What lies above the last map of each peer."""
        above = set()
        for number, peer in enumerate(self.peers):
            below = reached(peer, *self._sample, lambda said: said.features[-1])
            above |= {f"peers.{number}.{name}" for name, _ in peer.named_parameters() if name not in below}
        return above


ENTRIES = (Entry("online-adversarial-kd", "scheme", OnlineAdversarialKD, {}, "ICML 2020, critics of feature maps"),)
