"""Schemes of several networks that learn from each other, and what all schemes of the zoo are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from kdcore.types import Batch, Clock, Data, Outputs, Scheme, Stage, Term, Update
from zoo.methods import imitation

Losses = Callable[[Batch], dict[str, Term]]


def learning(batch: Batch, network: nn.Module, *teachers: Outputs) -> dict[str, Term]:
    """The task, and the mean divergence from some answers."""
    mine = batch.outputs(network)
    terms = {"task": Term(batch.task.loss(mine, batch))}
    if teachers:
        terms["soft"] = Term(torch.stack([imitation(mine.logits, each.logits) for each in teachers]).mean())
    return terms


class One(Scheme):
    """One network that is delivered; what it learns from is the subclass's."""

    def __init__(self, student: nn.Module, teacher: nn.Module | None = None):
        super().__init__()
        self.student, self.outside = student, () if teacher is None else (teacher,)

    def losses(self, batch: Batch) -> dict[str, Term]:
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        return [Stage("main", [Update("student", [self.student], self.losses)])]

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


class Mean(nn.Module):
    def __init__(self, *networks: nn.Module):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Tensor) -> Outputs:
        return Outputs(torch.stack([network(inputs).logits.softmax(-1) for network in self.networks]).mean(0).log())


class Peers(Scheme):
    """Two or more learn from each other, each with its optimiser."""

    def __init__(self, *peers: nn.Module):
        super().__init__()
        self.peers = nn.ModuleList(peers)

    def stages(self) -> list[Stage]:
        def losses_of(me: nn.Module) -> Losses:
            def losses(batch: Batch) -> dict[str, Term]:
                with torch.no_grad():
                    others = [batch.outputs(peer) for peer in self.peers if peer is not me]
                return learning(batch, me, *others)

            return losses

        return [Stage("main", [Update(f"peer{n}", [peer], losses_of(peer)) for n, peer in enumerate(self.peers)])]

    def delivers(self) -> dict[str, nn.Module]:
        return {"peer0": self.peers[0], "ensemble": Mean(*self.peers)}


class Branches(Scheme):
    """A leader learns from branches that attend to each other; one optimiser for all."""

    def __init__(self, leader: nn.Module, *branches: nn.Module, size: int = 8):
        super().__init__()
        self.leader, self.branches = leader, nn.ModuleList(branches)
        self.ask, self.answer = nn.Linear(size, 3), nn.Linear(size, 3)

    def losses(self, batch: Batch) -> dict[str, Term]:
        said = [batch.outputs(branch) for branch in self.branches]
        hidden = torch.stack([each.embedding for each in said], 1)
        logits = torch.stack([each.logits for each in said], 1)
        weights = (self.ask(hidden) @ self.answer(hidden).mT).softmax(-1)
        wanted = weights @ logits.softmax(-1)
        leader = batch.outputs(self.leader)
        return {
            "task": Term(torch.stack([batch.task.loss(each, batch) for each in (*said, leader)]).sum()),
            "branches": Term(
                -(wanted * logits.log_softmax(-1)).sum(-1).mean(), lambda progress: min(1.0, 3 * progress)
            ),
            "leader": Term(imitation(leader.logits, wanted.mean(1).clamp_min(1e-6).log())),
        }

    def stages(self) -> list[Stage]:
        return [Stage("main", [Update("all", [self], self.losses)])]

    def delivers(self) -> dict[str, nn.Module]:
        return {"leader": self.leader, "ensemble": Mean(*self.branches)}


class Chain(Scheme):
    """Teacher, assistant, student: each learns from the one before, in a stage of its own."""

    def __init__(self, teacher: nn.Module, *learners: nn.Module):
        super().__init__()
        self.learners, self.outside = nn.ModuleList(learners), (teacher,)

    def stages(self) -> list[Stage]:
        line = [*self.outside, *self.learners]

        def link(number: int) -> Stage:
            losses = lambda batch: learning(batch, line[number], batch.outputs(line[number - 1]))
            return Stage(f"link{number}", [Update("learner", [line[number]], losses)], share=0.5)

        return [link(number) for number in range(1, len(line))]

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.learners[-1], "assistant": self.learners[0]}


class Rounds(Scheme):
    """Clients learn on their own samples; between epochs their lent networks are averaged."""

    def __init__(self, shared: nn.Module, *private: nn.Module):
        super().__init__()
        self.shared, self.private = shared, nn.ModuleList(private)
        self.lent = nn.ModuleList(copy.deepcopy(shared) for _ in private)
        self.register_buffer("rounds", torch.zeros((), dtype=torch.int64))

    def _client(self, number: int) -> Losses:
        def losses(batch: Batch) -> dict[str, Term]:
            own = torch.arange(number, len(batch.data), len(self.private))
            drawn = torch.randint(len(own), (8,), generator=batch.generator(f"client{number}"))
            shard = batch.sibling(own[drawn])
            mine, lent = shard.outputs(self.private[number]), shard.outputs(self.lent[number])
            return {
                "private": Term(batch.task.loss(mine, shard)),
                "lent": Term(batch.task.loss(lent, shard)),
                "mutual": Term(imitation(mine.logits, lent.logits) + imitation(lent.logits, mine.logits)),
            }

        return losses

    @torch.no_grad()
    def average(self, data: Data, clock: Clock) -> None:
        lent = [network.state_dict() for network in self.lent]
        for name, value in self.shared.state_dict().items():
            value.copy_(torch.stack([state[name].double() for state in lent]).mean(0))
            for state in lent:
                state[name].copy_(value)
        self.rounds += 1

    def stages(self) -> list[Stage]:
        modules = zip(self.private, self.lent)
        updates = [Update(f"client{n}", list(pair), self._client(n)) for n, pair in enumerate(modules)]
        return [Stage("rounds", updates, between=self.average)]

    def delivers(self) -> dict[str, nn.Module]:
        return {"shared": self.shared, "private0": self.private[0]}
