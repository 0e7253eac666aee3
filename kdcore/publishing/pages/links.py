"""Where a key is told: the section of a notebook that bears its label, else its line in the coverage."""

from __future__ import annotations

import html
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kdcore.publishing.project import Project, text_of

LABEL = re.compile(r"^\(([A-Za-z0-9][\w:.-]*)\)=\s*$", re.M)
COVERAGE = "generated/coverage"
Row = Mapping[str, Any]  # of the inventory


def anchor(text: str) -> str:
    """The id that Sphinx gives a label.

    >>> anchor("zhao2026-2.1"), anchor("logit_std")
    ('zhao2026-2-1', 'logit-std')
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@dataclass(frozen=True)
class Links:
    """Labels and the documents they stand in, and the rows that have a line in the coverage."""

    homes: Mapping[str, str]
    rows: frozenset[str] = frozenset()

    @classmethod
    def of(cls, project: Project, rows: Iterable[str]) -> Links:
        homes = {}
        for path in sorted(project.executed.glob("*.ipynb")):
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "markdown":
                    homes |= dict.fromkeys(LABEL.findall(text_of(cell)), f"executed/{path.stem}")
        return cls(homes, frozenset(rows))

    def told(self, key: str) -> bool:
        return key in self.homes

    def of_row(self, key: str, page: str) -> str:
        """The address of a row as seen from a page, both as documents of the book."""
        target, name = (self.homes[key], anchor(key)) if key in self.homes else (COVERAGE, f"row-{anchor(key)}")
        return address(target, name, page)

    def code(self, key: str, page: str) -> str:
        """A key as code, linked if it is known; HTML, since a line of the coverage has no label for a role to name."""
        shown = f"<code>{html.escape(key)}</code>"
        known = key in self.rows or self.told(key)
        return f'<a href="{html.escape(self.of_row(key, page))}">{shown}</a>' if known else shown

    def tile(self, row: Row, page: str, done: bool, title: str = "") -> str:
        """A method as a small linked box: filled where it is told and tested, outlined where not."""
        kind = "kd-done" if done else "kd-open" if row["tier"] < 3 else "kd-named"
        href, said = html.escape(self.of_row(row["id"], page)), html.escape(title or row["name"])
        return f'<a class="kd-tile {kind}" href="{href}" title="{said}">{html.escape(row["id"])}</a>'


def address(target: str, name: str, page: str) -> str:
    """A relative link between two pages of the built book."""
    path = "" if target == page else posixpath.relpath(f"{target}.html", posixpath.dirname(page) or ".")
    return f"{path}#{name}" if name else path


def chinese(text: str) -> str:
    """Chinese inside HTML, where the role of Markdown is not read."""
    return f'<span class="zh" lang="zh">{html.escape(text)}</span>'
