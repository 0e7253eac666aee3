"""More processes for the same request. They share nothing but the store, and end with the one that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

WORKER = "KDCORE_WORKER"
ORPHANED = 4  # exit status of a worker whose parent has gone


def is_worker() -> bool:
    return bool(os.environ.get(WORKER))


@contextmanager
def company(workers: int) -> Iterator[None]:
    """Start this command line again in ``workers - 1`` processes, and see them end.

    A worker's standard input is a pipe that nobody writes to; it is at its end once the parent is gone, however it
    went, and the worker leaves too. What it had claimed is free again, what it had saved is resumed by others.
    """
    if is_worker():
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        yield
        return
    started = [_start() for _ in range(workers - 1)]
    try:
        yield
        for worker in started:
            worker.wait()
    finally:
        for worker in started:
            worker.stdin.close()
            worker.wait()


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kdcore.cli", *sys.argv[1:]]
    environment = {**os.environ, WORKER: "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(ORPHANED)
