"""Which runs belong together: made from the same settings, recipe, data, teacher and revision, whatever the seed.

Records of one row may be of an older revision, of an experiment as it once was, or of another teacher. Together they
would give a mean of nothing, so one company is shown and the others are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kdcore.reporting.editions import day_of
from kdcore.reporting.formatting import counted, listed, seeds_text
from kdcore.reporting.selection.reading import Record, canonical

Outdated = Callable[[Any], Sequence[str]]


class Made(NamedTuple):
    """What an experiment decides of a run: settings and recipe as one text, and the revision of the row's measure."""

    of: str
    row: int = 1


Wanted = Mapping[str, Made]  # row to what its records should have been made from


class Company(NamedTuple):
    """Runs of one row that belong together.

    Attributes:
        key: the row's name, with what was changed about it (``--set``) in brackets.
        records: one a seed.
        stale: why they are not what the experiment would give today; empty where they are.
    """

    key: str
    records: list[Record]
    stale: str = ""


def companies(records: Sequence[Record], outdated: Outdated, wanted: Wanted) -> Iterator[tuple[Company, list[str]]]:
    """For each row and variant the company to show, and a note on each that is not shown."""
    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(_name(record), []).append(record)
    for key, group in rows.items():
        parts: dict[str, list[Record]] = {}
        for record in group:
            parts.setdefault(_signature(record), []).append(record)
        judged = [Company(key, part, _stale(part[0], outdated, wanted)) for part in parts.values()]
        shown, *others = sorted(judged, key=_rank, reverse=True)
        yield shown, [_note(other, shown) for other in others]


def _name(record: Record) -> str:
    """The row, with what was changed about it: such runs are never mixed with the row's own."""
    changes = record.get("variant") or {}
    names = [f"{name.removeprefix(record['row'] + '.')}={changes[name]}" for name in sorted(changes)]
    return f"{record['row']} [{', '.join(names)}]" if names else record["row"]


def made_from(settings: Any, recipe: Any, revision: Any = None) -> Made:
    """`Made` of a run; a revision that names no row counts as the first."""
    return Made(canonical([settings, recipe]), revision.get("row", 1) if isinstance(revision, Mapping) else 1)


def _signature(record: Record) -> str:
    """All that the seeds of a row have in common."""
    settings, inputs = record.get("settings") or {}, record.get("inputs") or {}
    common = {name: mark for name, mark in inputs.items() if not _of_the_seed(settings.get(name))}
    names = ("recipe", "revision", "promise", "measure")
    return canonical([settings, common, *(record.get(name) for name in names)])


def _of_the_seed(setting: Any) -> bool:
    """Whether a setting stands for the network that another row trained with the run's own seed."""
    return isinstance(setting, Mapping) and "row" in setting and "seed" not in setting


def _stale(record: Record, outdated: Outdated, wanted: Wanted) -> str:
    if parts := outdated(record.get("revision")):
        return f"an older revision of {listed(parts)}"
    now = wanted.get(record["row"])
    if now is None or record.get("variant"):
        return ""
    then = made_from(*(record.get(name) for name in ("settings", "recipe", "revision")))
    if then.row < now.row:
        return "an older revision of the row"
    return "" if then.of == now.of else "settings that the experiment no longer has"


def revision_order(revision: Any) -> int:
    """A number that rises whenever a part of a revision is raised, whatever form the revision has."""
    return sum(map(int, re.findall(r"\d+", canonical(revision))))


def _rank(company: Company) -> tuple[Any, ...]:
    """What is shown where there is a choice: up to date, then newest revision, most seeds, committed, latest."""
    records, first = company.records, company.records[0]
    done = len({record["seed"] for record in records if record["status"] == "done"})
    committed = sum(record.get("origin") == "published" for record in records)
    latest = max(map(day_of, records))
    return not company.stale, revision_order(first.get("revision")), done, committed, latest, _signature(first)


def _note(other: Company, shown: Company) -> str:
    first, now = other.records[0], shown.records[0]
    if other.stale:
        why = other.stale
    elif first.get("revision") != now.get("revision"):
        why = f"revision {canonical(first.get('revision'))}"
    else:
        parts = ("settings", "recipe", "inputs", "promise", "measure")
        why = f"other {listed([part for part in parts if first.get(part) != now.get(part)])}"
    records = counted(len(other.records), "record")
    return f"{records} of `{other.key}` ({seeds_text(record['seed'] for record in other.records)}): {why}"


def never(revision: Any) -> Iterable[str]:
    """No revision is outdated, for records whose code is not known."""
    return ()
