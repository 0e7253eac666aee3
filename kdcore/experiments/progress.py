"""How far every experiment is, from plans and records alone, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdcore.entry import Refusal
from kdcore.experiments import plan
from kdcore.experiments.estimates import about
from kdcore.experiments.revisions import outdated
from kdcore.experiments.store import Record, Store, published_folder, scan

HEAD = (
    "experiment", "asked for", "runs", "done", "failed", "running", "begun", "left", "takes", "published", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """One experiment: how far each request has come, what else is there."""

    experiment: str
    standings: list[plan.Standing]
    others: list[Record]
    published: list[Record]

    @classmethod
    def of(cls, store: Store, experiment: str) -> Progress:
        published = list(scan(published_folder() / f"{experiment}.jsonl", experiment))
        return cls(experiment, plan.standings(store, experiment), plan.other_records(store, experiment), published)

    def rows(self) -> Iterator[list[object]]:
        """Lines of a table under `HEAD`: one a request, or one that says that there was none."""
        name = self.experiment
        for each in self.standings:
            published = sum(record["profile"] == each.name.split(" on ")[0] for record in self.published)
            counts = each.asked, each.done, each.failed, each.running, each.begun, each.missing
            yield [name, each.name, *counts, _takes(each), published, ""]
            name = ""
        if not self.standings:
            yield [name, "never run here", 0, 0, 0, 0, 0, 0, "", len(self.published), self.note(self.published)]
        if self.others:
            first, note = ("" if self.standings else name), self.note(self.others)
            yield [first, "no longer asked for", len(self.others), *_ends(self.others), 0, 0, 0, "", 0, note]

    def note(self, records: list[Record]) -> str:
        """Which records are of an older revision, and of what."""
        found = [outdated(record["revision"], _row_revision(record)) for record in records]
        parts, older = sorted({part for each in found for part in each}), sum(map(bool, found))
        return f"{older} of an older revision of {', '.join(parts)}" if older else ""


def _row_revision(record: Record) -> int | None:
    """What the record's row carries today; None where there is no such row any more."""
    from kdcore.experiments import get

    try:
        return get(record["experiment"]).row(record["row"]).revision
    except Refusal:
        return None


def _takes(standing: plan.Standing) -> str:
    """How long the rest takes one process; empty where nothing is left."""
    if not standing.missing:
        return ""
    return "unknown" if standing.seconds is None else f"about {about(standing.seconds)}"


def _ends(records: list[Record]) -> tuple[int, int]:
    done = sum(record["status"] == "done" for record in records)
    return done, len(records) - done
