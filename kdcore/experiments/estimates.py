"""How long what is left will take, from what finished runs of the same request took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from kdcore.experiments.store import Record


def remaining(runs: Iterable[str], finished: Sequence[Record]) -> float | None:
    """Seconds that these runs, ``"kd, seed 1"``, take one process; None where nothing like them is finished.

    A row takes what its finished runs took, a row without any what the others took on average. What a run has behind
    it, in a checkpoint, is not deducted.
    """
    runs, took = list(runs), _took(finished)
    if not runs:
        return 0.0
    if not took:
        return None
    typical = statistics.fmean(took.values())
    return sum(took.get(run.rpartition(", seed ")[0], typical) for run in runs)


def _took(finished: Sequence[Record]) -> dict[str, float]:
    """Mean seconds by row; those of interrupted runs, which count from the last start on, only where no others are."""
    done = [record for record in finished if record["status"] == "done" and _share(record) is not None]
    found: dict[str, list[float]] = {}
    for record in sorted(done, key=_interruptions):
        shares = found.setdefault(record["row"], [])
        if not (shares and _interruptions(record)):
            shares.append(_share(record) or 0.0)
    return {row: statistics.fmean(shares) for row, shares in found.items()}


def _interruptions(record: Record) -> int:
    return record["provenance"].get("resumed", 0)


def _share(record: Record) -> float | None:
    """What a run adds to the time of the company in which it was made."""
    seconds, company = record["provenance"].get("seconds"), record["provenance"].get("company", 1)
    return seconds / max(company, 1) if isinstance(seconds, int | float) else None


def about(seconds: float) -> str:
    """A time in words that do not say more than is known.

    Example:
        >>> [about(seconds) for seconds in (0.2, 40, 600, 9000)]
        ['1 s', '40 s', '10 min', '2.5 h']
    """
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
