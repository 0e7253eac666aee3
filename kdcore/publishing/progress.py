"""Says on stderr how far things are: one line that moves on a terminal, one line a notebook elsewhere."""

from __future__ import annotations

import time
from io import TextIOBase

from kdcore.publishing.execution import Outcome


class Progress:
    def __init__(self, total: int, stream: TextIOBase) -> None:
        self.total = total
        self.stream = stream
        self.moving = stream.isatty()
        self.done = 0
        self.at: dict[str, str] = {}
        self.start = time.monotonic()

    def started(self, name: str) -> None:
        self.at[name] = "starting"

    def reached(self, name: str, cell: int, cells: int) -> None:
        self.at[name] = f"{cell}/{cells}"

    def ended(self, outcome: Outcome) -> None:
        self.at.pop(outcome.name, None)
        self.done += 1
        how = "done" if outcome.done else f"FAILED ({outcome.cell or outcome.reason})"
        self.clear()
        self.write(f"notebooks: {outcome.name} {how} after {outcome.seconds:.0f} s, {self.done} of {self.total}\n")

    def waiting(self) -> None:
        if self.moving and self.at:
            now = ", ".join(f"{name} {where}" for name, where in self.at.items())
            self.clear()
            self.write(f"{self.done} of {self.total} done, {time.monotonic() - self.start:.0f} s: {now}"[:110])

    def clear(self) -> None:
        if self.moving:
            self.write("\r\x1b[K")

    def write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
