"""Lockstep: runs that stand at the same point of the data share what is made there, and know nothing of it."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch

from kdcore.engine import checkpoint
from kdcore.engine.machine import begin_step, prepare
from kdcore.engine.optimise import step_together
from kdcore.engine.run import Diverged, Run

log = logging.getLogger(__name__)
ALONE = (Diverged, torch.linalg.LinAlgError, torch.OutOfMemoryError, MemoryError)  # a failure that stays alone


def fit(
    runs: Sequence[Run],
    *,
    every_seconds: float = 30.0,
    should_stop: Callable[[], bool] | None = None,
    finished: Callable[[Run], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Train all runs to their end; neither their order nor their company changes a result.

    A run with a checkpoint starts from it if it is there, saves to it at the end of an epoch when `every_seconds`
    have passed (inside an epoch when twice that has), and removes it once `finished` has taken the result. Whatever
    else ends `fit`, an error or Ctrl-C, the unfinished runs are saved first; Ctrl-C lets the step under way end, a
    second one does not, and a run that is in the middle of a step keeps its last checkpoint.

    Args:
        runs: the runs, each with its own scheme.
        every_seconds: the time between checkpoints.
        should_stop: asked before every step; when it says so, all unfinished runs are saved and `fit` returns.
        finished: called with each run the moment it is done or has failed.
        progress: called with the steps done and the steps in all, now and then.

    Returns:
        Whether every run came to its end (a failed run has).

    Raises:
        ValueError: two runs train the same network.
    """
    _refuse_shared(runs)
    for run in runs:
        prepare(run.recipe, run.data.device)
        _resume(run)
    total, saved, told = sum(run.remaining for run in runs), time.monotonic(), 0.0
    with _interrupted_between_steps() as interrupted:
        try:
            while unfinished := [run for run in runs if run.active]:
                if interrupted:
                    raise KeyboardInterrupt
                if should_stop and should_stop():
                    _save(unfinished)
                    return False
                _tick(unfinished, finished)
                now = time.monotonic()
                if now - saved > every_seconds and (_at_epoch(unfinished) or now - saved > 2 * every_seconds):
                    _save(unfinished)
                    saved = time.monotonic()
                if progress and now - told > 0.2:
                    progress(total - sum(run.remaining for run in runs), total)
                    told = now
        except BaseException:
            _save(runs)
            raise
    if progress:
        progress(total, total)
    return True


def _tick(unfinished: list[Run], finished: Callable[[Run], None] | None) -> None:
    """One step of those that are furthest behind; what is made for one point of the data is made once."""
    behind = min(run.step for run in unfinished)
    level = [run for run in unfinished if run.step == behind]
    memos: dict[Hashable, dict[Hashable, Any]] = {}
    for device in {run.data.device for run in level}:
        begin_step([run.recipe for run in level], device)
    joined = [run for run in level if _moves_with_others(run)]
    for run in level:
        memo = memos.setdefault(_point(run), {})
        _try(run, lambda run=run, memo=memo: run.reckon(memo) if run in joined else run.advance(memo), finished)
    joined = [run for run in joined if run.active]
    step_together(run.waiting for run in joined if run.waiting is not None)
    for run in joined:
        run.waiting = None
        _try(run, run.settle, finished)


def _moves_with_others(run: Run) -> bool:
    """On an accelerator a call costs more than its work, so all optimisers at one point move in one."""
    return run.data.device.type != "cpu"


def _point(run: Run) -> Hashable:
    """What runs have in common that can share: the very batch, and the arithmetic in which it is answered."""
    recipe = run.recipe
    return id(run.data), run.seed, run.clock.steps_per_epoch, run.batch_size, recipe.precision, recipe.threads


def _try(run: Run, part: Callable[[], None], finished: Callable[[Run], None] | None) -> None:
    """A part of a run's step; a failure is the run's own, and whoever came to an end is told of."""
    if torch.get_num_threads() != run.recipe.threads:
        torch.set_num_threads(run.recipe.threads)
    try:
        part()
    except Exception as error:
        if not _stays_alone(error):
            raise
        log.warning("%s failed and is recorded so; the others go on: %s", run.name, error)
        run.fail(error)
    if not run.active:
        if finished:
            finished(run)
        if run.checkpoint:
            checkpoint.remove(run.checkpoint)


def _stays_alone(error: Exception) -> bool:
    """Whether an error says something about this run, and not that the code is wrong.

    A CPU that has no memory left says so in a plain RuntimeError.
    """
    return isinstance(error, ALONE) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _refuse_shared(runs: Sequence[Run]) -> None:
    owners: dict[int, Run] = {}
    for run in runs:
        modules = [module for stage in run.stages for update in stage.updates for module in update.trains]
        for parameter in {id(parameter) for module in modules for parameter in module.parameters()}:
            if owners.setdefault(parameter, run) is not run:
                raise ValueError(f"{owners[parameter].name} and {run.name} train the same network")


@contextlib.contextmanager
def _interrupted_between_steps() -> Iterator[list[int]]:
    """A list that Ctrl-C fills where it would raise; a second one raises. A handler of the caller's own is left."""
    heard: list[int] = []

    def hear(number: int, _: Any) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield heard
        return
    signal.signal(signal.SIGINT, hear)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if heard:
        raise KeyboardInterrupt


def _at_epoch(runs: list[Run]) -> bool:
    return all(run.step % run.clock.steps_per_epoch == 0 for run in runs if run.active)


def _save(runs: Sequence[Run]) -> None:
    for run in runs:
        if run.checkpoint and run.active and run.whole:
            checkpoint.save(run.state(), run.checkpoint)


def _resume(run: Run) -> None:
    """Start from the checkpoint; a damaged one is set aside, said in one line, and the run begins anew."""
    if not (run.checkpoint and run.checkpoint.exists()):
        return
    before = {name: value.clone() for name, value in run.scheme.state_dict().items()}
    try:
        run.restore(checkpoint.load(run.checkpoint, run.data.device))
    except checkpoint.DamagedCheckpoint as error:
        aside = run.checkpoint.with_name(f"{run.checkpoint.name}.damaged")
        log.warning("%s starts anew: %s; it is kept as %s", run.name, error, aside.name)
        run.checkpoint.replace(aside)
        run.scheme.load_state_dict(before)
        run._enter(0, 0)
