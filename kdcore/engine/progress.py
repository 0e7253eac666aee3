"""How far a training is, on stderr: a bar on a terminal, a line now and then elsewhere, nothing where nobody reads."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOBase

Progress = Callable[[int, int], None]  # steps done, steps in all: what `fit` calls


@contextmanager
def reporter(
    title: str,
    *,
    stream: TextIOBase | None = None,
    every_seconds: float = 30.0,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Progress | None]:
    """What `fit` can tell how far it is, for as long as a training lasts; None where that is kept quiet.

    On a terminal a bar moves and goes when all is done. Elsewhere (a file, a scheduler's log) a line is written every
    `every_seconds`, and a last one if there was any. Inside a notebook, papermill's too, and in CI nothing is said.

    Args:
        title: what is trained.
        stream: where it is said. Default: stderr as it is now.
        every_seconds: between two lines.
        now: the time in seconds.

    Example:
        >>> with reporter("soft", stream=sys.stdout, every_seconds=0, now=iter([0, 10, 40]).__next__) as progress:
        ...     if progress:
        ...         progress(250, 1000), progress(1000, 1000)
        soft: 250 of 1,000 steps, 30 s left
        soft: 1,000 steps in 40 s
        (None, None)
    """
    stream = stream or sys.stderr
    if is_quiet():
        yield None
    elif stream.isatty():
        with _bar(title, stream) as progress:
            yield progress
    else:
        yield Lines(title, stream, every_seconds, now)


def is_quiet() -> bool:
    """Whether nobody reads what moves: in CI, in a notebook's kernel, and in what a kernel has started."""
    return bool(os.environ.get("CI") or os.environ.get("JPY_PARENT_PID")) or "ipykernel" in sys.modules


class Lines:
    """Writes a line every so many seconds, and a last one if there was any."""

    def __init__(self, title: str, stream: TextIOBase, every_seconds: float, now: Callable[[], float]):
        self.title, self.stream, self.every_seconds, self.now = title, stream, every_seconds, now
        self.begun = self.told = now()

    def __call__(self, done: int, total: int) -> None:
        now = self.now()
        passed = now - self.begun
        if done >= total:
            if self.told > self.begun:
                self._say(f"{total:,} steps in {duration(passed)}")
        elif now - self.told >= self.every_seconds:
            left = f", {duration(passed * (total - done) / done)} left" if done else ""
            self._say(f"{done:,} of {total:,} steps{left}")
            self.told = now

    def _say(self, text: str) -> None:
        self.stream.write(f"{self.title}: {text}\n")
        self.stream.flush()


@contextmanager
def _bar(title: str, stream: TextIOBase) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task(escape(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def duration(seconds: float) -> str:
    """Seconds in words, no finer than is of use.

    Example:
        >>> [duration(seconds) for seconds in (0.4, 89, 90, 5400, 86400)]
        ['0 s', '89 s', '2 min', '1 h 30 min', '24 h 0 min']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
