"""Several workers at once: hands out jobs, watches the clock, and ends everything it started."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Protocol, runtime_checkable

from kdcore.publishing.execution import Job, Outcome, serve

LOOK_EVERY = 0.5  # seconds between two looks at the clock


@runtime_checkable
class Listener(Protocol):
    """Who wants to know how things go."""

    def started(self, name: str) -> None: ...
    def reached(self, name: str, cell: int, cells: int) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def waiting(self) -> None: ...


class Worker:
    """A process of our own that executes notebooks, and the job it has."""

    def __init__(self, folder: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, folder), daemon=True)
        self.process.start()
        other.close()
        self.job: Job | None = None
        self.since = 0.0
        self.broken = False

    def give(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()
        with suppress(OSError):  # where it has died meanwhile, `take` meets the end of the pipe
            self.pipe.send(job)

    def overdue(self) -> bool:
        return self.job is not None and time.monotonic() - self.since > self.job.seconds

    def take(self, listener: Listener) -> Outcome | None:
        """What the worker says: where it stands, or how its job ended."""
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return self.lost(f"the process that executed it ended with status {self.process.exitcode}")
        if isinstance(said, Outcome):
            self.job = None
            return said
        listener.reached(self.job.name, *said)
        return None

    def lost(self, reason: str) -> Outcome:
        job, self.job, self.broken = self.job, None, True
        seconds = time.monotonic() - self.since
        return Outcome(job.name, done=False, reason=reason, seconds=seconds, partial=job.kept())

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def stopping(workers: list[Worker]) -> Iterator[None]:
    """Whatever happens, no process outlives this."""
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()


def execute(jobs: Sequence[Job], at_once: int, listener: Listener) -> Iterator[Outcome]:
    """Yields how each job ended, as it ends."""
    waiting = list(reversed(jobs))
    workers: list[Worker] = []
    with tempfile.TemporaryDirectory(prefix="kd", ignore_cleanup_errors=True) as folder, stopping(workers):
        while waiting or any(worker.job for worker in workers):
            for worker in workers:
                if waiting and worker.job is None:
                    listener.started(waiting[-1].name)
                    worker.give(waiting.pop())
            if waiting and len(workers) < min(at_once, len(jobs)):
                workers.append(Worker(folder))
                continue
            for outcome in listen(workers, listener):
                listener.ended(outcome)
                yield outcome


def listen(workers: list[Worker], listener: Listener) -> Iterator[Outcome]:
    """Waits a moment for messages; drops a worker that ended, or whose job takes too long."""
    busy = {worker.pipe: worker for worker in workers if worker.job}
    ready = connection.wait(list(busy), LOOK_EVERY)
    for pipe, worker in busy.items():
        outcome = worker.take(listener) if pipe in ready else None
        if worker.overdue():
            outcome = worker.lost(f"took longer than {worker.job.seconds:.0f} s and was stopped")
        if worker.broken:
            workers.remove(worker)
            worker.stop()
        if outcome is not None:
            yield outcome
    listener.waiting()
