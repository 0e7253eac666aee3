"""More processes for the same request. They share nothing but the store, and end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

WORKER = "KDCORE_WORKER"
LOOK = 0.1  # seconds between looks at workers
ORPHANED = 4  # exit status of a worker whose parent has gone


def is_worker() -> bool:
    return bool(os.environ.get(WORKER))


@contextmanager
def terminated() -> Iterator[Callable[[], bool]]:
    """Whether this process was told to end (SIGTERM, as clusters send it before they kill); a second one ends it."""
    heard = threading.Event()

    def hear(number: int, _: object) -> None:
        heard.set()
        if not is_worker():  # which may hear it twice, from its parent and from the cluster
            signal.signal(number, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield heard.is_set
        return
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield heard.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def company(workers: int, told_to_stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Start this command line again in ``workers - 1`` processes, and see them end.

    Who tells this process to stop tells the workers too. A worker's standard input is a pipe that nobody writes to; it
    is at its end once the parent is gone, however it went, and the worker leaves too. What it had claimed is free
    again, what it had saved is resumed by others.
    """
    if is_worker():
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        yield
        return
    started = [_start() for _ in range(workers - 1)]
    try:
        yield
        _see_end(started, told_to_stop)
    finally:
        for worker in started:
            worker.stdin.close()
            worker.wait()


def _see_end(workers: Sequence[subprocess.Popen[bytes]], told_to_stop: Callable[[], bool]) -> None:
    passed_on = False
    while any(worker.poll() is None for worker in workers):
        if told_to_stop() and not passed_on:
            passed_on = True
            for worker in workers:
                worker.terminate()
        time.sleep(LOOK)


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kdcore.cli", *sys.argv[1:]]
    environment = {**os.environ, WORKER: "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(ORPHANED)
