"""One process that executes notebooks with papermill, one after another, and says how each went.

The coordinator (`kdcore.publishing.pool`) starts several of these. A worker ends with the process that started it,
and a kernel with its worker, however either is stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from kdcore.experiments.provenance import versions
from kdcore.publishing.cleaning import clean
from kdcore.publishing.lifetime import end_with_parent
from kdcore.publishing.project import Mistake, Source, tags_of, text_of, write_whole

METER = "from kdcore.publishing import meter; meter.start()"
SOCKET_ROOM = 80  # characters: a socket's path may have 104 at most on some systems
QUIET = {"TQDM_DISABLE": "1", "KDCORE_QUIET": "1", "PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
SINGLE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")}


@dataclass(frozen=True)
class Job:
    """One notebook to execute: from where, to where, with which values, how long at most."""

    source: Path
    partial: Path
    result: Path
    parameters: dict[str, Any]
    made: dict[str, Any]
    cell_seconds: float
    seconds: float

    @property
    def name(self) -> str:
        return self.source.stem

    def kept(self) -> str:
        """Where the output up to a failure lies, if there is any."""
        return str(self.partial) if self.partial.is_file() else ""


@dataclass
class Outcome:
    """How one went. `reason` and `cell` where it failed; core-seconds count the kernel and what it started."""

    name: str
    done: bool
    reason: str = ""
    cell: str = ""
    seconds: float = 0.0
    core_seconds: float = 0.0
    import_seconds: float = 0.0
    warnings: int = 0
    partial: str = ""


@dataclass
class Position:
    """The code cell that is being executed, counted as in the source."""

    say: Callable[[int, int], None]
    total: int = 0
    number: int = 0
    line: str = ""

    def enter(self, cell: Any, cell_index: int) -> None:
        if "injected-parameters" not in tags_of(cell):
            self.number += 1
            lines = (line.strip() for line in text_of(cell).splitlines())
            self.line = next((line for line in lines if line and line[0] != "#"), "")
            self.say(self.number, self.total)


def serve(pipe: connection.Connection, folder: str) -> None:
    """Take jobs from the pipe until it closes; `folder` is for sockets and notes."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the coordinator's; an ignored one would be inherited
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.environ.update(QUIET | SINGLE | {"JUPYTER_PREFER_ENV_PATH": "1", "IPYTHONDIR": f"{folder}/ipython"})
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - papermill and jupyter speak of what we report
    while (task := pipe.recv()) is not None:
        pipe.send(run(task, Path(folder), lambda *where: pipe.send(where)))


def run(job: Job, folder: Path, say: Callable[[int, int], None]) -> Outcome:
    """Execute one notebook; whatever goes wrong is told in the outcome."""
    source = Source(job.source)
    position = Position(say)
    outcome = Outcome(job.name, done=False)
    job.partial.parent.mkdir(parents=True, exist_ok=True)
    job.partial.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        note = Path(own, "meter.json")
        os.environ["KDCORE_METER"] = str(note)
        wall, cores = time.monotonic(), spent()
        try:
            position.total = sum(cell["cell_type"] == "code" for cell in source.cells)
            with_papermill(job, source, Path(own), position)
            outcome.warnings = publish(job)
            outcome.done = True
        except Exception as problem:
            outcome.reason = reason_of(problem, job)
            outcome.cell = f"code cell {position.number}, `{position.line}`" if position.number else ""
            outcome.partial = job.kept()
        outcome.seconds = time.monotonic() - wall
        outcome.core_seconds = spent() - cores
        if note.is_file():
            outcome.import_seconds = json.loads(note.read_text())["imports"]
    return outcome


def with_papermill(job: Job, source: Source, own: Path, position: Position) -> None:
    unknown = set(job.parameters) - set(source.parameters())
    if unknown:
        raise Mistake(f"{job.source.name} has no parameter {', '.join(sorted(unknown))}")
    import papermill

    patch_channels()
    notebook = papermill.execute_notebook(
        as_format(job.source),
        as_format(job.partial),
        job.parameters,
        kernel_name="python3",
        progress_bar=False,
        cwd=job.source.parent,
        start_timeout=120,
        execution_timeout=job.cell_seconds,
        iopub_timeout=60,
        coalesce_streams=True,
        on_cell_execute=position.enter,
        extra_arguments=[
            "--IPKernelApp.log_level=50",
            "--HistoryManager.enabled=False",
            f"--IPKernelApp.exec_lines={METER}",
        ],
        **transport(own),
    )
    for cell in notebook.cells:
        exits = [output for output in cell.get("outputs", ()) if output.get("ename") == "SystemExit"]
        if exits:
            raise Mistake("sys.exit was called, so the cells after it did not run")


def publish(job: Job) -> int:
    """Write the cleaned notebook in one step; returns how many lines it had written on stderr."""
    notebook = json.loads(job.partial.read_text(encoding="utf-8"))
    notebook["metadata"].setdefault("kdcore", {})["made"] = job.made | {"versions": versions()}
    result, errors = clean(notebook, job.parameters)
    write_whole(job.partial.with_suffix(".stderr.txt"), errors)
    write_whole(job.result, json.dumps(result, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return len(errors.splitlines())


def reason_of(problem: Exception, job: Job) -> str:
    """The error in one line, by the name it had in the notebook."""
    kind, text = type(problem).__name__, str(problem)
    if kind == "PapermillExecutionError":
        kind, text = problem.ename, problem.evalue
    if kind == "CellTimeoutError":
        return f"took longer than {job.cell_seconds:.0f} s and was stopped"
    if kind == "DeadKernelError":
        return "the kernel died (out of memory, or killed from outside)"
    first = next(iter(text.strip().splitlines()), "")
    return first if isinstance(problem, Mistake) else f"{kind}: {first}"


def transport(own: Path) -> dict[str, Any]:
    """Sockets in a folder of their own: two kernels that share one collide, and TCP is open to other users."""
    if sys.platform == "win32" or len(str(own)) > SOCKET_ROOM:
        return {}
    from traitlets.config import Config

    return {"config": Config({"KernelManager": {"transport": "ipc", "ip": str(own / "k")}})}


def patch_channels() -> None:
    """Wait for messages in slices of two seconds: a wake-up of zmq that is lost then costs two, not the timeout."""
    from queue import Empty

    from jupyter_client.channels import AsyncZMQSocketChannel

    if hasattr(AsyncZMQSocketChannel, "in_one_piece"):
        return

    async def get_msg(self: Any, timeout: float | None = None) -> dict[str, Any]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            slice_ = 2.0 if end is None else min(2.0, end - time.monotonic())
            try:
                return await self.in_one_piece(max(slice_, 0))
            except Empty:
                if end is not None and time.monotonic() >= end:
                    raise
                await asyncio.sleep(0)

    AsyncZMQSocketChannel.in_one_piece = AsyncZMQSocketChannel.get_msg
    AsyncZMQSocketChannel.get_msg = get_msg


def as_format(path: Path) -> str:
    """papermill fills in braces that it finds in a path; these are meant."""
    return str(path).replace("{", "{{").replace("}", "}}")


def spent() -> float:
    """Processor seconds of all ended children, their children included."""
    if sys.platform == "win32":
        return 0.0
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
