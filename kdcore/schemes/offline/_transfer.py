"""Learning from a set that a scheme makes itself, in place of the run's own data."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kdcore.types import Batch, Data, Task


def plain(inputs: Any, random: Any) -> Any:
    """Samples as they are."""
    return inputs


def transfer_set(inputs: Tensor, answers: Tensor, task: Task, classes: int) -> Data:
    """Samples with the answers that a model gave them, as data."""
    return Data(inputs, answers, task, {"weak": plain, "plain": plain}, classes=classes)


def batch_of(pool: Data, batch: Batch) -> Batch:
    """As many samples of another set as the run's own step has, in an order that its own epochs decide."""
    size = min(len(batch.index), len(pool))
    clock = batch.clock._replace(steps_per_epoch=max(1, len(pool) // size))
    return pool.batch(batch.seed, clock, size)
