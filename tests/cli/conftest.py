from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from kdcore.cli import main


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps its records during this test."""
    monkeypatch.setenv("KDCORE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def kdcore(own_store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """The command line: its exit status and what it says."""

    def command(*words: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = capsys.readouterr()
        return Answer(ended.value.code, said.out, said.err)

    return command
