"""An edition is a set of records with a name of its own: a table that is cited can be recomputed.

The short hash covers the hashes of the records, so it moves when a record is added, replaced or rerun under another
recipe, and does not when the same runs are repeated. ``book/records/<experiment>.editions.jsonl`` lists the published
ones, a line each, oldest first; nothing is ever removed from it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kdcore.entry import Refusal
from kdcore.reporting.formatting import counted

UNDATED = "undated"
LENGTH = 8
RECORDS = Path(__file__).resolve().parents[2] / "book" / "records"


def edition_hash(hashes: Iterable[str]) -> str:
    """Eight digits of the SHA-256 of the sorted, distinct hashes, each followed by a newline.

    Example:
        >>> edition_hash(["b", "a"]) == edition_hash(["a", "b", "b"]) != edition_hash(["a"])
        True
    """
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(set(hashes))).encode()).hexdigest()[:LENGTH]


@dataclass(frozen=True)
class Edition:
    """The records behind a table.

    Attributes:
        date: ISO day of publication, else of the latest record, else ``undated``; never the day of reading.
        short: `edition_hash` of `hashes`.
        hashes: of the records, sorted.
        why: the reason given at publication; empty for records that are not published.
    """

    date: str
    short: str
    hashes: tuple[str, ...]
    why: str = ""

    def __str__(self) -> str:
        return f"{self.date} ({self.short})" if self.hashes else "of no records"

    def line(self) -> str:
        """As it stands in an editions file."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def edition_of(records: Sequence[Mapping[str, Any]], published: Sequence[Edition] = ()) -> Edition:
    """The newest published edition that holds all these records, else one of their own."""
    hashes = tuple(sorted({record["hash"] for record in records}))
    for edition in reversed(published):
        if hashes and set(hashes) <= set(edition.hashes):
            return edition
    days = [day for record in records if (day := day_of(record))]
    return Edition(max(days, default=UNDATED), edition_hash(hashes), hashes)


def day_of(record: Mapping[str, Any]) -> str:
    """The ISO day on which a record was made, empty where it does not say."""
    made = record.get("provenance", {})
    stamp = str(made.get("date") or made.get("finished") or "")[:10]
    try:
        return datetime.date.fromisoformat(stamp).isoformat()
    except ValueError:
        return ""


class Editions(NamedTuple):
    """What an editions file holds, and the lines that could not be read."""

    entries: tuple[Edition, ...]
    problems: tuple[str, ...]


def read_editions(path: Path) -> Editions:
    """Every edition of a file, oldest first; a line that is no edition is named and skipped."""
    entries, problems = [], []
    for number, line in enumerate(path.read_text("utf-8").splitlines() if path.is_file() else (), start=1):
        try:
            entries.append(_edition(line))
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{path.name}, line {number}: {error}")
    return Editions(tuple(entries), tuple(problems))


def _edition(line: str) -> Edition:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError("the line is cut off or is no JSON") from error
    if not isinstance(fields, dict) or not {"date", "short", "hashes"} <= fields.keys():
        raise ValueError("an edition has a date, a short hash and the hashes of its records")
    hashes = tuple(sorted(map(str, fields["hashes"])))
    if edition_hash(hashes) != fields["short"]:
        raise ValueError(f"the hashes give {edition_hash(hashes)}, the line says {fields['short']}")
    date = datetime.date.fromisoformat(fields["date"]).isoformat()
    return Edition(date, fields["short"], hashes, str(fields.get("why", "")))


def published_editions(experiment: str, folder: Path = RECORDS) -> Editions:
    """The committed editions of an experiment; none where the package is installed without its book."""
    return read_editions(folder / f"{experiment}.editions.jsonl")


def edition_named(experiment: str, short: str, folder: Path = RECORDS) -> Edition:
    """The published edition of an experiment with this hash; its first digits are enough where they are its alone.

    Raises:
        Refusal: there is none, or more than one.
    """
    known = published_editions(experiment, folder).entries
    found = {one.short: one for one in known if short and one.short.startswith(short)}
    if len(found) == 1:
        return next(iter(found.values()))
    there = ", ".join(map(str, known)) or "none that is published"
    many = "more than one edition" if found else "no edition"
    raise Refusal(f"{experiment} has {many} {short or 'without a name'}, it has {there}")


def changelog(editions: Mapping[str, Sequence[Edition]]) -> str:
    """What was published when and why, newest first, as Markdown."""
    entries = [(one.date, key, place) for key, several in editions.items() for place, one in enumerate(several)]
    lines, day = [], None
    for date, key, place in sorted(entries, reverse=True):
        if date != day:
            lines += ["", f"## {date}", ""]
            day = date
        lines.append(f"- `{key}`, {_entry(editions[key], place)}")
    return "\n".join(lines).strip() + "\n" if lines else ""


def _entry(editions: Sequence[Edition], place: int) -> str:
    one = editions[place]
    before = set(editions[place - 1].hashes) if place else set()
    new, gone = len(set(one.hashes) - before), len(before - set(one.hashes))
    change = f"{new} new" + (f", {gone} no longer shown" if gone else "")
    return f"edition {one.short} ({counted(len(one.hashes), 'record')}, {change}): {one.why or 'no reason given'}"


def methods_published(folder: Path = RECORDS) -> dict[str, set[str]]:
    """Each experiment with committed records, and the catalogue's keys among them."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        if not path.stem.endswith(".editions"):
            records = map(json.loads, filter(None, path.read_text(encoding="utf-8").splitlines()))
            found[path.stem] = {str(record.get("method")) for record in records}
    return found
