"""Runs inside a notebook's kernel: tells the processor time of imports from the time of work.

`start` is the kernel's first line. It times outermost imports, in the thread that makes them, and after every cell
writes the sums where ``KDCORE_METER`` says; the process that started the kernel knows the whole.
"""

from __future__ import annotations

import builtins
import json
import os
import threading
import time
from typing import Any

_level = threading.local()


class Meter:
    def __init__(self, path: str) -> None:
        self.path = path
        self.imports = time.process_time()  # what starting the kernel took is no work of the notebook's
        self._import = builtins.__import__

    def timed_import(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(_level, "inside", False):
            return self._import(*args, **kwargs)
        _level.inside = True
        before = time.thread_time()
        try:
            return self._import(*args, **kwargs)
        finally:
            _level.inside = False
            self.imports += time.thread_time() - before

    def write(self, *_: Any) -> None:
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump({"imports": self.imports}, file)


def start() -> None:
    """Begin to measure, where somebody wants to know."""
    path = os.environ.get("KDCORE_METER")
    if not path:
        return
    from IPython.core.getipython import get_ipython

    meter = Meter(path)
    builtins.__import__ = meter.timed_import
    get_ipython().events.register("post_run_cell", meter.write)
