"""What answers a row of the surveys: the section that tells it, the code, the test; or that it is planned."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kdcore.publishing.addresses import source
from kdcore.publishing.pages.links import COVERAGE, Links, Row, address, anchor
from kdcore.publishing.pages.reference import PACKAGES, page_of

PLANNED, PASSING = "planned", "named in passing"


class Made(NamedTuple):
    """A function, class or claim: the file that defines it and its name there."""

    path: str
    name: str
    callable: bool = True

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class Answer(NamedTuple):
    """Three cells as HTML, one entry a thing; nothing where there is nothing."""

    section: str
    code: tuple[str, ...] = ()
    test: str = ""


@dataclass(frozen=True)
class Answers:
    """All that is known of rows, by key: the coverage's state, what was made for it, where the repository stands."""

    rows: Mapping[str, Row]
    state: Mapping[str, Mapping[str, Any]]
    made: Mapping[str, tuple[Made, ...]]
    links: Links
    repository: str = ""
    tables: Mapping[str, str] = field(default_factory=dict)  # row of a table to its experiment

    @classmethod
    def of(cls, rows: Iterable[Row], state: Mapping[str, Any], links: Links, repository: str) -> Answers:
        """With what the syntax trees say of each row."""
        from kdcore.catalogue import ALIASES, CHAPTERS
        from kdcore.catalogue.entries import ROOT
        from kdcore.catalogue.evidence import Evidence
        from kdcore.catalogue.syntax import Tree

        evidence, rows = Evidence(Tree(ROOT)), {row["id"]: row for row in rows}
        made = {}
        for key, row in rows.items():
            things = evidence.things(key, row["kind"], CHAPTERS[row["chapter"]])
            made[key] = tuple(dict.fromkeys(_made(thing) for thing in things))
        return cls(rows, state, made, links, repository, ALIASES)

    def here(self, key: str) -> bool:
        return bool(self.state.get(key, {}).get("implemented"))

    def row(self, key: str, page: str) -> Answer:
        """What answers a row, as seen from a page."""
        name, state = f"<code>{html.escape(key)}</code>", self.state.get(key, {})
        if not self.here(key) and not self.links.told(key):
            word = PASSING if self.rows[key]["tier"] == 3 else PLANNED
            href = html.escape(address(COVERAGE, f"row-{anchor(key)}", page))
            return Answer(f'{name} <a class="kd-planned" href="{href}">{word}</a>', self.code(key, page))
        section = f'<a href="{html.escape(self.links.of_row(key, page))}">{name}</a>'
        return Answer(section, self.code(key, page), self.test(state.get("test")))

    def code(self, key: str, page: str) -> tuple[str, ...]:
        """Functions before classes, linked where the reference has a place for them; a table's experiment."""
        if key in self.tables:
            return (f"<code>kdcore run {html.escape(self.tables[key])}</code>",) if self.here(key) else ()
        found = sorted(self.made.get(key, ()), key=lambda one: not one.name.endswith("_loss"))
        return tuple(self.linked(one, page) for one in found)

    def linked(self, made: Made, page: str) -> str:
        shown, package = f"<code>{html.escape(made.name)}</code>", made.module.split(".")[1]
        if package in PACKAGES and made.callable:
            target = address(f"generated/api/{page_of(made.module)}", f"{made.module}.{made.name}", page)
            return f'<a href="{html.escape(target)}">{shown}</a>'
        return self.at_source(made.path, shown)

    def test(self, place: str | None) -> str:
        """The test class, linked to its file where the repository has a public address."""
        if not place:
            return ""
        path, _, name = place.partition("::")
        return self.at_source(path, f"<code>{html.escape(name or path)}</code>")

    def at_source(self, path: str, shown: str) -> str:
        href, title = source(self.repository, path), html.escape(path)
        return f'<a href="{href}" title="{title}">{shown}</a>' if href else f'<span title="{title}">{shown}</span>'


def _made(thing: Any) -> Made:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return Made(thing.source.path, thing.name, isinstance(thing.source.top[thing.name], kinds))
