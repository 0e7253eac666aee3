"""Runs as Ray tasks: one GPU or so many cores each, on whatever machines Ray has.

Kernel locks do not cross machines, so nothing here relies on a shared folder: this process claims the runs in its own
store, sends each task what it needs, and puts into the store what comes back. Ray makes a task again whose worker or
machine died; a run is recorded once, here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kdcore.entry import Refusal
from kdcore.experiments.executors.pieces import Made, make, piece_of, put_down

if TYPE_CHECKING:
    from kdcore.experiments.inputs import Planned
    from kdcore.experiments.requests import Wanted
    from kdcore.experiments.running import Runner

LOOK = 0.5  # seconds between looks at what is ready
ATTEMPTS = 4  # at a task whose worker dies
RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU"}


def needs_of(run: Wanted) -> dict[str, int]:
    """What a task takes of a machine."""
    if run.device not in ("cpu", "cuda"):
        raise Refusal(
            f"--executor ray gives each task a GPU of its own, --device must be cuda or cpu, got {run.device}"
        )
    return {"num_cpus": 1, "num_gpus": 1} if run.device == "cuda" else {"num_cpus": run.recipe.threads}


class Cluster:
    """Ray, while it is entered: the cluster of ``RAY_ADDRESS``, else one that runs here, else one of its own."""

    device = "cpu"  # of this process, which may be a machine without a GPU

    def __init__(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's own future default
        try:
            import ray
        except ModuleNotFoundError as error:
            raise Refusal("--executor ray needs Ray, which is not installed here: pip install ray") from error
        self.ray: Any = ray

    def __enter__(self) -> Cluster:
        self.ours = not self.ray.is_initialized()
        if self.ours:
            self._start()
        return self

    def _start(self) -> None:
        heard = signal.getsignal(signal.SIGTERM)
        try:
            self.ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
        except Exception as error:  # Ray raises whatever its processes happened to meet
            self.ray.shutdown()
            reason = str(error).strip().splitlines()[0]
            raise Refusal(f"Ray could not be reached or started ({type(error).__name__}: {reason})") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, heard)  # Ray takes it for itself

    def __exit__(self, *error: object) -> None:
        if self.ours:
            self.ray.shutdown()

    def attempt(self, runner: Runner, groups: list[list[Planned]]) -> list[Planned]:
        """Send out all that can be claimed and see it come back; gives back what others are at."""
        from kdcore.experiments.lockstep import Stopped

        left: list[Planned] = []
        with ExitStack() as claims:
            under_way = {}
            for group in self._pieces(groups):
                mine, others = claims.enter_context(runner.held(group))
                left += others
                if mine:
                    under_way[self._send(mine, runner)] = mine
            stopped = False
            for task, mine in self._ready(under_way, runner):
                stopped |= self._take_home(task, mine, runner)
        if stopped:
            raise Stopped
        return left

    def _pieces(self, groups: list[list[Planned]]) -> Iterator[list[Planned]]:
        """Groups by experiment, cut where there is room for more tasks at once than there are groups."""
        apart: dict[tuple[int, str], list[Planned]] = {}
        for number, group in enumerate(groups):
            for one in group:
                apart.setdefault((number, one.run.experiment), []).append(one)
        for group in apart.values():
            count = min(len(group), max(1, self._room(group[0].run) // len(apart)))
            yield from (group[start::count] for start in range(count))

    def _room(self, run: Wanted) -> int:
        """How many tasks like this one fit the cluster at once, as it is now."""
        there, needs = self.ray.cluster_resources(), needs_of(run)
        room = min(int(there.get(RESOURCES[name], 0) // amount) for name, amount in needs.items())
        if not room:
            said = ", ".join(f"{amount} {RESOURCES[name]}" for name, amount in needs.items())
            raise Refusal(f"this Ray cluster does not have the {said} that a task needs")
        return room

    def _send(self, mine: list[Planned], runner: Runner) -> Any:
        until = None if runner.end is None else time.time() + runner.end - time.monotonic()
        options = {"until": until, "retry": runner.retry, "save_every": runner.company.save_every}
        piece = piece_of(mine, runner.request, runner.store, **options)
        name = f"kdcore {mine[0].run.experiment}, seed {mine[0].run.seed}"
        task = self.ray.remote(make).options(max_retries=ATTEMPTS - 1, name=name, **needs_of(mine[0].run))
        return task.remote(piece)

    def _ready(self, under_way: dict[Any, list[Planned]], runner: Runner) -> Iterator[tuple[Any, list[Planned]]]:
        """Tasks as they end. The budget ends them from within; who is told to stop otherwise interrupts them."""
        interrupted = False
        while under_way:
            ready, _ = self.ray.wait(list(under_way), timeout=LOOK)
            yield from ((task, under_way.pop(task)) for task in ready)
            late = runner.end is not None and time.monotonic() >= runner.end
            if runner.should_stop() and not late and not interrupted:
                interrupted = True
                for task in under_way:
                    self.ray.cancel(task)

    def _take_home(self, task: Any, mine: list[Planned], runner: Runner) -> bool:
        """Put into the store what came of a task; whether the budget ended it."""
        try:
            made: Made = self.ray.get(task)
        except self.ray.exceptions.TaskCancelledError:
            return True
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Refusal):
                raise Refusal(str(error.cause)) from error
            raise
        except self.ray.exceptions.RayError as error:
            names = ", ".join(one.run.name for one in mine)
            said = f"{names}: Ray has given up after {ATTEMPTS} attempts ({type(error).__name__})"
            runner.narrator.line(f"{said}, the same command tries again")
            return False
        put_down(made.files, runner.store)
        for one in mine:
            if record := runner.store.get(one.run.experiment, one.mark):
                runner.store.path(one.run.experiment, one.mark, "checkpoint").unlink(missing_ok=True)
                runner.narrator.recorded(record)
        return made.stopped
