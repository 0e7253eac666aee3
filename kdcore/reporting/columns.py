"""Several result tables beside each other, a column each: three kinds of numbers that are never mixed.

What others published, what is committed with this book, and what this build ran differ in who made them and often in
data and recipe, so each stands under a header that says which it is; no difference is taken between columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.reporting.formatting import shortest
from kdcore.reporting.markup import escape
from kdcore.reporting.selection import device_of
from kdcore.reporting.tables import Line, PlainTable, ResultTable, plain_table, result_table
from kdcore.reporting.tables.notes import protocols_of

NONE = "–"


def three_columns(
    here: ResultTable, committed: Sequence[ResultTable] = (), *, caption: str = "", name: str = "tab-three-columns"
) -> PlainTable:
    """Published values, committed records and this run of one experiment, row by row.

    Args:
        here: of this run; its rows and their order are the table's, and its published numbers are shown.
        committed: of committed records, one for each profile and kind of device.
        caption: what the table is of; how each column was made is added to it.
        name: see `kdcore.reporting.plain_table`.
    """
    unit = f", {here.metric.unit}" if here.metric.unit else ""
    gap = f" (gain, {here.metric.gap})" if here.metric.gap else " (gain)"
    header = ["row", f"published by others{unit}{gap}"]
    header += [f"committed record, profile {one.profile}, {one.device}{unit}{gap}" for one in committed]
    header += [] if committed else ["committed record"]
    header.append(f"this run, profile {escape(here.profile)}, {escape(here.device)}{unit}{gap}")
    tables = [{line.key: line for line in one.lines} for one in committed] or [{}]
    rows = []
    for line in here.lines:
        cells = [_own(one.get(line.key), table) for one, table in zip(tables, committed or [here])]
        rows.append((here.label(line.key), _published(line, here), *cells, _own(line, here)))
    return plain_table(
        header, rows, caption=_caption(caption, here, committed), name=name, notes=_notes(here, committed)
    )


def committed_tables(experiment: str, metric: str = "accuracy", **options: Any) -> list[ResultTable]:
    """The committed records of an experiment as tables, one for each profile and kind of device; none where none are.

    Args:
        experiment: its key.
        metric: what is shown.
        options: of `kdcore.reporting.result_table`.
    """
    from kdcore.experiments import read

    records = read(experiment, where="published")
    kinds = dict.fromkeys((record["profile"], device_of(record)) for record in records)
    return [
        result_table(
            records,
            experiment,
            metric,
            profile=profile,
            device=device,
            name=f"tab-{experiment}-{profile}-{device}",  # a page may show this run's under the plain name
            **options,
        )
        for profile, device in kinds
    ]


def _own(line: Line | None, table: ResultTable) -> str:
    """Mean, spread and number of seeds, and the gain over the reference, marked where it is told from zero."""
    if line is None or not line.values:
        return NONE if line is None or line.status == "not run" else line.status
    shown, pair = table.value_text(line.key), line.difference
    if pair is None or pair.mean is None:
        return shown
    mark = " †" if line.word in ("above", "below") else ""
    return f"{shown} ({table.metric.show(pair.mean, table.decimals, signed=True)}{mark})"


def _published(line: Line, table: ResultTable) -> str:
    from kdcore.reporting.verdicts import baseline_of

    marks, cells = protocols_of(table), []
    for one in line.published:
        base = None if line.key == table.reference or line.is_teacher else baseline_of(one, table)
        gain = "" if base is None else f" ({table.metric.show(one.value - base, 2, signed=True)})"
        cells.append(f"{shortest(table.metric.scale * one.value)}{gain}{marks[one.source]}")
    return "; ".join(cells) or NONE


def _caption(caption: str, here: ResultTable, committed: Sequence[ResultTable]) -> str:
    made = [f"{table.profile} records: edition {table.edition}" for table in committed] or ["No record is committed"]
    return f"{caption.rstrip()} {'; '.join(made)}. This run: edition {here.edition}.".strip()


def _notes(here: ResultTable, committed: Sequence[ResultTable]) -> list[str]:
    notes = [
        f"Published{mark}: {{cite:t}}`{citation}`, {escape(protocol)}."
        for (citation, protocol), mark in protocols_of(here).items()
    ]
    notes.append("Columns are of different data or recipes unless their headers agree; compare gains within a column.")
    if any(line.word in ("above", "below") for table in (here, *committed) for line in table.lines):
        notes.append(f"† told from {here.label(here.reference)} after Holm's correction within the column.")
    return notes


def groups_table(table: ResultTable, *, caption: str = "", name: str = "tab-groups") -> PlainTable:
    """The groups of tied rows of a table in place of a ranking, the group with the highest mean first.

    Args:
        table: whose `noise` holds them.
        caption: what stands before how the table was made.
        name: see `kdcore.reporting.plain_table`.
    """
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    rows = []
    for group in table.noise.groups:
        means = [table.metric.show(table.value(key), table.decimals) for key in group]
        rows.append((", ".join(map(table.label, group)), means[0], means[-1]))
    header = ("rows that are not told apart", f"highest mean{unit}", f"lowest mean{unit}")
    return plain_table(header, rows, caption=f"{caption.rstrip()} {table.made}.".strip(), name=name, notes=(TIES,))


TIES = (
    "Two rows are tied where their means lie closer than the range that as many equal rows span in one table of twenty "
    "(Tukey); a group is a largest set of rows of which every two are tied, so a row may stand in several. Tied is not "
    "equal: these seeds do not separate them."
)


def beside(tables: Mapping[str, ResultTable], *, caption: str = "", name: str = "tab-beside") -> PlainTable:
    """One experiment under several metrics, a column each, every one with its paired difference.

    Args:
        tables: header to result table, of the same rows; the first has the order.
        caption: what stands before how the tables were made.
        name: see `kdcore.reporting.plain_table`.
    """
    first = next(iter(tables.values()))
    lines = {header: {line.key: line for line in table.lines} for header, table in tables.items()}
    rows = []
    for line in first.lines:
        found = [(lines[header].get(line.key), table) for header, table in tables.items()]
        # What a run could not have measured, such as agreement with a teacher that it had not, is no failure.
        rows.append(
            (
                first.label(line.key),
                *(NONE if one and not one.values and line.values else _own(one, table) for one, table in found),
            )
        )
    header = ["row"]
    for title, table in tables.items():
        units = [unit for unit in (table.metric.unit, f"difference in {table.metric.gap}") if table.metric.gap and unit]
        header.append(f"{title}{f', {units[0]}' if units else ''} (difference to {table.label(table.reference)})")
    notes = ["† told from zero after Holm's correction within the column."]
    return plain_table(header, rows, caption=f"{caption.rstrip()} {first.made}.".strip(), name=name, notes=notes)


def claims_table(
    claims: Sequence[Any], columns: Mapping[str, Sequence[Mapping[str, Any]]], *, caption: str, name: str
) -> PlainTable:
    """Claims with what would speak against each and their verdict on several sets of records, a column each.

    Args:
        claims: `kdcore.claims.types.Claim` or alike.
        columns: header to records.
        caption, name: see `kdcore.reporting.plain_table`.
    """
    header = ("claim", "what would speak against it", *columns)
    rows = [(one.statement, one.against, *(ruling(one, found) for found in columns.values())) for one in claims]
    return plain_table(header, rows, caption=caption, name=name)


def ruling(claim: Any, records: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on a claim in words; undecided, with the reason, where records of a row are missing."""
    try:
        return str(claim.verdict(records))
    except KeyError as error:
        return f"undecided: there is no record of row {error.args[0]}"
    except ValueError as error:
        return f"undecided: {error}"


def records_of(table: ResultTable) -> list[Mapping[str, Any]]:
    """The records behind a table's rows."""
    return [record for row in table.selection.rows.values() for record in row.records]
