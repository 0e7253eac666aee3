"""Small projects to be read: files by path, notebooks from the code of their cells."""

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Plant = Callable[[dict], Path]


def notebook(*cells: str | tuple[str, str]) -> str:
    """A notebook of code cells; a pair gives another kind of cell first."""
    pairs = [cell if isinstance(cell, tuple) else ("code", cell) for cell in cells]
    made = [
        {"cell_type": kind, "metadata": {}, "source": dedent(text).splitlines(keepends=True)} for kind, text in pairs
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def plant(tmp_path) -> Plant:
    """Writes files under a fresh root; a list of cells becomes a notebook, None leaves the file out."""

    def write(files: dict) -> Path:
        for path, content in files.items():
            if content is not None:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                text = notebook(*content) if isinstance(content, list) else dedent(content)
                (tmp_path / path).write_text(text, "utf-8")
        return tmp_path

    return write
