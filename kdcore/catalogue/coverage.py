"""What is implemented, computed from syntax trees: never typed, never imported.

A loss is a public function or method class under its key, a test class of its own with an assertion about it, and a
notebook cell that calls it. A scheme, fusion, model or application is a class or function, tests of its gradient
routing (or an identity) and of exact resume, and a cell that trains it. A mechanism or outlook is a `Claim`, a test
that its rule gives all three verdicts, and a cell that shows it. A table is an experiment, or a page, whose rows
resolve. `evidence` holds the rules.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kdcore.catalogue.chapters import CHAPTERS, chapter_of, row_of
from kdcore.catalogue.entries import ROOT, nearest
from kdcore.catalogue.evidence import Evidence, Part
from kdcore.catalogue.syntax import Tree
from kdcore.entry import Refusal
from kdcore.survey import Item, additions, inventory, rows

FIELDS = ("id", "chapter", "tier", "kind", "implemented", "module", "test", "notebook")


@dataclass(frozen=True)
class Covered:
    """One row of the inventory and what there is of it; a place is None where nothing that counts was found."""

    id: str
    chapter: str
    tier: int
    kind: str
    implemented: bool
    module: str | None
    test: str | None
    notebook: str | None
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        """What is there and what is missing, a sentence each."""
        state = "implemented" if self.implemented else "not implemented"
        head = f"{self.id} ({self.kind}, chapter {self.chapter}, tier {self.tier}) is {state}."
        return "\n".join([head, *(str(part) for part in self.parts)])


@dataclass(frozen=True)
class Coverage:
    """Every row, the additions apart."""

    rows: tuple[Covered, ...]
    additions: tuple[Covered, ...]

    def counts(self, *chapters: str) -> tuple[int, int]:
        """Implemented rows and all rows of tier 1 and 2, of these chapters or of all."""
        return _count(row for row in self.rows if row.tier < 3 and (not chapters or row.chapter in chapters))

    def named_in_passing(self, *chapters: str) -> tuple[int, int]:
        """The same of tier 3, which is counted apart."""
        return _count(row for row in self.rows if row.tier == 3 and (not chapters or row.chapter in chapters))

    def row(self, key: str) -> Covered:
        """One row, by its own or its experiment's name."""
        known = {row.id: row for row in (*self.rows, *self.additions)}
        if row_of(key) in known:
            return known[row_of(key)]
        near = nearest(key, known)
        raise Refusal(f"'{key}' is no row of the inventory" + (f", the nearest is '{near}'" if near else ""))

    def json(self) -> str:
        """``{"rows": [...], "additions": [...]}``, the rows as the inventory orders them."""
        parts = {"rows": self.rows, "additions": self.additions}
        plain = {
            name: [{field: getattr(row, field) for field in FIELDS} for row in rows] for name, rows in parts.items()
        }
        return json.dumps(plain, ensure_ascii=False, indent=1)


def coverage(root: Path = ROOT) -> Coverage:
    """Coverage of the project under `root`, which must hold its ``tests`` and ``notebooks`` too."""
    evidence = Evidence(Tree(root))
    return Coverage(*(tuple(_cover(evidence, item) for item in items) for items in (inventory(), additions())))


def _cover(evidence: Evidence, item: Item) -> Covered:
    parts = evidence.parts(item["id"], item["kind"], chapter_of(item["id"], item["chapter"]))
    found = {part.what: part.found for part in parts}
    places = (found.get(what) for what in ("module", "test", "notebook"))
    implemented = all(part.found for part in parts if part.needed)
    return Covered(item["id"], item["chapter"], item["tier"], item["kind"], implemented, *places, tuple(parts))


def why(key: str, root: Path = ROOT) -> str:
    """What there is of a row and what is missing, in plain sentences; of an entry that is no row too."""
    evidence = Evidence(Tree(root))
    entry = evidence.entries.get(key)
    homes = [chapter for chapter in CHAPTERS.values() if entry and chapter.holds(entry.module)]
    if not homes or row_of(key) in rows():
        return str(coverage(root).row(key))
    every = [evidence.parts(key, entry.kind, chapter) for chapter in homes]  # two chapters may share a module
    parts = max(every, key=lambda parts: sum(bool(part.found) for part in parts))
    head = f"{key} ({entry.kind}) is no row of the surveys or the additions, so it is not counted."
    return "\n".join([head, *map(str, parts)])


def _count(rows: Iterable[Covered]) -> tuple[int, int]:
    counted = Counter(row.implemented for row in rows)
    return counted[True], counted.total()
