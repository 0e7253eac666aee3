"""Publishing records into the book. What is published is never removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kdcore.entry import Refusal
from kdcore.experiments import plan
from kdcore.experiments.hashing import canonical, same_run
from kdcore.experiments.store import Record, Store, name_of, published_folder, scan, write_whole
from kdcore.reporting.editions import Edition, edition_hash, read_editions


@dataclass(frozen=True)
class Publication:
    """What `publish` did: how many records are new, and the edition that they belong to."""

    experiment: str
    new: int
    edition: Edition
    path: Path


def publish(experiment: str, why: str, store: Store | None = None, profile: str | None = None) -> Publication:
    """Copy the runs that were last asked for into the book's records, and enter an edition.

    Args:
        experiment: whose records.
        why: the reason, for the changelog.
        store: where they are; the local one by default.
        profile: only runs of this one.

    Raises:
        Refusal: no reason, nothing to publish, or a run that is already published with other numbers.
    """
    store = store or Store()
    if not why.strip():
        raise Refusal("--why must say in a few words why these records are published, got nothing")
    asked = plan.wanted(plan.load(store, experiment), profile)
    chosen = [record for record in store.read(experiment) if record["hash"] in asked]
    if not chosen:
        under = f" under profile {profile}" if profile else ""
        raise Refusal(f"{experiment} has no record{under} in {store.folder} that was asked for, run it first")
    path = published_folder() / f"{experiment}.jsonl"
    before = list(scan(path, experiment))
    known = {record["hash"]: record for record in before}
    _refuse_conflicts(known, chosen)
    new = [record for record in chosen if record["hash"] not in known]
    if new:
        write_whole(path, "".join(canonical(record) + "\n" for record in _sorted([*before, *new])))
    edition = _edition(experiment, why.strip(), [*before, *new], {record["hash"] for record in chosen})
    return Publication(experiment, len(new), edition, path)


def _refuse_conflicts(known: Mapping[str, Record], chosen: Iterable[Record]) -> None:
    for record in chosen:
        if record["hash"] in known and not same_run(known[record["hash"]], record):
            raise Refusal(f"{name_of(record)} is published with other numbers under the same hash {record['hash']}")


def _sorted(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: (r["profile"], r["device"], r["row"], r["seed"], r["hash"]))


def _edition(experiment: str, why: str, records: list[Record], chosen: set[str]) -> Edition:
    """The newest edition: what was chosen now, and of the edition before what nothing chosen takes the place of."""
    path = published_folder() / f"{experiment}.editions.jsonl"
    editions = read_editions(path).entries
    taken = {_place(record) for record in records if record["hash"] in chosen}
    last = set(editions[-1].hashes) if editions else set()
    kept = {record["hash"] for record in records if record["hash"] in last and _place(record) not in taken}
    hashes = tuple(sorted(kept | chosen))
    if editions and editions[-1].hashes == hashes:
        return editions[-1]
    edition = Edition(datetime.now(UTC).date().isoformat(), edition_hash(hashes), hashes, why)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_whole(path, f"{before}{edition.line()}\n")
    return edition


def _place(record: Record) -> tuple[object, ...]:
    """What a record is a record of; a newer one takes the place of an older one."""
    return record["profile"], record["device"], record["row"], record["seed"], canonical(record.get("variant", {}))
