"""What picking the best epoch by the test set would have added to each row: its best epoch minus its last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import NamedTuple

from kdcore.reporting.formatting import ranges
from kdcore.reporting.selection import value_of
from kdcore.reporting.statistics import Summary, summarise
from kdcore.reporting.tables import PlainTable, ResultTable, plain_table


class Effect(NamedTuple):
    """One row.

    Attributes:
        values: seed to best minus last; negative where less is better.
        last: mean of the last epochs.
        summary: of `values`.
    """

    values: Mapping[int, float]
    last: float
    summary: Summary


def selection_effects(table: ResultTable) -> dict[str, Effect]:
    """The effect for every student of a table of last epochs whose records judged more than one epoch.

    Raises:
        ValueError: the table shows another epoch than the last.
    """
    if table.which != "last":
        raise ValueError(f"the effect is the best epoch minus the last, got a table of the {table.which} epoch")
    found = {}
    for line in table.lines:
        row = table.selection.rows.get(line.key)
        if line.is_teacher or row is None:
            continue
        values = {}
        for record in row.records:
            if record["seed"] in line.values and len(record.get("curve") or ()) > 1 and record.get("best"):
                best = value_of(record, table.metric.key, "best")
                values[record["seed"]] = best - line.values[record["seed"]]
        if values:
            found[line.key] = Effect(values, line.summary.mean, summarise(list(values.values())))
    return found


def effect_table(
    table: ResultTable, found: Mapping[str, Effect], *, caption: str = "", name: str = "tab-selection"
) -> PlainTable:
    """Rows by their last epoch, what the best one would have added, and the place that each would give them.

    Args:
        table: of the last epochs.
        found: as `selection_effects` gives them.
        caption: what stands before how the table was made.
        name: see `kdcore.reporting.plain_table`.
    """
    unit, gap = (f", {one}" if one else "" for one in (table.metric.unit, table.metric.gap))
    sign = -1 if table.metric.better == "lower" else 1
    place = lambda score: sorted(found, key=lambda key: -sign * score(found[key])).index
    before, after = place(lambda one: one.last), place(lambda one: one.last + one.summary.mean)
    show = lambda value, **more: table.metric.show(value, table.decimals, **more)
    rows = []
    for key, one in found.items():
        spread = "" if one.summary.std is None else f" ± {show(one.summary.std)}"
        mean = show(one.summary.mean, signed=True)
        rows.append((table.label(key), show(one.last), f"{mean}{spread}", before(key) + 1, after(key) + 1))
    header = ("row", f"last epoch{unit}", f"best minus last{gap}", "place by the last", "place by the best")
    seeds = ranges({one.summary.n for one in found.values()})
    about = f"Mean ± standard deviation over n = {seeds or 'no'} seeds. {table.made}."
    return plain_table(header, rows, caption=f"{caption.rstrip()} {about}".strip(), name=name)


def told(tables: Iterable[ResultTable]) -> str:
    """How much the best epoch adds over all rows of some tables, for a sentence."""
    tables = list(tables)
    means = [(one.summary.mean, table) for table in tables for one in selection_effects(table).values()]
    if not means:
        return "not known, since no record was judged more than once"
    highest, table = max(means, key=lambda pair: abs(pair[0]))
    show = lambda value: f"{table.metric.show(value, 2)} {table.metric.gap}".strip()
    return f"{show(fmean(mean for mean, _ in means))} on average and {show(highest)} at most"
