"""Lockstep: runs that stand at the same point of the data share what is made there, and know nothing of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from kdcore.engine import checkpoint
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
    have passed (inside an epoch when twice that has), and removes it once `finished` has taken the result.

    Args:
        runs: the runs, each with its own scheme.
        every_seconds: the time between checkpoints.
        should_stop: asked before every step; when it says so, all unfinished runs are saved and `fit` returns.
        finished: called with each run the moment it is done or has failed.
        progress: called with the steps done and the steps in all, now and then.

    Returns:
        Whether every run came to its end (a failed run has).
    """
    for run in runs:
        _resume(run)
    total, saved, told = sum(run.remaining for run in runs), time.monotonic(), 0.0
    try:
        while unfinished := [run for run in runs if run.active]:
            if should_stop and should_stop():
                _save(unfinished)
                return False
            _tick(unfinished, finished)
            now = time.monotonic()
            if now - saved > every_seconds * (1 if _at_epoch(unfinished) else 2):
                _save([run for run in unfinished if run.active])
                saved = time.monotonic()
            if progress and now - told > 0.2:
                progress(total - sum(run.remaining for run in runs), total)
                told = now
    except KeyboardInterrupt:
        _save([run for run in runs if run.active])
        raise
    if progress:
        progress(total, total)
    return True


def _tick(unfinished: list[Run], finished: Callable[[Run], None] | None) -> None:
    """One step of those that are furthest behind; what is made for one point of the data is made once."""
    behind = min(run.step for run in unfinished)
    memos: dict[Hashable, dict[Hashable, Any]] = {}
    for run in unfinished:
        if run.step > behind:
            continue
        point = (id(run.data), run.seed, run.clock.steps_per_epoch, run.batch_size, run.recipe.precision)
        try:
            run.advance(memos.setdefault(point, {}))
        except ALONE as error:
            log.warning("%s failed and is recorded so; the others go on: %s", run.name, error)
            run.fail(error)
        if not run.active:
            if finished:
                finished(run)
            if run.checkpoint:
                run.checkpoint.unlink(missing_ok=True)


def _at_epoch(runs: list[Run]) -> bool:
    return all(run.step % run.clock.steps_per_epoch == 0 for run in runs if run.active)


def _save(runs: list[Run]) -> None:
    for run in runs:
        if run.checkpoint:
            checkpoint.save(run.state(), run.checkpoint)


def _resume(run: Run) -> None:
    """Start from the checkpoint; a damaged one is set aside, said in one line, and the run begins anew."""
    if not (run.checkpoint and run.checkpoint.exists()):
        return
    before = {name: value.clone() for name, value in run.scheme.state_dict().items()}
    try:
        run.restore(checkpoint.load(run.checkpoint, run.data.device))
    except checkpoint.DamagedCheckpoint as error:
        log.warning("%s starts anew: %s", run.name, error)
        run.checkpoint.rename(run.checkpoint.with_suffix(".damaged"))
        run.scheme.load_state_dict(before)
        run._enter(0, 0)
