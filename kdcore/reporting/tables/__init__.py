"""Tables of results: what was measured, how far it can be trusted, and what others published, never mixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from kdcore.reporting.display import check_name
from kdcore.reporting.editions import Edition, edition_of, published_editions
from kdcore.reporting.formatting import listed
from kdcore.reporting.metrics import Metric, metric_of
from kdcore.reporting.selection import Record, Row, select
from kdcore.reporting.selection.companies import Outdated, never
from kdcore.reporting.tables.library import known, outdated_parts, teachers_of, wanted_now
from kdcore.reporting.tables.lines import (
    TEACHER,
    Line,
    Method,
    Noise,
    Published,
    compared,
    line,
    noise,
    ordered,
    published_of,
    usual_method,
    with_best,
)
from kdcore.reporting.tables.plain import PlainTable, plain_table
from kdcore.reporting.tables.result import ResultTable
from kdcore.reporting.tables.searches import SearchTable, search_table

__all__ = [
    "Line",
    "Noise",
    "PlainTable",
    "Published",
    "ResultTable",
    "SearchTable",
    "plain_table",
    "result_table",
    "search_table",
]


def result_table(
    records: Iterable[Record],
    experiment: Any = None,
    metric: str = "accuracy",
    reference: str = "",
    rows: Sequence[str] | None = None,
    published: Mapping[str, Any] | None = None,
    *,
    which: Literal["last", "best", "mean_of_last_ten"] = "last",
    split: str = "test",
    teacher: Iterable[Record] | None = None,
    profile: str | None = None,
    device: str | None = None,
    outdated: Outdated | None = None,
    problems: Iterable[str] | None = None,
    level: float = 0.95,
    method: Method | None = None,
    title: str = "",
    name: str = "",
    labels: Mapping[str, str] | None = None,
    decimals: int | None = None,
    edition: Edition | None = None,
) -> ResultTable:
    """The table of an experiment, from its records alone.

    Args:
        records: as the store reads them; failed ones too.
        experiment: the experiment or its key; with it, rows that have no record yet are shown as not run, published
            values come from its rows, and variants of a row are told apart.
        metric: what is shown; see `kdcore.reporting.selection.value_of` for names of nested results.
        reference: the row that the others are compared with; where empty ``student``, or the first row of an experiment
            that has none.
        rows: the rows to show, in this order; all where None. Teacher and reference always come first.
        published: row to `Published` (or a mapping with its fields), in place of the experiment's.
        which: ``last`` epoch, ``best`` epoch (only beside published best-epoch numbers) or ``mean_of_last_ten``.
        split: on which the metric was measured, for the header.
        teacher: records of a teacher that was trained in another experiment, which become the row ``teacher``; found in
            the store by its weights where None.
        profile: which to show where the records are of several.
        device: likewise, ``cpu`` or ``cuda``.
        outdated: from a record's revision to the parts that have a newer one; the library's where None. A row that has
            only such records is shown, marked, and not compared.
        problems: what the store could not read, to be named; the records' own ``problems`` where None.
        level: of intervals and tests.
        method: of intervals: ``t`` or ``bootstrap`` as in `kdcore.reporting.statistics.paired_difference`, from each
            pair of rows alone; ``pooled`` for a t interval whose spread is that of all rows
            (`kdcore.reporting.blocks.residual`). Where None, ``pooled`` for two seeds of four rows or more and for
            three or four seeds of eight or more, since a pair's own spread then says little; else ``t``.
        title: of the caption; the experiment's where empty.
        name: label for ``{numref}``; ``tab-<experiment>`` where empty.
        labels: row to the name that is shown.
        decimals: of shown values; as many as the spread deserves where None.
        edition: a published one that is to be shown as it was: its records alone, judged by no newer code.

    Raises:
        ValueError: records of several experiments, profiles or devices without a choice; ``best`` without a published
            best-epoch number; a published number without its source; a name that no label can have.
    """
    records = records if isinstance(records, Sequence) else list(records)
    about = known(experiment)
    key, own = getattr(about, "key", experiment), {row.key: row for row in getattr(about, "rows", ())}
    reference = reference or ("student" if "student" in own or not own else next(iter(own)))
    wanted = {}
    if edition is None:
        wanted, outdated = wanted_now(about, records, profile, device), outdated or outdated_parts
    else:
        records = [record for record in records if record["hash"] in edition.hashes]
        own = {name: row for name, row in own.items() if name in {record["row"] for record in records}}
    choice = {"metric": metric, "which": which, "profile": profile, "device": device, "outdated": outdated or never}
    selection = select(records, experiment=key, wanted=wanted, **choice)
    if published is None:
        published = {row.key: getattr(row, "published", None) for row in own.values()}
    taught_by = teachers_of(records, about) if teacher is None else teacher
    lines = _lines(_teacher(taught_by, choice) | selection.rows, list(own), rows, published, metric)
    _check_best(which, lines)
    lines, kind = ordered(lines, reference), metric_of(metric)
    method = method or usual_method(lines)
    seen, keys = noise(lines, level=level, method=method), {one.key for one in lines}
    lines = compared(lines, reference, level=level, method=method, noise=seen)
    # A teacher from another experiment is no part of this edition: it stands behind its students' hashes.
    shown = [record for name, row in selection.rows.items() if name in keys for record in row.records]
    unread = getattr(records, "problems", ()) if problems is None else problems
    name = name or f"tab-{selection.experiment or 'results'}"
    check_name(name)
    return ResultTable(
        title=title or getattr(about, "title", "") or selection.experiment,
        metric=kind,
        split=split,
        which=which,
        reference=reference,
        lines=tuple(with_best(lines, kind, seen)),
        noise=seen,
        edition=edition or edition_of(shown, published_editions(selection.experiment).entries),
        selection=selection,
        left_out=(*selection.notes, *map(str, unread)),
        level=level,
        method=method,
        name=name,
        labels=labels or {},
        decimals=_decimals(lines, kind, seen) if decimals is None else decimals,
    )


def _teacher(records: Iterable[Record], choice: Mapping[str, Any]) -> dict[str, Row]:
    records = list(records)
    rows = list(select(records, **choice).rows.values()) if records else []
    if len(rows) > 1:
        raise ValueError(f"teacher must be the records of one row, got {listed(row.key for row in rows)}")
    return {TEACHER: replace(rows[0], key=TEACHER)} if rows else {}


def _lines(
    found: Mapping[str, Row], own: Sequence[str], rows: Sequence[str] | None, sources: Mapping[str, Any], metric: str
) -> list[Line]:
    """The rows that were asked for: the experiment's order, then variants, each behind its row."""
    every = sorted(found | dict.fromkeys(own), key=lambda key: _place(key, own))
    keys = every if rows is None else list(rows)
    return [line(found.get(key, Row(key)), published_of(sources.get(key), metric)) for key in keys]


def _place(key: str, own: Sequence[str]) -> int:
    row = key.partition(" [")[0]
    return own.index(row) if row in own else len(own)


def _check_best(which: str, lines: Sequence[Line]) -> None:
    others = [one for line in lines for one in line.published]
    if which == "best" and not any(one.selection == "best" or "best" in one.protocol for one in others):
        raise ValueError("best epochs are shown only beside published numbers whose protocol says best")


def _decimals(lines: Sequence[Line], metric: Metric, noise: Noise) -> int | None:
    largest = max((abs(line.summary.mean) for line in lines if line.values), default=0.0)
    return metric.decimals(noise.pooled.std if noise.pooled else None, largest)
