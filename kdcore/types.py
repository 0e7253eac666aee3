"""The few types everything speaks: what networks say, what a batch holds, who learns what, and when.

Needs torch alone. Losses are plain functions and know none of these; methods put losses into the vocabulary of
`Outputs` and `Term`; schemes say which networks learn from which; `kdcore.engine` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from kdcore.entry import Entry as Entry
from kdcore.entry import Kind as Kind
from kdcore.entry import Refusal as Refusal
from kdcore.randomness import generator

T = TypeVar("T")


# ---------------------------------------------------------------- what a network says


@dataclass
class Outputs:
    """What a network says about one input. Other tasks subclass it and add fields.

    Attributes:
        logits: unnormalised scores, ``(batch, classes)`` for images, ``(batch, length, vocabulary)`` for text.
        features: activations after each stage, shallow to deep, usually ``(batch, channels, height, width)``.
        preactivations: the same before their last ReLU (margin and boundary losses need the sign).
        embedding: the vector that the classifier reads, ``(batch, size)``.
        exits: logits of early classifiers, shallow to deep.
        ask: puts another input to the same network; set by `Batch.outputs`.
        view: the same network's answer to another view of this batch; set by `Batch.outputs`.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()
    preactivations: tuple[Tensor, ...] = ()
    embedding: Tensor | None = None
    exits: tuple[Tensor, ...] = ()
    ask: Callable[[Any], Self] | None = field(default=None, repr=False)
    view: Callable[[str], Self] | None = field(default=None, repr=False)

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same answer with every tensor changed: detached, indexed, moved."""

        def walk(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            return tuple(walk(item) for item in value) if isinstance(value, tuple) else value

        return replace(self, **{name: walk(value) for name, value in vars(self).items()})

    def detach(self) -> Self:
        return self.map(Tensor.detach)


class Clock(NamedTuple):
    """Where a run stands in its stage: all that time-dependent code may read."""

    step: int
    steps: int
    steps_per_epoch: int

    @property
    def epoch(self) -> int:
        return self.step // self.steps_per_epoch

    @property
    def progress(self) -> float:
        """From 0 at the first step towards 1."""
        return self.step / self.steps


class Term(NamedTuple):
    """One named part of a loss: logged unweighted, summed weighted.

    The weight is a number or a function of progress in [0, 1], so that a warm-up of 20 of 240 epochs also happens
    in a run of 300 steps.
    """

    value: Tensor
    weight: float | Callable[[float], float] = 1.0

    def weight_at(self, progress: float) -> float:
        return self.weight(progress) if callable(self.weight) else self.weight


# ---------------------------------------------------------------- what a data set holds


@runtime_checkable
class View(Protocol):
    """A way to look at samples: ``view(inputs, generator)``, all randomness from the generator.

    A view with finitely many results may also offer ``choices`` (how many a sample), ``draw(count, generator)``
    (one choice a sample) and ``apply(inputs, choice)``; then a resting network's answers can be tabulated.
    """

    def __call__(self, inputs: Any, random: torch.Generator) -> Any: ...


class Task:
    """What a data set asks of a network, and how a network is judged. This one is image classification."""

    score = "accuracy"

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The supervised loss: cross-entropy with the labels, averaged over the batch."""
        return nn.functional.cross_entropy(outputs.logits.float(), batch.targets)

    def evaluate(self, predict: Callable[[Any], Outputs], data: Data) -> dict[str, float]:
        """Accuracy and cross-entropy over the whole set; the score comes first."""
        logits = torch.cat([predict(part.inputs).logits.double() for part in data.parts(1000)])
        correct = (logits.argmax(1) == data.targets).double()
        cross_entropy = nn.functional.cross_entropy(logits, data.targets)
        return {"accuracy": correct.mean().item(), "cross_entropy": cross_entropy.item()}


@dataclass(frozen=True, eq=False)
class Data:
    """Tensors on a device, the task they pose, the ways to look at them, and their other splits.

    Attributes:
        inputs: all samples, uint8 or [0, 1] for images; a dict of tensors where a sample has parts.
        targets: what is asked of each sample.
        task: the supervised loss and the judgement.
        views: name to view; ``weak`` is the one that training sees, ``plain`` the samples as they are.
        splits: ``validation``, ``test``.
        classes: number of classes, or the vocabulary's size.
        name: the catalogue's name of the data set.
        digest: SHA-256 of the content, part of a record's hash.
        tables: answers of resting networks to every choice of a finite view (see `kdcore.engine.tabulate`).
    """

    inputs: Any
    targets: Any
    task: Task
    views: Mapping[str, View]
    splits: Mapping[str, Data] = field(default_factory=dict)
    classes: int = 0
    name: str = ""
    digest: str = ""
    tables: dict[tuple[nn.Module, str], Outputs] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.inputs if isinstance(self.inputs, Tensor) else next(iter(self.inputs.values())))

    @property
    def device(self) -> torch.device:
        return (self.inputs if isinstance(self.inputs, Tensor) else next(iter(self.inputs.values()))).device

    def batch(self, seed: int, clock: Clock, size: int, memo: dict[Hashable, Any] | None = None) -> Batch:
        """The batch of one moment: a pure function of (seed, clock), whatever was drawn before."""
        order = _order(len(self), seed, clock.epoch, self.device)
        start = clock.step % clock.steps_per_epoch * size
        return Batch(self, order[start : start + size], seed, clock, {} if memo is None else memo)

    def parts(self, size: int) -> Iterable[Data]:
        """The whole set in order, in pieces of at most `size` samples, without the other splits."""
        for start in range(0, len(self), size):
            index = slice(start, start + size)
            yield replace(
                self, inputs=take(self.inputs, index), targets=take(self.targets, index), splits={}, tables={}
            )


def _learns(network: nn.Module) -> bool:
    """Whether any parameter asks for a gradient; walked by hand, because ``parameters()`` also makes their names."""
    waiting = [network]
    while waiting:
        module = waiting.pop()
        for parameter in module._parameters.values():
            if parameter is not None and parameter.requires_grad:
                return True
        waiting.extend(child for child in module._modules.values() if child is not None)
    return False


def take(values: Any, index: Any) -> Any:
    """Samples by index, from a tensor or from each tensor of a dict."""
    return {name: value[index] for name, value in values.items()} if isinstance(values, Mapping) else values[index]


@lru_cache(maxsize=16)
def _order(count: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    return torch.randperm(count, generator=generator(seed, "order", epoch)).to(device)


@dataclass
class Batch:
    """One run's view of a step. What is made from it is made once.

    `memo` is shared by all runs that stand at this point of the data, so whoever reads a tensor from it must not
    write on it; `live` holds what learning networks said and is emptied by the engine before each update.
    """

    data: Data
    index: Tensor
    seed: int
    clock: Clock
    memo: dict[Hashable, Any] = field(default_factory=dict)
    live: dict[Hashable, Outputs] = field(default_factory=dict)

    @property
    def targets(self) -> Any:
        return self.once("targets", lambda: take(self.data.targets, self.index))

    @property
    def inputs(self) -> Any:
        return self.view("weak")

    @property
    def task(self) -> Task:
        return self.data.task

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make something that all runs at this point share; the key must hold everything that decides it."""
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]

    def generator(self, stream: str) -> torch.Generator:
        """Random numbers of (seed, stream, step), on the device of the data."""
        return generator(self.seed, stream, self.clock.step, device=self.data.device)

    def view(self, name: str) -> Any:
        """The batch's inputs as the named view shows them; drawn once for all runs."""
        view = self.data.views[name]
        if hasattr(view, "choices"):
            return self.once(("view", name), lambda: view.apply(take(self.data.inputs, self.index), self._choice(name)))
        draw = lambda: view(take(self.data.inputs, self.index), self.generator(f"view:{name}"))
        return self.once(("view", name), draw)

    def _choice(self, name: str) -> Tensor:
        view = self.data.views[name]
        return self.once(("choice", name), lambda: view.draw(len(self.index), self.generator(f"view:{name}")))

    def outputs(self, network: nn.Module, view: str = "weak") -> Outputs:
        """What a network says about this batch.

        A network with nothing to learn answers once for all runs, without a graph; a learning one once per update,
        with it. The switch is ``requires_grad``, not ``.training``.
        """
        key = (network, view)
        if key in self.memo:
            return self.memo[key]
        learns = _learns(network)
        store = self.live if learns else self.memo
        key = (*key, torch.is_grad_enabled()) if learns else key
        if key not in store:
            said = self._tabulated(network, view)
            if said is None:
                with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
                    said = network(self.view(view))
            store[key] = replace(said, ask=network, view=lambda other: self.outputs(network, other))
        return store[key]

    def _tabulated(self, network: nn.Module, view: str) -> Outputs | None:
        table = self.data.tables.get((network, view))
        if table is None:
            return None
        rows = self.index * self.data.views[view].choices + self._choice(view)
        return table.map(lambda values: values.index_select(0, rows))

    def sibling(self, index: Tensor, data: Data | None = None) -> Batch:
        """Other samples at the same moment: same-class partners, a replay buffer, a client, a second stream."""
        return Batch(data or self.data, index, self.seed, self.clock)


# ---------------------------------------------------------------- who learns what, when


@dataclass
class Update:
    """One optimiser: what it trains and the loss it lowers. Nothing else receives a gradient.

    Attributes:
        name: how its terms are logged, ``name/term``.
        trains: the modules whose parameters it owns.
        losses: the terms of one batch; networks are asked through the batch.
        recipe: its own optimiser and schedule; the stage's, else the run's, where None.
        every: carried out at every n-th step.
        backward: fills the gradients itself (truncation, GradNorm, privacy) from weighted terms and parameters.
    """

    name: str
    trains: Iterable[nn.Module]
    losses: Callable[[Batch], dict[str, Term]]
    recipe: Any | None = None
    every: int = 1
    backward: Callable[[dict[str, Term], list[nn.Parameter]], None] | None = None


@dataclass
class Stage:
    """A stretch of training, its updates carried out in turn at every step.

    A new stage is needed only where what trains changes; schedules inside a stage are functions of progress.
    `share` is its length relative to its recipe's epochs; `between` runs before every epoch and after the last.
    """

    name: str
    updates: list[Update]
    share: float = 1.0
    recipe: Any | None = None
    between: Callable[[Data, Clock], None] | None = None


class Scheme(nn.Module):
    """Which networks learn from which. What is registered is saved; an outside teacher lives in a tuple."""

    revision = 1

    def stages(self) -> list[Stage]:
        raise NotImplementedError

    def delivers(self) -> dict[str, nn.Module]:
        """The networks that are judged, by role; the first is the one that is ranked."""
        raise NotImplementedError

    def untouched(self) -> set[str]:
        """Names of parameters that an update owns but that no loss reaches, as ``named_parameters`` gives them.

        The engine records which parameters got no gradient and a test compares them with this declaration.
        """
        return set()


@dataclass(frozen=True)
class Setting:
    """All that a method may know when it is built: answers on the meta device, so sizes are ``.shape``."""

    student: Outputs
    teacher: Outputs
    classes: int
    samples: int
    teacher_network: nn.Module


class Method(nn.Module):
    """One thing to match, with its adapters and buffers.

    A method is built from explicit sizes; `build` reads them from a setting and refuses an impossible pair in one
    sentence (`Refusal`). Learnable parts are child modules; everything that outlives a step is a buffer.
    """

    revision = 1

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        raise NotImplementedError

    def critics(self) -> list[nn.Module]:
        """Modules that a second update trains against `losses`, lowering `critic_losses`."""
        return []

    def critic_losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {}

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        """Stages before the main one: hints, paraphrasers."""
        return []

    def adapters(self) -> list[nn.Module]:
        """What trains together with the student: every child that is not a critic."""
        critics = self.critics()
        return [child for child in self.children() if not any(child is critic for critic in critics)]
