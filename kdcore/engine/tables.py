"""A resting network's answers where a view has few results: computed once, read at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from kdcore.engine.machine import arithmetic, free_bytes
from kdcore.engine.rest import tensors_of
from kdcore.types import Data, Outputs, Refusal, take

SHARE = 0.5  # of the free memory, that a table may take


@torch.no_grad()
def tabulate(network: nn.Module, data: Data, view: str = "weak", chunk: int = 1000) -> None:
    """Compute a resting network's answer to every choice of a finite view once, for all runs and seeds.

    `Batch.outputs` then reads the table. It is exact only for a network in eval mode whose view is drawn from
    finitely many choices (a digit has 9 shifts, a CIFAR image 162 crops and flips).
    """
    _check(network, data, view)
    answers = [network(shown) for shown in _shown(data, view, chunk)]
    data.tables[network, view] = _joined(answers)


@torch.no_grad()
def tabulate_logits(
    network: nn.Module, data: Data, view: str = "weak", *, precision: str = "float32", chunk: int = 1000
) -> None:
    """Keep the logits alone, in the arithmetic of a run and in the precision in which the network says them.

    162 views of 50,000 images times 10 logits of two bytes are 162 MB; one map of a stage would be 400 times as much.
    Whatever else is read of such an answer is asked of the network, once for all runs at that point of the data.

    Args:
        network: a finished network at rest, in eval mode.
        data: whose samples are tabulated.
        view: by name; it must be drawn from finitely many choices.
        precision: of the run, ``bfloat16`` for autocast; the table then holds two bytes a number.
        chunk: how many views are answered at once.

    Raises:
        Refusal: the table would take more than half of the memory that is free.
    """
    _check(network, data, view)
    table, start = None, 0
    with arithmetic(precision, data.device):
        for shown in _shown(data, view, chunk):
            logits = network(shown).logits
            if table is None:
                table = _room(logits, len(data) * data.views[view].choices)
            table[start : start + len(logits)] = logits
            start += len(logits)
    data.tables[network, view] = LogitTable(table, network, data, view)


class LogitTable:
    """Logits of every choice of a view, read as `Batch.outputs` reads a whole table: `map` with a choice of rows."""

    def __init__(self, logits: Tensor, network: nn.Module, data: Data, view: str):
        self.logits, self.network, self.data, self.view = logits, network, data, view

    def map(self, change: Callable[[Any], Any]) -> Tabulated:
        rows = change(_Rows())
        return Tabulated(change(self.logits), cache(lambda: self._asked(rows)))

    @torch.no_grad()
    def _asked(self, rows: Tensor) -> Outputs:
        made = self.data.views[self.view]
        samples = take(self.data.inputs, rows // made.choices)
        return self.network(made.apply(samples, rows % made.choices))


class _Rows:
    """Stands where a table's values would, and gives back the rows that are read."""

    def index_select(self, dimension: int, rows: Tensor) -> Tensor:
        return rows


@dataclass
class _Kept:
    logits: Tensor
    rest: Callable[[], Outputs] = field(repr=False)
    ask: Callable[[Any], Outputs] | None = field(default=None, repr=False)
    view: Callable[[str], Outputs] | None = field(default=None, repr=False)


class Tabulated(Outputs):
    """An answer whose logits were read from a table; all else is asked of the network once it is read."""

    __dataclass_fields__ = _Kept.__dataclass_fields__  # what `dataclasses.replace` reads: the others would be asked
    __init__, __repr__ = _Kept.__init__, _Kept.__repr__
    features = property(lambda self: self.rest().features)
    preactivations = property(lambda self: self.rest().preactivations)
    embedding = property(lambda self: self.rest().embedding)
    exits = property(lambda self: self.rest().exits)

    def __getattr__(self, name: str) -> Any:
        """What only some networks say (the stem's answer, a mask)."""
        if name.startswith("_") or name in _Kept.__dataclass_fields__:
            raise AttributeError(name)
        return getattr(self.rest(), name)

    def map(self, change: Callable[[Tensor], Tensor]) -> Tabulated:
        return Tabulated(change(self.logits), cache(lambda: self.rest().map(change)), self.ask, self.view)


def _check(network: nn.Module, data: Data, view: str) -> None:
    if not hasattr(data.views[view], "choices"):
        raise ValueError(f"view {view} has no finite choices, so its answers cannot be tabulated")
    if any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("only a resting network can be tabulated, this one still learns")


def _shown(data: Data, view: str, chunk: int) -> Iterator[Any]:
    """Every sample under every choice of a view, sample by sample, in pieces."""
    made = data.views[view]
    for start in range(0, len(data) * made.choices, chunk):
        rows = torch.arange(start, min(start + chunk, len(data) * made.choices), device=data.device)
        yield made.apply(take(data.inputs, rows // made.choices), rows % made.choices)


def _room(sample: Tensor, rows: int) -> Tensor:
    """An empty table for rows like those of a sample, refused where it does not fit."""
    wanted, free = rows * sample[0].numel() * sample.element_size(), free_bytes(sample.device)
    if free is not None and wanted > SHARE * free:
        raise Refusal(
            f"a table of {rows:,} answers takes {wanted / 1e9:.1f} GB, and of {free / 1e9:.1f} GB that are free it may "
            "take half: leave recipe.tabulate out, or tabulate on a device that has more memory"
        )
    return sample.new_empty(rows, *sample.shape[1:])


def _joined(answers: list[Outputs]) -> Outputs:
    columns = zip(*(tensors_of(answer) for answer in answers), strict=True)
    whole = iter([torch.cat(column) for column in columns])
    return answers[0].map(lambda _: next(whole))
