"""What moved from one edition of a table to the next, and why: the changelog under it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kdcore.reporting.editions import Edition
from kdcore.reporting.formatting import counted
from kdcore.reporting.markup import code, escape
from kdcore.reporting.metrics import Metric, metric_of
from kdcore.reporting.selection import device_of, value_of

Place = tuple[str, str, str]  # profile, kind of device, row


class Mean(NamedTuple):
    """A row's mean in one edition, and the hashes it is made of."""

    value: float
    n: int
    hashes: frozenset[str]


def changes(editions: Sequence[Edition], records: Iterable[Mapping[str, Any]], metric: str = "accuracy") -> str:
    """Every edition, the newest first, with its reason and the rows whose mean moved, as Markdown."""
    records, shown = list(records), metric_of(metric)
    lines: list[str] = []
    before: dict[Place, Mean] = {}
    for edition in editions:
        now = means(edition, records, metric)
        moved = "".join(f"\n  - {one}" for one in told(before, now, shown, first=not lines))
        head = f"**{edition.date}**, edition `{edition.short}`, {counted(len(edition.hashes), 'record')}"
        lines.append(f"- {head}: {escape(edition.why.rstrip('.')) or 'no reason given'}.{moved}")
        before = now
    return "\n".join(reversed(lines)) + "\n" if lines else ""


def means(edition: Edition, records: Sequence[Mapping[str, Any]], metric: str) -> dict[Place, Mean]:
    """The mean of each row in an edition."""
    values: dict[Place, dict[str, float]] = defaultdict(dict)
    for record in records:
        if record["hash"] in edition.hashes and record["status"] == "done":
            try:
                value = value_of(record, metric)
            except KeyError:
                continue
            values[record["profile"], device_of(record), record["row"]][record["hash"]] = value
    return {
        place: Mean(statistics.fmean(found.values()), len(found), frozenset(found)) for place, found in values.items()
    }


def told(before: Mapping[Place, Mean], now: Mapping[Place, Mean], metric: Metric, first: bool) -> Iterator[str]:
    """A sentence for each row that is new, gone, or made of other records."""
    if first:
        return
    for place in sorted(now.keys() | before.keys()):
        old, new = before.get(place), now.get(place)
        if (old and old.hashes) != (new and new.hashes):
            yield sentence(place, old, new, metric)


def sentence(place: Place, old: Mean | None, new: Mean | None, metric: Metric) -> str:
    profile, device, row = place
    name = f"{code(row)} ({profile}, {device})"
    if old is None:
        return f"{name} is new: {shown(new, metric)}"
    if new is None:
        return f"{name} is no longer shown; it was {shown(old, metric)}"
    return f"{name} from {shown(old, metric)} to {shown(new, metric)}"


def shown(mean: Mean, metric: Metric) -> str:
    return f"{metric.show(mean.value, 2)} ({mean.n})"
