"""Which runs were asked for: written by `run`, read by `status` without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdcore.experiments.estimates import remaining
from kdcore.experiments.provenance import now
from kdcore.experiments.store import Record, Store, write_whole

log = logging.getLogger(__name__)
# "quick on cpu" -> {"when": ..., "runs": {"kd, seed 0": hash}}; no hash yet where a teacher is still to be trained
Plan = dict[str, dict[str, Any]]


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
        return {str(name): {"when": part["when"], "runs": _runs(part["runs"])} for name, part in plan.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        log.warning("%s is no plan and is left aside", path)
        return {}


def _runs(said: Any) -> dict[str, str | None]:
    """Runs with their hashes; anything else, which might lead out of the store as a file's name, is left out."""
    runs = dict(said)
    return {str(run): mark for run, mark in runs.items() if mark is None or (isinstance(mark, str) and mark.isalnum())}


def add(store: Store, experiment: str, name: str, runs: Mapping[str, str | None]) -> None:
    """Join runs, ``"row, seed 0": hash``, to a plan; a hash that is known stays. Two processes may do so at once."""
    from filelock import FileLock

    path = _path(store, experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        plan = load(store, experiment)
        before = plan.get(name, {}).get("runs", {})
        joined = {**before, **{run: mark or before.get(run) for run, mark in runs.items()}}
        if joined == before:
            return
        plan[name] = {"when": now(), "runs": joined}
        write_whole(path, json.dumps(plan, indent=1) + "\n")


def wanted(plan: Plan, profile: str | None = None) -> set[str]:
    """Hashes that plain requests asked for: those without changed settings."""
    parts = [part for name, part in plan.items() if "=" not in name and profile in (None, name.split(" on ")[0])]
    return {mark for part in parts for mark in part["runs"].values() if mark}


@dataclass(frozen=True)
class Standing:
    """How far a request has come: numbers of runs, and the seconds that the rest takes one process (None: no idea)."""

    name: str
    asked: int
    done: int
    failed: int
    running: int
    begun: int
    seconds: float | None = None

    @property
    def missing(self) -> int:
        return self.asked - self.done - self.failed


def standings(store: Store, experiment: str) -> list[Standing]:
    """How far each request of an experiment has come."""
    records = {record["hash"]: record for record in store.read(experiment)}
    parts = load(store, experiment).items()
    return [_standing(store, experiment, name, part["runs"], records) for name, part in parts]


def _standing(
    store: Store, experiment: str, name: str, runs: Mapping[str, str | None], records: Mapping[str, Record]
) -> Standing:
    there = [records[mark] for mark in runs.values() if mark in records]
    open_ = {run: mark for run, mark in runs.items() if mark not in records}
    marks = [mark for mark in open_.values() if mark]
    running = [mark for mark in marks if store.claimed(experiment, mark)]
    begun = [mark for mark in marks if mark not in running and store.path(experiment, mark, "checkpoint").exists()]
    states = [record["status"] for record in there]
    seconds = remaining(open_, there)
    return Standing(name, len(runs), states.count("done"), states.count("failed"), len(running), len(begun), seconds)


def other_records(store: Store, experiment: str) -> list[Record]:
    """Records that no request asks for any more: of an older revision, or of settings that have changed since."""
    asked = {mark for part in load(store, experiment).values() for mark in part["runs"].values()}
    return [record for record in store.read(experiment) if record["hash"] not in asked]


def _path(store: Store, experiment: str) -> Path:
    return store.folder / experiment / "plan.json"
