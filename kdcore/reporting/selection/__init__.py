"""Which records may stand in one table. Nothing is mixed, and nothing is dropped without being named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kdcore.reporting.formatting import counted, listed
from kdcore.reporting.selection.companies import Company, Outdated, Wanted, companies, never
from kdcore.reporting.selection.reading import Record, content, device_of, finite_value, origin, value_of

__all__ = [
    "WHICH",
    "Record",
    "Row",
    "Selection",
    "device_of",
    "group",
    "of_one_kind",
    "origin",
    "select",
    "sound",
    "value_of",
]

REQUIRED = ("experiment", "row", "seed", "status", "hash")
WHICH = {"last": "last epoch", "best": "best epoch", "mean_of_last_ten": "mean of the last ten epochs"}


@dataclass(frozen=True)
class Row:
    """The records of one row that belong together.

    Attributes:
        key: the row's name, with what was changed about it in brackets.
        values: seed to value.
        failures: seed to the reason why there is no value.
        records: the records behind both.
        stale: why they are not what the experiment would give today; empty where they are.
    """

    key: str
    values: dict[int, float] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    stale: str = ""

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(sorted({origin(record) for record in self.records}))


class Selection(NamedTuple):
    """Rows by key, in the order of the records, and what had to be left out."""

    rows: dict[str, Row]
    notes: tuple[str, ...]
    experiment: str
    profile: str
    device: str


def select(
    records: Iterable[Any],
    *,
    metric: str,
    which: str = "last",
    experiment: str | None = None,
    profile: str | None = None,
    device: str | None = None,
    outdated: Outdated = never,
    wanted: Wanted | None = None,
) -> Selection:
    """Sort records into rows that may be compared.

    Args:
        records: as the store reads them, and whatever else may have come with them.
        metric: see `value_of`.
        which: see `value_of`.
        experiment: records of another are foreign; needed where the records are of several.
        profile: needed where the records are of several.
        device: likewise; its kind.
        outdated: from a record's revision to the parts that have a newer one.
        wanted: row to what the experiment would make it from today (`companies.made_from`).

    Raises:
        ValueError: `which` is unknown, or the records are of several experiments, profiles or devices and it is not
            said which to take.
    """
    if which not in WHICH:
        raise ValueError(f"which must be one of {listed(WHICH, 'or')}, got {which!r}")
    kinds = {"experiment": experiment, "profile": profile, "device": device}
    found = group(records, outdated=outdated, wanted=wanted, **kinds)
    rows, notes = {}, list(found.notes)
    for company in found.companies:
        rows[company.key], clashes = _row(company, metric, which)
        notes += clashes
    return Selection(rows, tuple(notes), found.experiment, found.profile, found.device)


class Groups(NamedTuple):
    """A company a row, whatever was measured, and what had to be left out."""

    companies: list[Company]
    notes: list[str]
    experiment: str
    profile: str
    device: str


def group(
    records: Iterable[Any],
    *,
    experiment: str | None = None,
    profile: str | None = None,
    device: str | None = None,
    outdated: Outdated = never,
    wanted: Wanted | None = None,
) -> Groups:
    """The first half of `select`, for figures that read more of a record than one number; see there."""
    belonging, notes = sound(list(records), experiment)
    name = _only("experiment", experiment, {record["experiment"] for record in belonging})
    chosen, profile, device, others = of_one_kind(belonging, profile, device)
    kept, doubles = _distinct(chosen)
    found = list(companies(kept, outdated, wanted or {}))
    notes += [*others, *doubles, *(note for _, left in found for note in left)]
    return Groups([company for company, _ in found], notes, name, profile, device)


def _only(name: str, asked: str | None, found: set[str]) -> str:
    if asked is not None or len(found) <= 1:
        return asked or next(iter(found), "")
    raise ValueError(f"records of {listed(sorted(found))} cannot stand in one table: choose one with {name}=")


def sound(records: Sequence[Any], experiment: str | None = None) -> tuple[list[Record], list[str]]:
    """Records that say what they are and belong here; a note on each of the others."""
    belonging, notes = [], []
    for place, record in enumerate(records, start=1):
        lacks = REQUIRED if not isinstance(record, Mapping) else [name for name in REQUIRED if name not in record]
        if lacks:
            notes.append(f"record {place} is cut off or foreign, it has no {listed(lacks)}")
        elif experiment is not None and record["experiment"] != experiment:
            notes.append(f"record {record['hash']} is of experiment `{record['experiment']}`")
        else:
            belonging.append(record)
    return belonging, notes


def of_one_kind(
    records: Sequence[Record], profile: str | None, device: str | None
) -> tuple[list[Record], str, str, list[str]]:
    """The records of one profile and one kind of device, both, and a note on the others."""
    records, notes, kinds = list(records), [], []
    for name, asked, read in (("profile", profile, _profile_of), ("device", device, device_of)):
        kind = _only(name, asked, {read(record) for record in records})
        others = [record for record in records if read(record) != kind]
        if others:
            found = listed(sorted({read(record) for record in others}))
            notes.append(f"{counted(len(others), 'record')} of {name} {found}")
        records = [record for record in records if read(record) == kind]
        kinds.append(kind)
    return records, *kinds, notes


def _profile_of(record: Record) -> str:
    return str(record.get("profile", ""))


def _distinct(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """One record a hash: a finished one before a failed one, a committed one first; two that disagree are left out."""
    by_hash: dict[str, list[Record]] = {}
    for record in records:
        by_hash.setdefault(record["hash"], []).append(record)
    kept, notes = [], []
    for mark, same in by_hash.items():
        done = {content(record) for record in same if record["status"] == "done"}
        if len(done) > 1:
            notes.append(f"the records with hash {mark}, which disagree in their numbers")
        else:
            kept.append(min(same, key=lambda one: (one["status"] != "done", one.get("origin") != "published")))
    return kept, notes


def _row(company: Company, metric: str, which: str) -> tuple[Row, list[str]]:
    by_seed: dict[int, list[Record]] = {}
    for record in company.records:
        by_seed.setdefault(record["seed"], []).append(record)
    values, failures, used, notes = {}, {}, [], []
    for seed, same in sorted(by_seed.items()):
        if len(same) > 1:
            notes.append(f"{len(same)} different runs of `{company.key}`, seed {seed}")
            continue
        used.append(same[0])
        try:
            values[seed] = finite_value(same[0], metric, which)
        except (KeyError, ValueError, TypeError) as error:
            failures[seed] = str(error.args[0])
    return Row(company.key, values, failures, tuple(used), company.stale), notes
