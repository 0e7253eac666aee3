"""What the front page shows that is computed: a real table, the doors that open, and how far things are."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from kdcore.publishing.pages.links import COVERAGE, address, chinese
from kdcore.publishing.pages.tables import PROFILES, tables_of
from kdcore.publishing.project import Project

FIRST = "cifar10-first"  # the table shown where its records are published
# Title, what is behind it, the document; a door whose document is not there is left out.
DOORS = (
    ("Read", "Idea, mathematics, code, experiment.", "executed/01_foundations"),
    ("Use one loss", "A plain function in your own loop.", "use"),
    ("Choose a loss", "What each is worth, measured.", "choose"),
    ("Rerun", "One command, resumed where it stopped.", "rerun"),
    ("Cite", "Tables with editions.", "cite"),
)


def front_parts(
    project: Project, covered: Any, chapters: Mapping[str, Any], tables: Mapping[str, str]
) -> dict[str, str]:
    """File name to Markdown, included by ``book/index.md``."""
    return {
        "doors.md": doors(project),
        "state.md": state(project, covered, chapters),
        "table.md": first_table() if f"tables/{FIRST}.md" in tables else "",
    }


def doors(project: Project) -> str:
    cards = [
        f":::{{grid-item-card}} {title}\n:link: /{document}\n:link-type: doc\n\n{said}\n:::"
        for title, said, document in DOORS
        if any((project.book / f"{document}{suffix}").is_file() for suffix in (".md", ".ipynb"))
    ]
    return "\n".join(
        [f"::::{{grid}} 2 2 {len(cards)} {len(cards)}", ":gutter: 2", ":padding: 0", "", *cards, "::::", ""]
    )


def state(project: Project, covered: Any, chapters: Mapping[str, Any]) -> str:
    """The chapters as boxes, written ones filled, and how many rows are implemented."""
    (done, of_all), boxes, told = covered.counts(), [], 0
    for key, chapter in chapters.items():
        name = chapter.notebook.removeprefix("notebooks/").removesuffix(".ipynb")
        written = (project.executed / f"{name}.ipynb").is_file()
        href = address(f"executed/{name}", "", "index") if written else address(COVERAGE, f"coverage-{key}", "index")
        told += written
        count = "{} of {}".format(*covered.counts(key))
        boxes.append(
            f'<a class="kd-tile {"kd-done" if written else "kd-open"}" href="{href}">'
            f"{html.escape(chapter.title)} {chinese(chapter.zh)} <small>{count}</small></a>"
        )
    said = (
        f"{told} of {len(chapters)} chapters are written (filled below), and {done} of {of_all} losses, schemes, "
        "claims and tables that the surveys define are computed, tested and told.\n"
    )
    return f'{said}\n<div class="kd-nodes kd-front">{"".join(boxes)}</div>\n'


def first_table() -> str:
    """The first published table, its columns without the notes; those stand on its own page."""
    profile, device, table, _ = next(tables_of(FIRST))
    said = f"{PROFILES[profile]} On {device}; intervals, notes and downloads: {{ref}}`published-{FIRST}`."
    caption = f"{table.title}, edition {table.edition}"
    return f":::{{table}} {caption}\n:name: tab-front\n:class: kd-table\n\n{table.grid.markdown()}\n:::\n\n{said}\n"
