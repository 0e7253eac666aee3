"""What seeds tell and what they do not: spread, paired differences, power, ties.

Everything answers None, with a reason where there is room for one, when the seeds do not suffice: one seed has no
spread, equal differences have no interval, a row without spread says nothing about noise. Values are taken as
recorded, in any unit. SciPy is imported when it is needed.
"""

from __future__ import annotations

import math
import statistics as exact  # the standard library's: exact fractions, rounded once
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple

Seeds = Mapping[int, float]
Word = Literal["above", "below", "not told apart", "no verdict"]
FEWEST = 3  # paired seeds below which nothing is ranked


class Summary(NamedTuple):
    """Mean and sample standard deviation (divisor n - 1) of n values; None where there is none."""

    mean: float | None
    std: float | None
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """
    Example:
        >>> summarise([1.0, 2.0, 3.0]), summarise([0.9]), summarise([])
        (Summary(mean=2.0, std=1.0, n=3), Summary(mean=0.9, std=None, n=1), Summary(mean=None, std=None, n=0))
    """
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"values must be finite, got {list(values)}")
    values, n = [float(value) for value in values], len(values)
    return Summary(exact.mean(values) if n else None, exact.stdev(values) if n > 1 else None, n)


class Paired(NamedTuple):
    """The mean of value minus reference over the seeds that both have.

    Attributes:
        mean: of the differences; None without a common seed.
        std: sample standard deviation of the differences.
        low: lower end of the confidence interval; None where there is no interval.
        high: upper end.
        p: of the two-sided paired t test.
        seeds: the common seeds.
        alone: seeds that only one of the two has.
        why: the reason when there is no interval.
        error: standard error of the mean, 0 where there is no interval.
        freedom: degrees of freedom behind it.
    """

    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    p: float | None
    seeds: tuple[int, ...]
    alone: tuple[int, ...]
    why: str = ""
    error: float = 0.0
    freedom: int = 0


def paired_difference(
    values: Seeds,
    reference: Seeds,
    *,
    level: float = 0.95,
    method: Literal["t", "bootstrap"] = "t",
    pooled: Pooled | None = None,
) -> Paired:
    """Compare two rows on the seeds that both have.

    Args:
        values: seed to value.
        reference: seed to value of the row it is compared with.
        level: of the interval, between 0 and 1.
        method: ``t`` (right for differences that are about normal, at any n) or ``bootstrap`` (percentiles of the
            resampled mean; too narrow for a handful of seeds, so none is given where even the whole range of the
            differences covers the mean less often than `level`). The p value is the t test's in either case.
        pooled: spread of one row about its own mean and its seeds' (`kdcore.reporting.blocks.residual`), in place of
            the spread of these differences alone.

    Raises:
        ValueError: a value is not finite, `level` is out of range, or `method` is unknown.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if method not in ("t", "bootstrap"):
        raise ValueError(f"method must be 't' or 'bootstrap', got {method!r}")
    seeds = tuple(sorted(values.keys() & reference.keys()))
    alone = tuple(sorted(values.keys() ^ reference.keys()))
    differences = [values[seed] - reference[seed] for seed in seeds]
    mean, std, n = summarise(differences)
    if n < 2:
        return Paired(mean, std, None, None, None, seeds, alone, "one common seed" if n else "no common seed")
    largest = max(abs(row[seed]) for row in (values, reference) for seed in seeds)
    if _same(differences, largest):
        return Paired(mean, 0.0, None, None, None, seeds, alone, "the difference is the same for every seed")
    error, freedom = (pooled.std * math.sqrt(2 / n), pooled.freedom) if pooled else (std / math.sqrt(n), n - 1)
    low, high, p = _t_interval(mean, error, freedom, level)
    if method == "bootstrap":
        if 1 - 2.0 ** (1 - n) < level:
            return Paired(mean, std, None, None, p, seeds, alone, "too few seeds to resample")
        low, high = _bootstrap_interval(differences, level)
    return Paired(mean, std, low, high, p, seeds, alone, "", error, freedom)


def _same(values: Sequence[float], largest: float) -> bool:
    """Equal but for the rounding of numbers of this size."""
    return bool(max(values) - min(values) <= 1e-12 * largest)


def _t_interval(mean: float, error: float, freedom: int, level: float) -> tuple[float, float, float]:
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, freedom)) * error
    return mean - half, mean + half, float(2 * t.sf(abs(mean) / error, freedom))


def _bootstrap_interval(differences: Sequence[float], level: float) -> tuple[float, float]:
    """Percentiles of the resampled mean: all resamples where they can be listed, else 20,000 from a fixed seed."""
    import numpy

    n, values = len(differences), numpy.asarray(differences)
    if n <= 6:
        drawn = numpy.array(list(product(range(n), repeat=n)))
    else:
        drawn = numpy.random.default_rng(0).integers(n, size=(20_000, n))
    tail = (1 - level) / 2
    low, high = numpy.quantile(values[drawn].mean(1), [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P values adjusted for their number by Holm's step-down rule; a comparison without one does not count.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    if wrong := [p for p in p_values if p is not None and not 0 <= p <= 1]:
        raise ValueError(f"p values must lie between 0 and 1, got {wrong}")
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = highest
    return adjusted


def verdict(difference: Paired, adjusted: float | None, *, level: float = 0.95) -> Word:
    """Whether a row stands above or below its reference, at an adjusted p value and on enough seeds."""
    if adjusted is None or len(difference.seeds) < FEWEST:
        return "no verdict"
    if adjusted + level >= 1:
        return "not told apart"
    return "above" if difference.mean > 0 else "below"


class Pooled(NamedTuple):
    """One standard deviation for all rows, its degrees of freedom, and the rows that it leaves out.

    Attributes:
        std: in the unit of the values.
        freedom: its degrees of freedom.
        still: rows that have no spread to pool.
        restless: rows that scatter more than the others (`kdcore.reporting.blocks.residual`).
    """

    std: float
    freedom: int
    still: tuple[str, ...] = ()
    restless: tuple[str, ...] = ()


def pool(groups: Mapping[str, Sequence[float]]) -> Pooled | None:
    """The standard deviation over seeds that all rows share; None where no row has a spread.

    A row that gives the same value for every seed is a fixed network or arithmetic without chance: counted in, it
    would claim that seeds do not matter. It is left out and named.
    """
    several = {name: values for name, values in groups.items() if len(values) > 1}
    still = tuple(name for name, values in several.items() if _same(values, max(map(abs, values))))
    moving = [summarise(values) for name, values in several.items() if name not in still]
    freedom = sum(one.n - 1 for one in moving)
    if not freedom:
        return None
    return Pooled(math.sqrt(math.fsum((one.n - 1) * one.std**2 for one in moving) / freedom), freedom, still)


def power(gap: float, std: float, n: int, freedom: int, *, level: float = 0.95) -> float:
    """How often two rows of n seeds that truly differ by `gap` are told apart by a two-sided t test."""
    return _power(gap / (std * math.sqrt(2 / n)), freedom, level)


def _power(shift: float, freedom: int, level: float) -> float:
    from scipy.stats import nct, t

    edge = t.ppf((1 + level) / 2, freedom)
    near, far = float(nct.sf(edge, freedom, shift)), float(nct.cdf(-edge, freedom, shift))
    # SciPy gives NaN far out in a tail, where the one is 1 and the other 0 to all digits.
    return (1.0 if math.isnan(near) else near) + (0.0 if math.isnan(far) else far)


def smallest_gap(std: float, n: int, freedom: int, *, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true difference between two rows of n seeds that a t test finds with this power.

    Args:
        std: over seeds, pooled over rows.
        n: seeds in each row, at least 1.
        freedom: degrees of freedom behind `std`, at least 1: 2 (n - 1) for two rows alone.
        power: how often it is found.
        level: 1 minus the test's error of the first kind.

    Example:
        >>> round(smallest_gap(0.20, 3, freedom=2 * 2), 2), round(smallest_gap(0.20, 3, freedom=16 * 2), 2)
        (0.61, 0.47)
    """
    from scipy.optimize import brentq

    if not (std > 0 and n >= 1 and freedom >= 1):
        raise ValueError(f"std, n and freedom must be above 0, got {std}, {n} and {freedom}")
    if not 1 - level < power < 1:
        raise ValueError(f"power must lie between {1 - level:g} and 1, got {power}")
    shift = brentq(lambda shift: _power(shift, freedom, level) - power, 0.0, 100.0, xtol=1e-9)
    return std * math.sqrt(2 / n) * shift


def seeds_needed(gap: float, std: float, rows: int, *, power: float = 0.8, level: float = 0.95) -> int:
    """The fewest seeds a row with which `gap` is found, the variance pooled over `rows`; at least 2."""
    if not gap > 0:
        raise ValueError(f"gap must be above 0, got {gap}")
    found = lambda n: smallest_gap(std, n, rows * (n - 1), power=power, level=level) <= gap
    low, high = 1, 2
    while not found(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def tukey_difference(rows: int, freedom: int, std: float, n: int, other: int, *, level: float = 0.95) -> float:
    """Two of `rows` means further apart than this differ, all pairs considered (Tukey and Kramer)."""
    return _range_of(rows, freedom, level) * std * math.sqrt((1 / n + 1 / other) / 2)


@lru_cache(maxsize=256)
def _range_of(rows: int, freedom: int, level: float) -> float:
    """How far the means of equal rows lie apart at most, in their standard errors; a slow integral."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(level, rows, freedom))


def ties(
    groups: Mapping[str, Sequence[float]], *, level: float = 0.95, pooled: Pooled | None = None
) -> list[tuple[str, ...]]:
    """Largest groups of rows of which no two are told apart, the highest mean first.

    Rows need two seeds or more to take part. A row may stand in several groups, and a row that stands alone is
    told apart from all others. "Tied" means that these seeds do not separate the rows, not that they are equal.
    `pooled` takes the place of the spread over seeds (`kdcore.reporting.blocks.residual`).
    """
    rows = {name: summarise(values) for name, values in groups.items() if len(values) > 1}
    pooled = pooled or pool({name: groups[name] for name in rows})
    order = sorted(rows, key=lambda name: -rows[name].mean)
    if len(order) < 2 or pooled is None:
        return []
    edge = {n: tukey_difference(len(order), pooled.freedom, pooled.std, *n, level=level) for n in _sizes(rows)}

    def tied(a: str, b: str) -> bool:
        sizes = tuple(sorted((rows[a].n, rows[b].n)))
        return abs(rows[a].mean - rows[b].mean) <= edge[sizes]

    neighbours = {a: {b for b in order if b != a and tied(a, b)} for a in order}
    found = _cliques(set(), set(order), set(), neighbours)
    return sorted((tuple(sorted(group, key=order.index)) for group in found), key=lambda g: [order.index(x) for x in g])


def _sizes(rows: Mapping[str, Summary]) -> set[tuple[int, int]]:
    counts = sorted({one.n for one in rows.values()})
    return {(a, b) for a in counts for b in counts if a <= b}


def _cliques(inside: set, maybe: set, seen: set, neighbours: Mapping[str, set]) -> list[set]:
    """All maximal sets of mutual neighbours (Bron and Kerbosch).

    Every set that is still open holds the pivot or a row that is no neighbour of it, so only those are tried; without
    that, fifty tied rows would take 2^50 steps.
    """
    if not maybe and not seen:
        return [inside]
    found = []
    pivot = max(sorted(maybe | seen), key=lambda name: len(maybe & neighbours[name]))
    for name in sorted(maybe - neighbours[pivot]):
        near = neighbours[name]
        found += _cliques(inside | {name}, maybe & near, seen & near, neighbours)
        maybe, seen = maybe - {name}, seen | {name}
    return found
