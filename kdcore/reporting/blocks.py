"""One spread for all rows of a table whose rows share their seeds: what is left when row and seed are taken out.

With the same initial weights and batches a lucky seed is lucky for every row, and a row's own mean says nothing about
chance. Three seeds of one pair leave two degrees of freedom for its difference, too few to tell anything after a
correction for many rows; sixteen rows together leave thirty. The price is an assumption: that rows scatter alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from kdcore.reporting.statistics import Pooled, Seeds, pool


def residual(rows: Mapping[str, Seeds]) -> Pooled | None:
    """The standard deviation of one value about the sum of its row's and its seed's effect.

    Least squares over all rows that vary; rows need not have the same seeds. The difference of two rows over `n`
    common seeds then has the standard error ``std * sqrt(2 / n)``.

    Args:
        rows: seed to value of each row; a row without spread is left out and named, as in `pool`.

    Returns:
        None where nothing is left to estimate it from: one row, or one seed.

    Example:
        >>> found = residual({"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {0: 3.0, 1: 2.0, 2: 7.0}})
        >>> round(found.std, 6), found.freedom
        (1.414214, 2)
    """
    import numpy

    moving = pool({name: list(values.values()) for name, values in rows.items()})
    if moving is None:
        return None
    used = {name: values for name, values in rows.items() if len(values) > 1 and name not in moving.still}
    places = {seed: place for place, seed in enumerate(sorted({seed for row in used.values() for seed in row}))}
    cells = [(row, places[seed], value) for row, values in enumerate(used.values()) for seed, value in values.items()]
    design = numpy.zeros((len(cells), len(used) + len(places)))
    for number, (row, seed, _) in enumerate(cells):
        design[number, row] = design[number, len(used) + seed] = 1.0
    values = numpy.array([value for *_, value in cells])
    effects, _, rank, _ = numpy.linalg.lstsq(design, values, rcond=None)
    freedom, left = len(cells) - int(rank), values - design @ effects
    if freedom < 1 or numpy.abs(left).max() <= 1e-12 * numpy.abs(values).max():
        return None
    return Pooled(math.sqrt(float(left @ left) / freedom), freedom, moving.still)
