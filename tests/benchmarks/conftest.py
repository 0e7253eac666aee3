"""The benchmark's modules, and a peer that was made up."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("peers", "calls", "measure", "table", "losses", "bars", "timing", "contenders", "throughput")


@pytest.fixture(scope="session")
def bench() -> SimpleNamespace:
    """The modules by name, as ``python benchmarks/losses.py`` finds them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with something that looks like RepDistiller and holds one loss."""
    home = tmp_path / "peers" / "somewhere" / "distiller_zoo"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("raise ImportError('never run')\n")
    (home / "NST.py").write_text("")
    (home / "scale.py").write_text("FACTOR = 2.0\n")
    (home / "KD.py").write_text(
        "from .scale import FACTOR\n\n\nclass DistillKL:\n    def __init__(self, T):\n        self.T = T\n\n"
        "    def __call__(self, student, teacher):\n        return FACTOR * (student - teacher).square().mean()\n"
    )
    (home.parent / "COMMIT").write_text("0123456789abcdef\n")
    return tmp_path / "peers"
