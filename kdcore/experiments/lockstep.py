"""Trains claimed runs in company and records each the moment it ends."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from kdcore.engine import Run, fit, promise
from kdcore.experiments.hashing import canonical
from kdcore.experiments.inputs import Planned
from kdcore.experiments.narration import Narrator
from kdcore.experiments.provenance import now, peak_memory, surroundings
from kdcore.experiments.store import Store
from kdcore.experiments.types import Training


class Stopped(Exception):
    """The budget is spent; everything unfinished is saved."""


class Company:
    """Makes runs together, and gives each a record of its own.

    Args:
        store: where records and checkpoints go.
        narrator: says how far things are.
        should_stop: asked before every step.
        save_every: seconds between checkpoints.
    """

    def __init__(self, store: Store, narrator: Narrator, should_stop: Callable[[], bool], save_every: float = 30.0):
        self.store, self.narrator, self.should_stop, self.save_every = store, narrator, should_stop, save_every

    def run(self, planned: Sequence[Planned]) -> None:
        """Measure or train all of them.

        Raises:
            Stopped: the budget was spent before the last was done.
        """
        self.started, self.clock, self.work = now(), time.monotonic(), time.process_time()
        trainings: dict[int, tuple[Planned, Training]] = {}
        self.size = len(planned)
        for one in planned:
            if self.should_stop():
                raise Stopped
            made = one.run.measure()(**one.run.arguments(), **one.settings)
            if isinstance(made, Training):
                made.run.name = f"{one.run.experiment}: {one.run.name}"
                made.run.checkpoint = self.store.path(one.run.experiment, one.mark, "checkpoint")
                trainings[id(made.run)] = one, made
            else:
                self.record(one, {"last": made})
        if trainings:
            self._train(trainings)
            gc.collect()  # finished networks hang together in cycles; the collector would find them gigabytes later

    def _train(self, trainings: dict[int, tuple[Planned, Training]]) -> None:
        def finished(run: Run) -> None:
            one, training = trainings.pop(id(run))
            if run.failed:
                self.record(one, {}, run)
            else:
                self.record(one, training.finish(run), run)

        names = ", ".join(dict.fromkeys(one.run.row.key for one, _ in trainings.values()))
        with self.narrator.bar(names[:40]) as progress:
            runs = [training.run for _, training in trainings.values()]
            options = {"every_seconds": self.save_every, "should_stop": self.should_stop}
            if not fit(runs, finished=finished, progress=progress, **options):
                raise Stopped

    def record(self, one: Planned, parts: Mapping[str, Any], run: Run | None = None) -> None:
        """Put a run's end into the store, a failure with its reason."""
        failure = run.failed if run else None
        made = {
            **one.head,
            "promise": promise(one.run.recipe, one.run.device),
            "provenance": self._provenance(one, run),
        }
        if failure is None and (bad := not_finite(parts)):
            failure = {"stage": "result", "step": None, "term": bad, "reason": f"{bad} is not finite"}
        if failure is not None:
            record = {**made, "status": "failed", "failure": failure}
        else:
            record = {**made, "status": "done", **parts}
            if run is not None and one.run.row.keep:
                path = self.store.path(one.run.experiment, one.mark, "safetensors")
                kept = next(iter(run.scheme.delivers().values()))
                record["weights"] = save_weights(kept, path, half=one.run.row.half)
        record = json.loads(canonical(record))
        self.store.write(record)
        self.narrator.recorded(record)

    def _provenance(self, one: Planned, run: Run | None) -> dict[str, Any]:
        """All that may differ between two runs of one hash."""
        return {
            **surroundings(),
            "device_name": device_name(one.run.device),
            "started": self.started,
            "finished": now(),
            "seconds": time.monotonic() - self.clock,
            "core_seconds": time.process_time() - self.work,
            "company": self.size,
            "resumed": run.resumed if run else 0,
            "peak_memory": peak_memory(),
        }


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def not_finite(value: Any, name: str = "") -> str | None:
    """The name of the first number that is none, None where all are."""
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return name or "the result"
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (not_finite(part, f"{name}.{key}" if name else str(key)) for key, part in items)
    return next((bad for bad in found if bad), None)


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, kinds, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def save_weights(network: torch.nn.Module, path: Path, *, half: bool = False) -> str:
    """Write a network beside its record, whole or not at all; gives its digest.

    Args:
        network: what is kept.
        path: where.
        half: store in half precision what is larger; whoever loads it gets the rounded values.
    """
    from safetensors.torch import save

    weights = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    if half:
        weights = {name: halved(name, value) for name, value in weights.items()}
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            file.write(save(weights))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return weights_digest(weights)


def halved(name: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor in half precision, one of whole numbers as it is.

    Raises:
        ValueError: a value is too large for half precision.
    """
    if not value.is_floating_point():
        return value
    found = value.half()
    if not found.isfinite().all():
        raise ValueError(f"{name} is too large to be kept in half precision, its largest is {value.abs().max():g}")
    return found
