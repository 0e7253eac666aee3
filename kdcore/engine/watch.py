"""The log of a stage: sums of its terms, kept on the device, and the first step at which one was not finite."""

from __future__ import annotations

from typing import Any

import torch

from kdcore.types import Term


class Diverged(ArithmeticError):
    """A term of a loss is not finite."""

    def __init__(self, stage: str, step: int, term: str):
        super().__init__(f"stage {stage}, step {step}: {term} is not finite")
        self.stage, self.step, self.term = stage, step, term


class Watch:
    """Sums terms between two entries of the curve.

    On a CPU a bad value is seen at its own step, before the optimiser spreads it. On an accelerator reading a value
    waits for the device, so the first bad step is kept there and read with the sums.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}
        self.bad: dict[str, torch.Tensor] = {}

    def see(self, update: str, terms: dict[str, Term], stage: str, step: int) -> None:
        values = torch.stack([term.value.detach().double() for term in terms.values()])
        if update not in self.sums:
            self.sums[update], self.counts[update] = torch.zeros_like(values), 0
            self.bad[update] = torch.full_like(values, -1, dtype=torch.int64)
            self.names[update] = list(terms)
        if self.names[update] != list(terms):
            raise ValueError(
                f"update {update} changed its terms within an epoch, {self.names[update]} to {list(terms)}"
            )
        finite = values.isfinite()
        if values.device.type == "cpu":
            if not finite.all():
                raise Diverged(stage, step, f"{update}/{self.names[update][int(finite.logical_not().nonzero()[0])]}")
        else:
            self.bad[update] = torch.where((self.bad[update] < 0) & ~finite, step, self.bad[update])
        self.sums[update] += values
        self.counts[update] += 1

    def read(self, stage: str) -> dict[str, float]:
        """Mean of every term since the last reading; starts anew."""
        means: dict[str, float] = {}
        for update, sums in self.sums.items():
            for name, bad in zip(self.names[update], self.bad[update].tolist()):
                if bad >= 0:
                    raise Diverged(stage, bad, f"{update}/{name}")
            for name, value in zip(self.names[update], (sums / self.counts[update]).tolist()):
                means[f"{update}/{name}"] = value
        self.clear()
        return means

    def state(self) -> dict[str, Any]:
        return {"names": self.names, "sums": self.sums, "counts": self.counts, "bad": self.bad}

    def restore(self, state: dict[str, Any]) -> None:
        self.names, self.sums = state["names"], state["sums"]
        self.counts, self.bad = state["counts"], state["bad"]
