"""One spread for all rows of a table whose rows share their seeds: what is left when row and seed are taken out.

With the same initial weights and batches a lucky seed is lucky for every row, and a row's own mean says nothing about
chance. Three seeds of one pair leave two degrees of freedom for its difference, too few to tell anything after a
correction for many rows; sixteen rows together leave thirty. The price is an assumption: that rows scatter alike. Rows
that clearly scatter more than the others are therefore left out, and have their own spread alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from kdcore.reporting.statistics import Pooled, Seeds, pool

if TYPE_CHECKING:
    import numpy

RARE = 0.01  # how often one of many rows that scatter alike may be taken for restless
FEWEST_ROWS = 5  # below which there are too few others to be measured by


def residual(rows: Mapping[str, Seeds]) -> Pooled | None:
    """The standard deviation of one value about the sum of its row's and its seed's effect.

    Least squares over all rows that vary; rows need not have the same seeds. The difference of two rows over `n`
    common seeds then has the standard error ``std * sqrt(2 / n)``.

    Args:
        rows: seed to value of each row; a row without spread is left out and named, as in `pool`, and so is one that
            scatters more than the others by more than chance allows.

    Returns:
        None where nothing is left to estimate it from: one row, or one seed.

    Example:
        >>> found = residual({"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {0: 3.0, 1: 2.0, 2: 7.0}})
        >>> round(found.std, 6), found.freedom
        (1.414214, 2)
    """
    moving = pool({name: list(values.values()) for name, values in rows.items()})
    if moving is None:
        return None
    used = {name: values for name, values in rows.items() if len(values) > 1 and name not in moving.still}
    found = _fitted(used)
    restless = _restless(used, found)
    if restless:
        found = _fitted({name: values for name, values in used.items() if name not in restless})
    if found is None:
        return None
    std = math.sqrt(math.fsum(found.squares.values()) / found.freedom)
    return Pooled(std, found.freedom, moving.still, restless)


class _Fit(NamedTuple):
    """Sums of squares that row and seed leave, by row, and the degrees of freedom of them all."""

    squares: dict[str, float]
    freedom: int


def _fitted(rows: Mapping[str, Seeds]) -> _Fit | None:
    import numpy

    design, values, owners = layout(rows)
    effects, _, rank, _ = numpy.linalg.lstsq(design, values, rcond=None)
    freedom, left = len(values) - int(rank), values - design @ effects
    if freedom < 1 or numpy.abs(left).max() <= 1e-12 * numpy.abs(values).max():
        return None
    squares = {row: float((left[[owner == row for owner, _ in owners]] ** 2).sum()) for row in rows}
    return _Fit(squares, freedom)


def layout(rows: Mapping[str, Seeds]) -> tuple[numpy.ndarray, numpy.ndarray, list[tuple[str, int]]]:
    """Every value as its row's effect plus its seed's: the design matrix, the values, and whose each of them is."""
    import numpy

    owners = [(row, seed) for row, values in rows.items() for seed in values]
    places = {one: place for place, one in enumerate(dict.fromkeys((*rows, *(seed for _, seed in owners))))}
    design = numpy.zeros((len(owners), len(places)))
    for number, both in enumerate(owners):
        design[number, [places[one] for one in both]] = 1.0
    return design, numpy.array([rows[row][seed] for row, seed in owners]), owners


def _restless(rows: Mapping[str, Seeds], found: _Fit | None) -> tuple[str, ...]:
    """The rows that scatter more than the others, the wildest first.

    One after the other the row with the largest sum of squares is held against what is left, up to a third of all
    rows; those up to the last that no chance explains are restless, so that one wild row cannot hide behind another.
    """
    kept, gone, last = dict(rows), [], 0
    while found and len(kept) >= FEWEST_ROWS and len(gone) < len(rows) // 3:
        worst = max(found.squares, key=found.squares.__getitem__)
        gone.append(worst)
        last = len(gone) if _wild(worst, found, kept) else last
        del kept[worst]
        found = _fitted(kept)
    return tuple(gone[:last])


def _wild(row: str, found: _Fit, rows: Mapping[str, Seeds]) -> bool:
    """Cochran's test of the largest variance, at 1 % for all rows."""
    from scipy.stats import f

    several = len(rows)
    own = (len(rows[row]) - 1) * (several - 1) / several  # the part of the freedom that is the row's
    rest = found.freedom - own
    others = math.fsum(found.squares.values()) - found.squares[row]
    ratio = found.squares[row] / own * rest / others if others > 0 else math.inf
    return bool(ratio > f.isf(RARE / several, own, rest))
