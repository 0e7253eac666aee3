"""The log of a stage: sums of its terms, and the first step at which one was not finite."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kdcore.types import Term


class Diverged(ArithmeticError):
    """A term of a loss is not finite."""

    def __init__(self, stage: str, step: int, term: str):
        super().__init__(f"stage {stage}, step {step}: {term} is not finite")
        self.stage, self.step, self.term = stage, step, term


class Watch:
    """Sums terms between two entries of the curve, in double precision.

    On a CPU a bad value is seen at its own step, before the optimiser spreads it. On an accelerator reading a value
    waits for the device, so sums and the first bad step are kept there and read together.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.sums: dict[str, list[float] | Tensor] = {}
        self.counts: dict[str, int] = {}
        self.bad: dict[str, Tensor] = {}

    def see(self, update: str, terms: dict[str, Term], stage: str, step: int) -> None:
        names = list(terms)
        if update not in self.names:
            self._begin(update, terms)
        if self.names[update] != names:
            raise ValueError(f"update {update} changed its terms within an epoch, {self.names[update]} to {names}")
        values = [term.value for term in terms.values()]
        if values[0].device.type == "cpu":
            self._see_at_once(update, [value.item() for value in values], stage, step)
        else:
            self._see_later(update, torch.stack(values).detach().double(), step)
        self.counts[update] += 1

    def _begin(self, update: str, terms: dict[str, Term]) -> None:
        if not terms:
            raise ValueError(f"update {update} must return at least one term, got none")
        for name, term in terms.items():
            if term.value.dim():
                shape = tuple(term.value.shape)
                raise ValueError(f"term {name} of update {update} must be a single number, got shape {shape}")
        self.names[update], self.counts[update] = list(terms), 0

    def _see_at_once(self, update: str, values: list[float], stage: str, step: int) -> None:
        for name, value in zip(self.names[update], values):
            if not math.isfinite(value):
                raise Diverged(stage, step, f"{update}/{name}")
        before = self.sums.get(update)
        self.sums[update] = [a + b for a, b in zip(before, values)] if before else values

    def _see_later(self, update: str, values: Tensor, step: int) -> None:
        if update not in self.sums:
            self.sums[update] = torch.zeros_like(values)
            self.bad[update] = torch.full_like(values, -1, dtype=torch.int64)
        self.bad[update] = torch.where((self.bad[update] < 0) & ~values.isfinite(), step, self.bad[update])
        self.sums[update] += values

    def read(self, stage: str) -> dict[str, float]:
        """Mean of every term since the last reading; starts anew."""
        for update, steps in self.bad.items():
            for name, step in zip(self.names[update], steps.tolist()):
                if step >= 0:
                    raise Diverged(stage, step, f"{update}/{name}")
        means: dict[str, float] = {}
        for update, sums in self.sums.items():
            values = sums.tolist() if isinstance(sums, Tensor) else sums
            for name, value in zip(self.names[update], values):
                means[f"{update}/{name}"] = value / self.counts[update]
        self.clear()
        return means

    def state(self) -> dict[str, Any]:
        return {"names": self.names, "sums": self.sums, "counts": self.counts, "bad": self.bad}

    def restore(self, state: dict[str, Any]) -> None:
        self.names, self.sums, self.counts, self.bad = (state[name] for name in ("names", "sums", "counts", "bad"))
