"""Intervals that suppose no bell curve: what row and seed leave of a table's values, drawn anew.

The percentiles of a resampled mean are too narrow for a handful of seeds. Here all rows give what is left of their
values when row and seed are taken out, so that a table of sixteen rows has some fifty numbers to draw from, and each
draw is judged by its own spread, as a t statistic is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kdcore.reporting.blocks import layout
from kdcore.reporting.tables import PlainTable, ResultTable, plain_table

if TYPE_CHECKING:
    import numpy

DRAWS = 20_000
NONE = "–"


class Interval(NamedTuple):
    """Of a gain, the mean over paired seeds."""

    low: float
    high: float


def resampled(table: ResultTable, *, draws: int = DRAWS) -> dict[str, Interval]:
    """Bootstrap intervals of the gains of a table whose rows share one spread, at the table's level.

    The residuals of all rows that scatter alike are drawn with replacement, the model of rows and seeds is fitted to
    each draw, and the gain over its own standard error gives the quantiles. The draws are always the same.

    Returns:
        Row to interval, of the rows that the table compares by the shared spread; nothing for a table of one pair of
        rows, or of one seed.
    """
    import numpy

    common = table.noise.residual
    lines = {line.key: line for line in table.lines if not (line.is_teacher or line.stale) and len(line.values) > 1}
    if table.method != "pooled" or common is None or table.reference not in lines:
        return {}
    apart = {*common.still, *common.restless}
    rows = {key: line.values for key, line in lines.items() if key not in apart}
    compared = [key for key in rows if key != table.reference and lines[key].difference.low is not None]
    if table.reference not in rows or not compared:
        return {}
    design, values, owners = layout(rows)
    keep = numpy.eye(len(values)) - design @ numpy.linalg.pinv(design)  # what no effect of a row or a seed explains
    drawn = numpy.random.default_rng(0).choice(keep @ values, (draws, len(values)))
    spread = numpy.sqrt(((drawn @ keep) ** 2).sum(1) / common.freedom)
    tail, found = (1 - table.level) / 2, {}
    for key in compared:
        pair = lines[key].difference
        gains = drawn @ _contrast(key, table.reference, pair.seeds, owners)
        ratios = gains / (spread * math.sqrt(2 / len(pair.seeds)))
        least, most = numpy.quantile(ratios, [tail, 1 - tail])
        found[key] = Interval(pair.mean - float(most) * pair.error, pair.mean - float(least) * pair.error)
    return found


def _contrast(row: str, reference: str, seeds: Sequence[int], owners: Sequence[tuple[str, int]]) -> numpy.ndarray:
    """What each value counts in the mean difference of two rows."""
    import numpy

    sign = {row: 1.0, reference: -1.0}
    return numpy.array([sign.get(owner, 0.0) * (seed in seeds) / len(seeds) for owner, seed in owners])


def interval_table(table: ResultTable, *, caption: str = "", name: str = "tab-intervals") -> PlainTable:
    """Each row's gain with its t interval and its bootstrap interval beside each other.

    Args:
        table: whose rows are compared.
        caption: what stands before how the table was made.
        name: see `kdcore.reporting.plain_table`.
    """
    found, unit = resampled(table), f", {table.metric.gap}" if table.metric.gap else ""
    show = lambda value: table.metric.show(value, table.decimals, signed=True)
    span = lambda low, high: NONE if low is None else f"{show(low)} to {show(high)}"
    header = ("row", f"gain{unit}", f"{100 * table.level:g} % t interval", "bootstrap interval")
    rows = [
        (table.label(line.key), show(pair.mean), span(pair.low, pair.high), span(*found.get(line.key, (None, None))))
        for line in table.lines
        if (pair := line.difference) and pair.mean is not None
    ]
    about = (
        f"{DRAWS:,} draws of what row and seed leave of a value, each over its own spread; a dash where a row is not "
        "compared by the spread that the rows share."
    )
    caption = f"{caption.rstrip()} Gains over {table.label(table.reference)}. {table.made}.".strip()
    return plain_table(header, rows, caption=caption, name=name, notes=(about,))


def moved(table: ResultTable) -> str:
    """By how much an end of an interval moves at most when no bell curve is supposed, for a sentence."""
    found, pairs = resampled(table), {line.key: line.difference for line in table.lines if line.difference}
    ends = [abs(a - b) for key, one in found.items() for a, b in zip(one, (pairs[key].low, pairs[key].high))]
    if not ends:
        return "not known, since no two rows share a spread"
    return f"{table.metric.show(max(ends), 2)} {table.metric.gap} at most".replace("  ", " ")
