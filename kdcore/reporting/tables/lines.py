"""The lines of a table: what the seeds of each row say, beside what others published."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from kdcore.reporting import statistics
from kdcore.reporting.blocks import residual
from kdcore.reporting.formatting import listed, seeds_text
from kdcore.reporting.metrics import Metric
from kdcore.reporting.selection import Row
from kdcore.reporting.statistics import FEWEST, Paired, Pooled, Summary, Word

Method = Literal["t", "bootstrap", "pooled"]
Status = Literal["done", "partly failed", "failed", "not run"]
TEACHER = "teacher"
MANY = {2: 4, 3: 8, 4: 8}  # so few seeds of a pair say less of its spread than so many rows together


class Published(NamedTuple):
    """A number that others printed.

    Attributes:
        value: in the unit of records, a fraction for percentages.
        citation: key of the bibliography.
        protocol: how they measured: data, pair, which epoch, how many runs.
        std: as they printed it.
        selection: which epoch it is of: ``last``, ``best`` of all epochs by the test set, or ``unknown``.
        runs: of which it is the mean; None where they do not say.
        baseline: their own student without a teacher; None where it stands in the table as the reference's number.
    """

    value: float
    citation: str
    protocol: str
    std: float | None = None
    selection: Literal["last", "best", "unknown"] = "unknown"
    runs: int | None = None
    baseline: float | None = None

    @property
    def source(self) -> tuple[str, str]:
        return self.citation, self.protocol


def published_of(found: Any, metric: str) -> tuple[Published, ...]:
    """Published numbers as an experiment's row gives them.

    Args:
        found: a `Published`, a mapping with its fields, a mapping from metric to either, or a sequence of them.
        metric: the one that is shown.

    Raises:
        ValueError: a number without its citation and protocol.
    """
    if not found:
        return ()
    if isinstance(found, Published):
        return (found,)
    if isinstance(found, Mapping):
        if "value" not in found:
            return published_of(found.get(metric), metric)
        if not (found.get("citation") and found.get("protocol")):
            raise ValueError(f"a published number needs its citation and protocol, got {dict(found)}")
        if found.get("selection", "unknown") not in ("last", "best", "unknown"):
            raise ValueError(f"selection must be 'last', 'best' or 'unknown', got {found['selection']!r}")
        return (Published(**found),)
    return tuple(one for part in found for one in published_of(part, metric))


@dataclass(frozen=True)
class Line:
    """One row of a table, nothing rounded.

    Attributes:
        key: the row's name.
        status: ``done``; ``partly failed``, ``failed`` with `failures`; ``not run`` without a record.
        values: seed to value.
        summary: over those seeds.
        failures: seed to reason.
        difference: to the reference on common seeds; None for the reference, the teacher and rows without values.
        p: of that difference, after Holm's correction.
        word: what may be said of it.
        published: by others.
        origins: where the records come from.
        stale: why the records are not what the experiment would give today; such a row is shown and not compared.
        best: ahead of every other row by more than the spread.
    """

    key: str
    status: Status
    values: Mapping[int, float] = field(default_factory=dict)
    summary: Summary = Summary(None, None, 0)
    failures: Mapping[int, str] = field(default_factory=dict)
    difference: Paired | None = None
    p: float | None = None
    word: Word = "no verdict"
    published: tuple[Published, ...] = ()
    origins: tuple[str, ...] = ()
    stale: str = ""
    best: bool = False

    @property
    def is_teacher(self) -> bool:
        return self.key == TEACHER or self.key.startswith(f"{TEACHER}-")


def line(row: Row, published: tuple[Published, ...] = ()) -> Line:
    status: Status = "done"
    if row.failures:
        status = "partly failed" if row.values else "failed"
    elif not row.values:
        status = "not run"
    summary = statistics.summarise(list(row.values.values()))
    found = {"published": published, "origins": row.origins, "stale": row.stale}
    return Line(row.key, status, row.values, summary, row.failures, **found)


def ordered(lines: Iterable[Line], reference: str) -> list[Line]:
    """Teacher and student alone first, the others as they come."""
    return sorted(lines, key=lambda line: 0 if line.is_teacher else 1 if line.key == reference else 2)


def compared(lines: Sequence[Line], reference: str, *, level: float, method: Method, noise: Noise) -> list[Line]:
    """Each line with its paired difference to the reference and what may be said of it.

    A row of which a seed failed gets no verdict: the seeds that are left were not left by chance.
    """
    compare = comparison(level, method, noise)
    base = next((line for line in lines if line.key == reference and line.values and not line.stale), None)
    if base is None:
        return list(lines)
    pairs = {
        line.key: compare(line, base)
        for line in lines
        if line.values and not (line.is_teacher or line.stale or line is base)
    }
    whole = [line.key for line in lines if line.key in pairs and line.status == base.status == "done"]
    adjusted = dict(zip(whole, statistics.holm([pairs[key].p for key in whole])))
    return [
        replace(
            line,
            difference=pairs[line.key],
            p=adjusted.get(line.key),
            word=statistics.verdict(pairs[line.key], adjusted.get(line.key), level=level),
        )
        if line.key in pairs
        else line
        for line in lines
    ]


class Noise(NamedTuple):
    """What the seeds of all students say together; None and empty where they say nothing.

    Attributes:
        pooled: the spread over seeds, pooled over rows.
        seeds: seeds of the row with the fewest, among those with at least two.
        gap: the smallest true gap between two rows that these seeds find with 80 % power.
        groups: rows that are not told apart.
        residual: the spread that is left of a value when row and seed are taken out, all rows together.
        shared: whether gap and groups rest on `residual`, since all rows have the same seeds.
    """

    pooled: Pooled | None = None
    seeds: int = 0
    gap: float | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    residual: Pooled | None = None
    shared: bool = False


def usual_method(lines: Sequence[Line]) -> Method:
    """``pooled`` where many rows have few seeds, else ``t``."""
    seeds = [len(line.values) for line in _students(lines) if len(line.values) > 1]
    return "pooled" if seeds and len(seeds) >= MANY.get(min(seeds), math.inf) else "t"


def noise(lines: Sequence[Line], *, level: float, method: Method = "t") -> Noise:
    """Gap and groups rest on the spread over seeds, or for ``pooled`` on what row and seed leave of it."""
    taking = {line.key: line.values for line in _students(lines) if len(line.values) > 1}
    groups = {key: list(values.values()) for key, values in taking.items()}
    pooled, left = statistics.pool(groups), residual({line.key: line.values for line in _students(lines)})
    if pooled is None:
        return Noise()
    seeds, same = min(map(len, groups.values())), len({frozenset(values) for values in taking.values()}) == 1
    shared = method == "pooled" and left is not None and same
    basis = left if shared else pooled
    gap = statistics.smallest_gap(basis.std, seeds, basis.freedom, level=level)
    alike = {key: values for key, values in groups.items() if not shared or key not in left.restless}
    tied = statistics.ties(alike, level=level, pooled=left if shared else None)
    return Noise(pooled, seeds, gap, tuple(tied), left, shared)


def comparison(level: float, method: Method, noise: Noise) -> Callable[[Line, Line], Paired]:
    """How two rows of a table are compared.

    ``pooled`` is ``t`` where there is no common spread, and for a row that does not share it.
    """

    def compare(one: Line, other: Line) -> Paired:
        common = noise.residual if method == "pooled" else None
        if common and {one.key, other.key} & set(common.restless):
            common = None
        kind = "bootstrap" if method == "bootstrap" else "t"
        return statistics.paired_difference(one.values, other.values, level=level, method=kind, pooled=common)

    return compare


def with_best(lines: Sequence[Line], metric: Metric, noise: Noise) -> list[Line]:
    """Mark the row that leads every other student by more than the spread of either, if there is one."""
    rows = [line for line in _students(lines) if line.values]
    enough = len(rows) > 1 and all(line.summary.n >= FEWEST for line in rows)
    if not (metric.better and enough and noise.pooled):
        return list(lines)
    sign = 1 if metric.better == "higher" else -1
    best, *others = sorted(rows, key=lambda line: -sign * line.summary.mean)
    tied = any(best.key in group and len(group) > 1 for group in noise.groups)
    leads = all(
        abs(best.summary.mean - other.summary.mean) > max(best.summary.std, other.summary.std) for other in others
    )
    if best.status != "done" or tied or not leads:
        return list(lines)
    return [replace(line, best=True) if line is best else line for line in lines]


def _students(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if not (line.is_teacher or line.stale)]


def failure_notes(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Row and reason of every failure, seeds with the same reason together."""
    notes = []
    for line in lines:
        reasons: dict[str, list[int]] = {}
        for seed, reason in line.failures.items():
            reasons.setdefault(reason, []).append(seed)
        said = [f"{why} ({seeds_text(seeds)})" for why, seeds in reasons.items()]
        if said:
            notes.append((line.key, listed(said)))
    return notes
