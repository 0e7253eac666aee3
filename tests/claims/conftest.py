"""Made-up records for rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Record = dict[str, Any]


def made(row: str, last: Callable[[int], dict[str, Any]], seeds: int = 5) -> list[Record]:
    """A row's finished records, its numbers a function of the seed."""
    return [{"row": row, "seed": seed, "status": "done", "last": last(seed)} for seed in range(seeds)]


def accuracy(row: str, mean: float, scatter: float = 0.004, seeds: int = 5) -> list[Record]:
    """Accuracies of a mean (over five seeds), each row scattered around it in its own way."""
    wave = (1, -1, 0.5, -1, 0.5)
    return made(row, lambda seed: {"accuracy": mean + scatter * wave[(seed + len(row)) % 5]}, seeds)


@pytest.fixture
def records():
    class Records:
        made, accuracy = staticmethod(made), staticmethod(accuracy)

    return Records


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of one's own, so that a verdict is judged on records made here."""
    monkeypatch.setenv("KDCORE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"
