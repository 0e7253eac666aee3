"""The sentences under a table: how rows were compared, what the seeds cannot show, what failed, what is not ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kdcore.reporting.formatting import capital, listed, ranges
from kdcore.reporting.markup import escape
from kdcore.reporting.statistics import FEWEST
from kdcore.reporting.tables.lines import failure_notes

if TYPE_CHECKING:
    from kdcore.reporting.tables.result import ResultTable


def notes_under(table: ResultTable) -> tuple[str, ...]:
    """All sentences, as inline Markdown, in the order in which a reader asks."""
    parts = (_comparison, _without_interval, _noise, _ties, _failures, _age, _origins, _published, _left_out)
    return tuple(sentence for part in parts for sentence in part(table))


def protocols_of(table: ResultTable) -> dict[tuple[str, str], str]:
    """Citation and protocol to the letter that stands behind a published value; none where all have the same."""
    sources = list(dict.fromkeys(one.source for line in table.lines for one in line.published))
    return {source: f" {chr(ord('a') + place)}" if len(sources) > 1 else "" for place, source in enumerate(sources)}


def _comparison(table: ResultTable) -> Iterator[str]:
    pairs = [line for line in table.lines if line.difference]
    reference = table.label(table.reference)
    if not pairs and not any(line.key == table.reference and line.values for line in table.lines):
        yield f"The reference {reference} has no finished run, so nothing is compared."
    if any(line.difference.low is not None for line in pairs):
        kind = "bootstrap" if table.method == "bootstrap" else "t"
        yield f"Differences are paired over seeds, with {100 * table.level:g} % {kind} intervals{_common(table)}."
    if any(line.word in ("above", "below") for line in pairs):
        tests = sum(line.p is not None for line in pairs)
        yield f"† differs from {reference} after Holm's correction for {tests} comparisons."
    if any(line.word == "no verdict" and len(line.difference.seeds) < FEWEST for line in pairs):
        yield "With fewer than three paired seeds no row is called better."


def _common(table: ResultTable) -> str:
    """The spread behind intervals that all rows share."""
    left = table.noise.residual
    if table.method != "pooled" or left is None:
        return ""
    spread = f"{table.metric.show(left.std, table.decimals)} {table.metric.gap}".strip()
    verb = (
        "scatters more and is compared by its" if len(left.restless) == 1 else "scatter more and are compared by their"
    )
    own = f"; {_rows(table, left.restless)} {verb} own" if left.restless else ""
    return f" from one spread of all rows about row and seed ({spread}, {left.freedom} degrees of freedom){own}"


def _without_interval(table: ResultTable) -> Iterator[str]:
    """Rows with the same shortcoming together."""
    pairs = {line.key: line.difference for line in table.lines if line.difference}
    for why, keys in _together((pair.why, key) for key, pair in pairs.items() if pair.why):
        yield f"No interval for {_rows(table, keys)}: {why}."
    partial = ((ranges(pair.seeds), key) for key, pair in pairs.items() if pair.alone and pair.seeds)
    for seeds, keys in _together(partial):
        yield f"Compared on seeds {seeds} alone, which both rows have: {_rows(table, keys)}."


def _together(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for reason, key in pairs:
        groups.setdefault(reason, []).append(key)
    return groups.items()


def _rows(table: ResultTable, keys: Iterable[str]) -> str:
    return listed(map(table.label, keys))


def _noise(table: ResultTable) -> Iterator[str]:
    pooled = table.noise.residual if table.noise.shared else table.noise.pooled
    if pooled is None:
        if any(line.values and not line.is_teacher for line in table.lines):
            yield "The seeds show no spread, so no smallest detectable gap can be given."
        return
    spread = f"{table.metric.show(pooled.std, table.decimals)} {table.metric.gap}".strip()
    how = "of all rows about row and seed" if table.noise.shared else "pooled over rows"
    still = f" ({_rows(table, pooled.still)} without spread left out)" if pooled.still else ""
    yield (
        f"Smallest true gap between two rows that {table.noise.seeds} seeds find with 80 % power: {table.gap_text()} "
        f"(spread {spread}, {how}{still}, {pooled.freedom} degrees of freedom)."
    )


def _ties(table: ResultTable) -> Iterator[str]:
    test = f"Tukey, {100 * (1 - table.level):g} %" + (", on the same seeds" if table.noise.shared else "")
    groups = [group for group in table.noise.groups if len(group) > 1]
    if groups:
        yield f"Not told apart by these seeds ({test}): {'; '.join(_rows(table, group) for group in groups)}."
    elif table.noise.groups:
        yield f"Every two rows are told apart ({test})."


def _failures(table: ResultTable) -> Iterator[str]:
    for key, why in failure_notes(table.lines):
        yield f"{table.label(key)} failed: {escape(why)}."


def _age(table: ResultTable) -> Iterator[str]:
    for line in table.lines:
        if line.stale:
            yield f"‡ {table.label(line.key)} is not compared: its records are of {escape(line.stale)}."


def _origins(table: ResultTable) -> Iterator[str]:
    """Which rows are committed records and which are of this build, where a table has both."""
    groups = dict(_together((origin, line.key) for line in table.lines for origin in line.origins))
    if len(groups) > 1:
        for origin in sorted(groups):
            yield f"{capital(origin)}: {_rows(table, groups[origin])}."


def _published(table: ResultTable) -> Iterator[str]:
    for (citation, protocol), mark in protocols_of(table).items():
        yield f"Published{mark}: {{cite:t}}`{citation}`, {escape(protocol)}."


def _left_out(table: ResultTable) -> Iterator[str]:
    if table.left_out:
        yield f"Left out: {'; '.join(table.left_out)}."
