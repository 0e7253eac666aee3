"""Made-up records with numbers that can be worked by hand. No number here was ever measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Record = dict[str, Any]

# Five seeds. Student: mean 0.80, deviations -2, -1, 0, 1, 2 points, so its variance is 10 / 4 squared points.
STUDENT = (0.78, 0.79, 0.80, 0.81, 0.82)
# KD: mean 0.90; minus the student 12, 11, 10, 9, 8 points: mean 10, standard deviation sqrt(10 / 4) points.
KD = (0.90, 0.90, 0.90, 0.90, 0.90)
# DKD: mean 0.94; minus the student 14 in the mean, deviations 1, -1, 0, 1, -1 points from it.
DKD = (0.93, 0.92, 0.94, 0.96, 0.95)


def make_record(row: str, seed: int, accuracy: float, **changes: Any) -> Record:
    record = {
        "experiment": "made-up",
        "row": row,
        "method": row,
        "seed": seed,
        "profile": "quick",
        "device": "cpu",
        "status": "done",
        "hash": f"{row}-{seed}",
        "settings": {"methods": [[row, {}]]},
        "recipe": {"steps": 10},
        "inputs": {"data": "d0"},
        "revision": {"step": 1, row: 1},
        "variant": {},
        "promise": "same bits",
        "last": {"accuracy": accuracy, "cross_entropy": 1 - accuracy},
        "best": {"accuracy": accuracy + 0.01},
        "networks": {"student": {"accuracy": accuracy}, "leader": {"accuracy": accuracy / 2}},
        "provenance": {"finished": f"2026-03-0{seed + 1}T10:00:00+00:00", "device": "cpu", "commit": "c" * 40},
        "origin": "local",
    }
    return record | changes


@pytest.fixture
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def rows() -> Callable[..., list[Record]]:
    """Records of a row from its values over the seeds 0, 1, 2, ..."""

    def make(row: str, values: tuple[float, ...], **changes: Any) -> list[Record]:
        return [make_record(row, seed, value, **changes) for seed, value in enumerate(values)]

    return make


@pytest.fixture
def failed() -> Callable[..., Record]:
    failure = {"stage": "main", "step": 40, "term": "at", "reason": "at is nan"}

    def make(row: str, seed: int, **changes: Any) -> Record:
        found = make_record(row, seed, 0.0, status="failed", failure=failure, **changes)
        return {name: value for name, value in found.items() if name not in ("last", "best", "networks")}

    return make


@pytest.fixture
def three_rows(rows: Callable[..., list[Record]]) -> list[Record]:
    """Teacher, student, KD and DKD over five seeds."""
    return [*rows("dkd", DKD), *rows("kd", KD), *rows("student", STUDENT), *rows("teacher", (0.99,) * 5)]
