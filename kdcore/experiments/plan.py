"""Which runs were asked for: written by `run`, read by `status` without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdcore.experiments.provenance import now
from kdcore.experiments.store import Record, Store, write_whole

log = logging.getLogger(__name__)
Plan = dict[str, dict[str, Any]]  # "quick on cpu" -> {"when": ..., "runs": {"kd, seed 0": hash}}


def heading(profile: str, device: str, variant: Mapping[str, Any]) -> str:
    """What one request's runs have in common.

    Example:
        >>> heading("quick", "cpu", {"kd.temperature": 2})
        'quick on cpu, kd.temperature=2'
    """
    return ", ".join([f"{profile} on {device}", *(f"{name}={value}" for name, value in sorted(variant.items()))])


def load(store: Store, experiment: str) -> Plan:
    """The plan of an experiment; one that cannot be read counts as none and is written anew by the next run."""
    path = _path(store, experiment)
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): {"when": part["when"], "runs": dict(part["runs"])} for name, part in plan.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        log.warning("%s is no plan and is left aside", path)
        return {}


def add(store: Store, experiment: str, name: str, runs: Mapping[str, str]) -> None:
    """Join runs, ``"row, seed 0": hash``, to a plan. Two processes may do so at once."""
    from filelock import FileLock

    path = _path(store, experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        plan = load(store, experiment)
        before = plan.get(name, {}).get("runs", {})
        if dict(runs).items() <= before.items():
            return
        plan[name] = {"when": now(), "runs": {**before, **runs}}
        write_whole(path, json.dumps(plan, indent=1) + "\n")


def wanted(plan: Plan, profile: str | None = None) -> set[str]:
    """Hashes that plain requests asked for: those without changed settings."""
    parts = [part for name, part in plan.items() if "=" not in name and profile in (None, name.split(" on ")[0])]
    return {mark for part in parts for mark in part["runs"].values()}


@dataclass(frozen=True)
class Standing:
    """How far a request has come: numbers of runs."""

    name: str
    asked: int
    done: int
    failed: int
    running: int
    begun: int

    @property
    def missing(self) -> int:
        return self.asked - self.done - self.failed


def standings(store: Store, experiment: str) -> list[Standing]:
    """How far each request of an experiment has come."""
    status = {record["hash"]: record["status"] for record in store.read(experiment)}
    return [
        _standing(store, experiment, name, part["runs"].values(), status)
        for name, part in load(store, experiment).items()
    ]


def _standing(store: Store, experiment: str, name: str, runs: Iterable[str], status: Mapping[str, str]) -> Standing:
    marks = list(runs)
    open_ = [mark for mark in marks if mark not in status]
    running = [mark for mark in open_ if store.claimed(experiment, mark)]
    begun = [mark for mark in open_ if mark not in running and store.path(experiment, mark, "checkpoint").exists()]
    states = [status.get(mark) for mark in marks]
    return Standing(name, len(marks), states.count("done"), states.count("failed"), len(running), len(begun))


def other_records(store: Store, experiment: str) -> list[Record]:
    """Records that no request asks for any more: of an older revision, or of settings that have changed since."""
    asked = {mark for part in load(store, experiment).values() for mark in part["runs"].values()}
    return [record for record in store.read(experiment) if record["hash"] not in asked]


def _path(store: Store, experiment: str) -> Path:
    return store.folder / experiment / "plan.json"
