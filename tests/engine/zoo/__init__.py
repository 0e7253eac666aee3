"""The zoo: for every kind of demand on the engine one run that makes it, small enough to be trained many times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kdcore.engine import Recipe, Run
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Data, Method, Scheme, Term
from zoo import data as worlds
from zoo import methods, schemes, students
from zoo.networks import Net, Speaker, finished, fresh

SEED = 3
RECIPE = Recipe(steps=14, batch_size=16, learning_rate=0.05)  # two epochs of 6 steps and a third one begun
BROKEN_AT = 5


class World:
    """What all runs of one test share: data sets and teachers, one object each."""

    def __init__(self) -> None:
        self.images, self.words, self.nothing = worlds.judged_stripes(), worlds.counting(), worlds.forbidden()
        self.teacher = finished()
        self.speaker = fresh(lambda: Speaker(10), "speaking teacher").eval().requires_grad_(False)


class Broken(Method):
    """A loss that goes wrong at a known step, in a way of the caller's choice."""

    def __init__(self, how: Callable[[torch.Tensor], Any]):
        super().__init__()
        self.how = how

    def losses(self, student: Any, teacher: Any, batch: Batch) -> dict[str, Term]:
        value = methods.imitation(student.logits, teacher.logits)
        return {"good": Term(value), "bad": Term(self.how(value) if batch.clock.step == BROKEN_AT else value)}


def singular(value: torch.Tensor) -> torch.Tensor:
    return torch.linalg.inv(torch.zeros(2, 2)).sum() * value


def exhausted(value: torch.Tensor) -> torch.Tensor:
    raise MemoryError("nothing is left")


def too_large(value: torch.Tensor) -> torch.Tensor:
    return torch.empty(2**55, dtype=torch.uint8).sum() * value


def net(seed: int, role: str = "student", width: int = 4) -> Net:
    return fresh(lambda: Net(width), role, seed)


def _offline(*makers: Callable[[], Method], frame: type[Distillation] = Distillation) -> Callable[..., Scheme]:
    def make(world: World, seed: int) -> Scheme:
        return frame(net(seed), world.teacher, *(fresh(maker, "method", seed) for maker in makers))

    return make


def _scheme(build: Callable[[World, int], Scheme]) -> Callable[..., Scheme]:
    return lambda world, seed: fresh(lambda: build(world, seed), "scheme", seed)


CLASSES = worlds.CLASSES
ARCHETYPES: dict[str, Callable[[World, int], Scheme]] = {
    "alone": lambda world, seed: Distillation(net(seed)),
    "soft": _offline(methods.Soft),
    "bank": _offline(methods.Soft, lambda: methods.Bank(8, 12, 96)),
    "two-views": _offline(methods.TwoViews),
    "critic": _offline(methods.Soft, lambda: methods.Fooled(CLASSES)),
    "hints": _offline(lambda: methods.Hinted(4, 6)),
    "slopes": _offline(methods.Slopes),
    "surgery": _offline(methods.Soft, lambda: methods.Fooled(CLASSES), frame=students.Surgeon),
    "two-peers": lambda world, seed: schemes.Peers(net(seed), net(seed, "peer1")),
    "three-peers": lambda world, seed: schemes.Peers(net(seed), net(seed, "peer1", 6), net(seed, "peer2")),
    "branches": _scheme(lambda world, seed: schemes.Branches(net(seed), net(seed, "one"), net(seed, "two"))),
    "chain": lambda world, seed: schemes.Chain(world.teacher, net(seed, "assistant", 5), net(seed)),
    "exits": lambda world, seed: students.Exits(net(seed)),
    "invented": _scheme(lambda world, seed: students.Invented(net(seed), world.teacher)),
    "bilevel": _scheme(lambda world, seed: students.Bilevel(net(seed), world.teacher, CLASSES)),
    "partners": lambda world, seed: students.Partners(net(seed)),
    "rounds": lambda world, seed: schemes.Rounds(net(seed, "shared"), net(seed), net(seed, "private1", 6)),
    "cadence": _scheme(lambda world, seed: students.Cadence(net(seed), world.teacher)),
    "shadow": lambda world, seed: students.Shadow(net(seed)),
    "replay": lambda world, seed: students.Replay(net(seed), CLASSES),
    "words": lambda world, seed: students.Echo(fresh(Speaker, "student", seed), world.speaker),
    "more-words": lambda world, seed: students.Echo(fresh(lambda: Speaker(8), "student", seed), world.speaker),
    "half": _offline(methods.Soft, lambda: methods.Bank(8, 12, 96)),
}
POISONED: dict[str, Callable[[World, int], Scheme]] = {
    "not-a-number": _offline(lambda: Broken(lambda value: value * float("nan"))),
    "endless": _offline(lambda: Broken(lambda value: value + float("inf"))),
    "singular": _offline(lambda: Broken(singular)),
    "exhausted": _offline(lambda: Broken(exhausted)),
    "too-large": _offline(lambda: Broken(too_large)),
}
HALF = replace(RECIPE, precision="bfloat16")
RECIPES = {"half": HALF, "rounds": replace(RECIPE, evaluate="epoch"), "alone": replace(RECIPE, evaluate="epoch")}


def data_for(name: str, world: World) -> Data:
    return world.words if "words" in name else world.nothing if name == "invented" else world.images


def make_run(
    name: str, world: World | None = None, seed: int = SEED, folder: Path | None = None, **changes: Any
) -> Run:
    """A run of this name, built afresh; the same name, seed and changes give the same run."""
    world = world or World()
    recipe = replace(RECIPES.get(name, RECIPE), **changes)
    scheme = (ARCHETYPES | POISONED)[name](world, seed)
    checkpoint = None if folder is None else folder / f"{name}-{seed}.checkpoint"
    return Run(name, scheme, data_for(name, world), recipe, seed, checkpoint)


def make_runs(names: Iterable[str], world: World | None = None, **options: Any) -> list[Run]:
    world = world or World()
    return [make_run(name, world, **options) for name in names]
