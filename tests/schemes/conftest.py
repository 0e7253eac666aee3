"""What every scheme promises, proved on a small image task that needs nothing but torch."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.engine import Recipe, Run, fit
from kdcore.randomness import generator, seeded
from kdcore.types import Data, Outputs, Scheme, Stage, Task

RECIPE = Recipe(steps=12, batch_size=16, learning_rate=0.05)
SEED = 3


class Net(nn.Module):
    """Batch norm, dropout and two stages on 1 x 6 x 6 images: all that can carry state past a step."""

    def __init__(self, width: int = 6, classes: int = 4, dropout: float = 0.1):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width)
        self.second, self.second_norm = nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Outputs:
        one = F.relu(self.first_norm(self.first(images)))
        two = F.relu(self.second_norm(self.second(one)))
        embedding = self.dropout(two.mean((2, 3)))
        return Outputs(self.head(embedding), (one, two), (), embedding)


def noisy(inputs: Tensor, random: torch.Generator) -> Tensor:
    return inputs + 0.1 * torch.randn(inputs.shape, generator=random)


def patterns(count: int = 96) -> Data:
    """Four classes of bright quarters in noise."""
    random, targets = generator(0, "patterns"), torch.arange(count) % 4
    inputs = torch.rand(count, 1, 6, 6, generator=random)
    for label in range(4):
        top, left = 3 * (label // 2), 3 * (label % 2)
        inputs[targets == label, :, top : top + 3, left : left + 3] += 0.5
    views = {"weak": noisy, "plain": lambda x, random: x}
    return Data(inputs, targets, Task(), views, classes=4, name="patterns")


def network(role: str = "student", width: int = 6, seed: int = SEED, **settings: float) -> Net:
    return seeded(lambda: Net(width, **settings), seed, "init", role)


class Proof:
    """The promises; each takes a function that builds the scheme afresh."""

    def __init__(self, data: Data, recipe: Recipe = RECIPE):
        self.data, self.recipe = data, recipe

    def run(self, make: Callable[[], Scheme], name: str = "scheme", seed: int = SEED) -> Run:
        return Run(name, make(), self.data, self.recipe, seed)

    def trained(self, make: Callable[[], Scheme], seed: int = SEED) -> Run:
        run = self.run(make, seed=seed)
        fit([run])
        assert run.failed is None, run.failed
        return run

    def resumes_exactly(self, make: Callable[[], Scheme]) -> None:
        """Stopped after every single step, saved, and taken up by fresh objects: the same bits."""
        whole, total = self.trained(make), self.run(make).remaining
        for stop in range(1, total):
            part = self.run(make)
            for _ in range(stop):
                part.advance({})
            file = io.BytesIO()
            torch.save(part.state(), file)
            file.seek(0)
            taken_up = self.run(make)
            taken_up.restore(torch.load(file, weights_only=True))
            while taken_up.active:
                taken_up.advance({})
            assert digest(taken_up) == digest(whole), f"resumed after step {stop} of {total} it differs"

    def together_is_alone(self, *makers: Callable[[], Scheme]) -> None:
        """In company, in two orders, each gives the bits it gives alone."""
        alone = [digest(self.trained(make)) for make in makers]
        for order in (1, -1):
            runs = [self.run(make, name=str(number)) for number, make in enumerate(makers)]
            fit(runs[::order])
            assert [digest(run) for run in runs] == alone

    def untouched(self, make: Callable[[], Scheme]) -> set[str]:
        """Parameters that an update owns and no loss reaches, as the engine saw them."""
        return {name for names in self.trained(make).untouched.values() for name in names}

    def reached(self, make: Callable[[], Scheme]) -> dict[str, dict[str, set[str]]]:
        """At the first step of each stage: for every term, the networks into which its gradient could flow."""
        run, found = self.run(make), {}
        while run.active:
            stage = run.stages[run.at]
            if stage.name not in found:
                found[stage.name] = self._reached_now(run, stage)
            run.advance({})
        return found

    def _reached_now(self, run: Run, stage: Stage) -> dict[str, set[str]]:
        if stage.between:
            stage.between(run.data, run.clock)
        batch, found = run.data.batch(run.seed, run.clock, run.batch_size), {}
        learning = {name: value for name, value in run.scheme.named_parameters() if value.requires_grad}
        for update in stage.updates:
            batch.live.clear()
            for term, (value, _) in update.losses(batch).items():
                if not value.requires_grad:
                    found[f"{update.name}/{term}"] = set()
                    continue
                slopes = torch.autograd.grad(value, list(learning.values()), allow_unused=True, retain_graph=True)
                hit = [name for name, slope in zip(learning, slopes) if slope is not None]
                found[f"{update.name}/{term}"] = {owner(name) for name in hit}
        return found

    def moves(self, make: Callable[[], Scheme]) -> dict[str, dict[str, set[str]]]:
        """At the first step of each stage: for every update, the networks that it really changes."""
        run, found = self.run(make), {}
        while run.active:
            stage = run.stages[run.at]
            if stage.name not in found:
                found[stage.name] = self._moved_now(run, stage)
            run.advance({})
        return found

    def _moved_now(self, run: Run, stage: Stage) -> dict[str, set[str]]:
        batch, found = run.data.batch(run.seed, run.clock, run.batch_size), {}
        weights = dict(run.scheme.named_parameters())
        for number, update in enumerate(stage.updates):
            before = {name: value.detach().clone() for name, value in weights.items()}
            run._carry_out(number, update, stage, batch)
            run._move()
            found[update.name] = {
                owner(name) for name, value in weights.items() if not torch.equal(value, before[name])
            }
        return found


def owner(parameter: str) -> str:
    """``peers.0`` of ``peers.0.head.weight``, ``student`` of ``student.head.weight``."""
    first, second, *_ = parameter.split(".")
    return f"{first}.{second}" if second.isdigit() else first


def digest(run: Run) -> str:
    """All that a run is at its end: weights, buffers, log."""
    state = {name: value.tolist() for name, value in sorted(run.scheme.state_dict().items())}
    return json.dumps([state, run.curve, run.untouched, run.failed])


@pytest.fixture
def toy() -> SimpleNamespace:
    return SimpleNamespace(
        network=network,
        patterns=patterns,
        seeded=lambda make: seeded(make, SEED, "init", "scheme"),
        Proof=Proof,
        Net=Net,
        digest=digest,
        recipe=RECIPE,
        seed=SEED,
    )


@pytest.fixture
def proof() -> Proof:
    return Proof(patterns())


@pytest.fixture
def short() -> Proof:
    """For schemes of many networks or stages, whose every step is dear."""
    return Proof(patterns(), replace(RECIPE, steps=5))


class Bench:
    """The little that a scheme asks of an experiment's bench."""

    def __init__(self, data: Data, seed: int = SEED):
        self.data, self.seed, self.recipe = data, seed, RECIPE
        self.teacher = network("teacher", 12, seed=0).eval().requires_grad_(False)
        self.asked: list[tuple[str, str | None]] = []

    def network(self, role: str, name: str | None = None) -> nn.Module:
        self.asked.append((role, name))
        return network(role, {"wide": 10, None: 6}[name], seed=self.seed)


@pytest.fixture
def bench() -> Bench:
    return Bench(patterns())
