"""What rules read out of records: values by seed, and paired gaps with their intervals. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdcore.reporting.statistics import FEWEST, Pooled, paired_difference

Records = Sequence[Mapping[str, Any]]


def values(records: Records, row: str, *names: str) -> dict[int, float]:
    """One of a row's last numbers, by seed; `names` lead to it.

    Raises:
        ValueError: the row has no record.

    Example:
        >>> values([{"row": "kd", "seed": 0, "last": {"norm": {"4": 0.5}}}], "kd", "norm", "4")
        {0: 0.5}
    """
    found = {}
    for record in records:
        if record["row"] == row:
            value = record["last"]
            for name in names:
                value = value[name]
            found[record["seed"]] = value
    if not found:
        raise ValueError(f"a record of row {row} is needed, got those of {sorted({r['row'] for r in records})}")
    return found


class Gap(NamedTuple):
    """How far one thing lies above another: the mean over common seeds, and where it lies by their spread.

    Fewer than three seeds leave everything open, unless many rows tell the spread together; then one does.
    """

    mean: float
    low: float
    high: float
    seeds: int
    level: float

    @property
    def above(self) -> bool:
        return self.low > 0

    @property
    def below(self) -> bool:
        return self.high < 0

    def __str__(self) -> str:
        """In points of a hundred, as accuracies are told."""
        mean = f"{100 * self.mean:+.1f} points"
        if math.isinf(self.low):
            return f"{mean} over {self.seeds} seeds, too few to tell"
        return f"{mean} ({100 * self.low:+.1f} to {100 * self.high:+.1f} at {100 * self.level:g} %, {self.seeds} seeds)"


def gap(
    upper: Mapping[int, float], lower: Mapping[int, float], *, level: float = 0.95, pooled: Pooled | None = None
) -> Gap:
    """The paired difference of two rows with its interval, from their seeds alone or from a `pooled` spread.

    Example:
        >>> gap({0: 0.9, 1: 0.92, 2: 0.91}, {0: 0.8, 1: 0.82, 2: 0.81}).above
        True
        >>> str(gap({0: 0.9, 1: 0.92}, {0: 0.8, 1: 0.82}))
        '+10.0 points over 2 seeds, too few to tell'
    """
    found = paired_difference(upper, lower, level=level, pooled=pooled)
    if not found.seeds:
        raise ValueError(f"the rows must share a seed, got {sorted(upper)} and {sorted(lower)}")
    low, high = found.low, found.high
    if len(found.seeds) < (2 if pooled else FEWEST):
        low, high = -math.inf, math.inf
    elif low is None:  # the same difference for every seed
        low = high = found.mean
    return Gap(found.mean, low, high, len(found.seeds), level)
