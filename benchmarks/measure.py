"""How long a step takes and how much memory it needs at its peak: all contenders in turn, round by round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Step = Callable[[], Tensor]  # gives a loss with a graph
LEAST = 5e-2  # seconds of one measurement: a step that is shorter is repeated


class Measured(NamedTuple):
    """Of one contender: seconds a step in every round, bytes at the peak, and its value."""

    seconds: list[float]
    memory: int
    value: float


def measured(contenders: Mapping[str, Step], leaves: list[Tensor], rounds: int) -> dict[str, Measured]:
    """Forward and backward of each, interleaved, so that whatever else happens happens to all.

    Args:
        contenders: by name.
        leaves: what gets gradients; forgotten before each step, since adding to them is no part of a loss.
        rounds: each contender is measured once a round, another one first every time.
    """

    def step(loss: Step) -> Tensor:
        for leaf in leaves:
            leaf.grad = None
        value = loss()
        value.backward()
        return value.detach()

    names, device = list(contenders), leaves[0].device
    values = {name: step(contenders[name]).item() for name in names}  # the first step warms up
    memory = {name: peak(lambda name=name: step(contenders[name]), device) for name in names}
    repeats = {name: max(1, math.ceil(LEAST / _seconds(contenders[name], step, 1, device))) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(_seconds(contenders[name], step, repeats[name], device))
    return {name: Measured(seconds[name], memory[name], values[name]) for name in names}


def _seconds(loss: Step, step: Callable[[Step], Tensor], repeats: int, device: torch.device) -> float:
    """Of one step: on a CPU the median of the repeats, since a page that was not there or a neighbour's work hits some
    of them; elsewhere their mean, since a look at every step would make it wait for the one before."""
    if device.type != "cpu":
        return _elapsed(lambda: [step(loss) for _ in range(repeats)], device) / repeats
    return median(_elapsed(lambda: step(loss), device) for _ in range(repeats))


def _elapsed(work: Callable[[], object], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Median, lowest and highest of their time over ours, round by round.

    Example:
        >>> ratios([1.0, 2.0, 1.0], [3.0, 4.0, 4.0])
        (3.0, 2.0, 4.0)
    """
    found = sorted(their / our for our, their in zip(ours, theirs, strict=True))
    return median(found), found[0], found[-1]


# ---------------------------------------------------------------- memory


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that a step has made and that still live, and remembers the most.

    What lived before counts for nothing; what an operation needs inside itself is not seen, in no contender.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.before: dict[int, StorageWeakRef] = {}  # an address says nothing once what lay there is gone
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self._forget()
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor) and (storage := given.untyped_storage())._cdata not in self.held:
                self.before[storage._cdata] = StorageWeakRef(storage)
        made = func(*args, **kwargs)
        self._forget()
        for result in tree_leaves(made):
            if isinstance(result, Tensor) and (storage := result.untyped_storage())._cdata not in self.before:
                self.held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.most = max(self.most, sum(size for _, size in self.held.values()))
        return made

    def _forget(self) -> None:
        self.held = {key: held for key, held in self.held.items() if not held[0].expired()}
        self.before = {key: known for key, known in self.before.items() if not known.expired()}


def peak(step: Callable[[], object], device: torch.device) -> int:
    """The most bytes that a step holds beyond what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with Alive() as alive:
        step()
    return alive.most
