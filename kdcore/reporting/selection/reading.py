"""One record: where it comes from, on what it ran, what it measured, why it failed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]
ORIGINS = {"published": "committed record", "local": "this build"}


def origin(record: Record) -> str:
    """Where a record comes from, in the words of the book."""
    return ORIGINS.get(record.get("origin", "local"), str(record.get("origin")))


def device_of(record: Record) -> str:
    """The kind of device of a run: ``cpu``, ``cuda``; ``device not recorded`` where it does not say."""
    device = record.get("device") or record.get("provenance", {}).get("device")
    return str(device).split(":")[0] if device else "device not recorded"


def value_of(record: Record, metric: str, which: str = "last") -> float:
    """The number that a record holds under a metric.

    Args:
        record: a finished run.
        metric: a name under `which`, its parts joined by dots where results are nested; ``networks.<role>.<name>``
            is a delivered network's.
        which: ``last``, ``best`` or ``mean_of_last_ten``.

    Raises:
        KeyError: the record has no such number.
    """
    at: Any = record.get("networks" if metric.startswith("networks.") else which) or {}
    name = metric.removeprefix("networks.")
    if isinstance(at, Mapping) and name in at:
        return float(at[name])
    for part in name.split("."):
        if not isinstance(at, Mapping) or part not in at:
            raise KeyError(f"the record has no {metric} of the {which.replace('_', ' ')} epoch")
        at = at[part]
    return float(at)


def finite_value(record: Record, metric: str, which: str) -> float:
    """As `value_of`; a failed run raises its reason, a value that is no number itself."""
    if record["status"] != "done":
        raise ValueError(failure_text(record))
    value = value_of(record, metric, which)
    if not math.isfinite(value):
        raise ValueError(f"{metric} is {value}")
    return value


def failure_text(record: Record) -> str:
    """Why a run failed and where, in one line."""
    failure = record.get("failure") or {}
    where = [f"{name} {failure[name]}" for name in ("stage", "step", "term") if failure.get(name) is not None]
    reason = failure.get("reason") or "no reason recorded"
    return f"{reason} ({', '.join(where)})" if where else str(reason)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def content(record: Record) -> str:
    """A record without what may differ between two runs of one hash."""
    return canonical({name: value for name, value in record.items() if name not in ("provenance", "origin")})
