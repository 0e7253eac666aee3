"""What decides a run's numbers, and the hash over it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

IDENTITY = ("measure", "settings", "recipe", "seed", "profile", "device", "inputs", "revision")
FREE = ("provenance", "origin")  # what two runs of one hash may differ in, and what a reader adds


def canonical(value: Any) -> str:
    """One text for one value: sorted names, no spaces, nothing that JSON cannot hold.

    Example:
        >>> canonical({"b": (1, 2.0), "a": None})
        '{"a":null,"b":[1,2.0]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a plain value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def hash_of(record: Mapping[str, Any]) -> str:
    """The hash of the run that a record or a plan describes.

    It holds the measure and its settings (networks and methods among them), the recipe (precision, threads, eager or
    compiled), the seed, the kind of device, the content of the data, the weights of teachers, and the revisions of
    step, scheme, methods and networks. Versions and commit are recorded, not hashed.
    """
    return digest({name: record[name] for name in IDENTITY})


def results(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what may differ between two runs of one hash."""
    return {name: value for name, value in record.items() if name not in FREE}


def same_run(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether two records tell of the same run to the bit."""
    return canonical(results(one)) == canonical(results(two))
