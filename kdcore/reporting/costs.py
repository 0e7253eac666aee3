"""What a row costs beside what it gains: arithmetic and parameters counted, time and memory as its records have them.

Rows that were trained side by side share a company, and so its time and its memory; the arithmetic of a run is what
tells them apart, and does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from kdcore.reporting.selection import Record
from kdcore.reporting.tables import PlainTable, ResultTable, plain_table
from kdcore.reporting.tables.library import known

MEGABYTE = 1e6


class RowCost(NamedTuple):
    """What one row takes; None where it is not known.

    Attributes:
        arithmetic: multiplications and additions of a run, networks and losses, in those of the student's alone.
        extra: parameters that are learned beside the delivered network's.
        seconds: of a run: the time of its company over the runs in it, mean over seeds.
        memory: the largest of the processes that trained it, in bytes, whoever else trained there.
        company: the most runs that shared a process.
    """

    arithmetic: float | None = None
    extra: int | None = None
    seconds: float | None = None
    memory: int | None = None
    company: int | None = None


def costs(table: ResultTable, experiment: Any = None) -> dict[str, RowCost]:
    """The costs of every row of a table but the teacher's.

    Args:
        table: with its records.
        experiment: the one whose rows are counted, the table's own where None; nothing is counted where it is none of
            the library's.
    """
    about = known(experiment if experiment is not None else table.experiment)
    own = {row.key: row for row in getattr(about, "rows", ())} if hasattr(about, "profiles") else {}
    found = {}
    for line in table.lines:
        if not line.is_teacher:
            row, group = own.get(line.key), table.selection.rows.get(line.key)
            counted = _counted(about, row, table.profile) if row is not None else (None, None)
            found[line.key] = RowCost(*counted, *_recorded(group.records if group else ()))
    return found


def _counted(experiment: Any, row: Any, profile: str) -> tuple[float | None, int | None]:
    """Arithmetic and parameters between the profile's own networks; None where the pair cannot be built here."""
    from kdcore.entry import Refusal
    from kdcore.experiments.cost import cost_of_row

    try:
        cost = cost_of_row(experiment, row, profile)
    except Refusal:
        return None, None
    return cost.arithmetic, cost.parameters


def _recorded(records: Sequence[Record]) -> tuple[float | None, int | None, int | None]:
    """Seconds, memory and company. An interrupted run knows only the time since its last start, and is left out."""
    made = [record["provenance"] for record in records if record["status"] == "done" and "provenance" in record]
    whole = [one for one in made if one.get("seconds") is not None and not one.get("resumed")]
    shares = [one["seconds"] / max(one.get("company") or 1, 1) for one in whole]
    largest: Callable[[str], int | None] = lambda name: max((one[name] for one in made if one.get(name)), default=None)
    return fmean(shares) if shares else None, largest("peak_memory"), largest("company")


def cost_table(
    table: ResultTable, found: Mapping[str, RowCost], *, caption: str = "", name: str = "tab-costs"
) -> PlainTable:
    """Gain and cost of every row, a line each.

    Args:
        table: whose gains are shown.
        found: as `costs` gives them.
        caption: what stands before how the table was made.
        name: see `kdcore.reporting.plain_table`.
    """
    gap = f", {table.metric.gap}" if table.metric.gap else ""
    header = (
        "row", f"gain over {table.label(table.reference)}{gap}", "arithmetic of a run, student alone = 1",
        "more parameters to learn", "seconds a run", "peak memory, MB",
    )  # fmt: skip
    lines = {line.key: line for line in table.lines}
    cells = []
    for key, cost in found.items():
        line = lines[key]
        gain = table.gain_text(key) if line.difference and line.difference.mean is not None else "–"
        memory = None if cost.memory is None else f"{cost.memory / MEGABYTE:.0f}"
        seconds = None if cost.seconds is None else f"{cost.seconds:.3g}"
        arithmetic = None if cost.arithmetic is None else f"{cost.arithmetic:.2f}"
        cells.append((table.label(key), gain, arithmetic, cost.extra, seconds, memory))
    shared = max((cost.company or 1 for cost in found.values()), default=1)
    company = (
        f"Up to {shared} runs were trained side by side: seconds are the time of such a company over its runs, memory "
        "is that of the whole process, so neither tells its rows apart."
    )
    notes = [
        "Arithmetic and parameters are counted on this profile's own networks, with the teacher asked at every step."
    ]
    notes += [company] if shared > 1 else []
    return plain_table(header, cells, caption=f"{caption.rstrip()} {table.made}.".strip(), name=name, notes=notes)


def frontier(found: Mapping[str, tuple[float, float]]) -> list[str]:
    """The rows of which no other costs no more and gains no less, and one of the two strictly; cheapest first.

    Args:
        found: row to cost and gain.

    Example:
        >>> frontier({"kd": (1.0, 5.0), "slow": (2.0, 5.0), "best": (3.0, 6.0)})
        ['kd', 'best']
    """
    beats = lambda a, b: a[0] <= b[0] and a[1] >= b[1] and a != b
    kept = [row for row, one in found.items() if not any(beats(other, one) for other in found.values())]
    return sorted(kept, key=lambda row: found[row])
