"""A store of its own for every test, and a measure without torch to fill it with."""

from __future__ import annotations

import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdcore.experiments.types import Experiment, Profile, Row


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `Store()` writes during this test."""
    monkeypatch.setenv("KDCORE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where records are published to during this test."""
    folder = tmp_path / "book" / "records"
    for module in ("store", "records", "progress"):
        monkeypatch.setattr(f"kdcore.experiments.{module}.published_folder", lambda: folder)
    return folder


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Experiment]:
    """An experiment of rows that compute a number, and the calls that were made for it."""
    module = types.ModuleType("standin")
    module.calls = []

    def number(seed: int, value: float = 0.0, **others: Any) -> dict[str, float]:
        module.calls.append((value, seed))
        return {"number": value + seed / 7}

    module.number = number
    monkeypatch.setitem(sys.modules, "standin", module)

    def experiment(*values: float, key: str = "standin", seeds: tuple[int, ...] = (0, 1)) -> Experiment:
        rows = tuple(Row(f"row-{value:g}", "standin:number", {"value": value}) for value in values)
        return Experiment(key, "Numbers", rows, seeds, {"quick": Profile(), "smoke": Profile({"steps": 2})})

    experiment.calls = module.calls
    return experiment


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the smoke teacher of the digits, trained once for all tests."""
    from kdcore.experiments.running import run

    folder = tmp_path_factory.mktemp("taught")
    run("digits-teacher", "smoke", records=folder)
    return folder


@pytest.fixture
def with_teacher(taught: Path, own_store: Path) -> Path:
    """This test's store, the smoke teacher in it."""
    shutil.copytree(taught, own_store)
    return own_store
