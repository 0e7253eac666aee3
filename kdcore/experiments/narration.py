"""What a run says on stderr: bars on a terminal, a line for each finished run elsewhere, nothing in a notebook."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kdcore.experiments.store import Record


class Narrator:
    """Tells how far a request is.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, quiet: bool = False):
        self.quiet, self.left = quiet, 0
        self.moving = not quiet and sys.stderr.isatty() and not os.environ.get("CI")
        self._bar: Any = None

    def line(self, text: str) -> None:
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def recorded(self, record: Record) -> None:
        self.left -= 1
        where = f"{record['experiment']}: {record['row']}, seed {record['seed']}"
        self.line(f"{where}: {outcome(record)}" + (f" ({self.left} to go)" if self.left > 0 else ""))

    @contextmanager
    def bar(self, title: str) -> Iterator[Any]:
        """A function of (steps done, steps in all) that moves a bar, or None where nothing moves."""
        if not self.moving:
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as self._bar:
            task = self._bar.add_task(title, total=None)
            yield lambda done, total: self._bar.update(task, completed=done, total=total)
        self._bar = None


def outcome(record: Record) -> str:
    """A record's end in a few words.

    Example:
        >>> outcome({"status": "done", "last": {"accuracy": 0.9512}})
        'accuracy 0.9512'
    """
    if record["status"] != "done":
        failure = record["failure"]
        where = f" at stage {failure['stage']}, step {failure['step']}" if failure.get("stage") else ""
        return f"failed{where}: {failure['reason']}"
    flat = [(name, value) for name, value in record["last"].items() if isinstance(value, int | float)]
    return ", ".join(f"{name} {value:.4g}" for name, value in flat[:3]) or "done"
