"""The coverage page: every row of the inventory, and whether code, test and notebook bear it out."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.publishing.pages.links import COVERAGE, Links, Row, anchor, chinese

INTRODUCTION = """\
# Coverage {zh}`覆盖情况`

What the surveys name, row by row, and what of it is here.
A row counts as implemented when the code bears it out: a public function or class under its key,
tests of its own with assertions, and a cell of its chapter's notebook that calls it.
This page is computed from the syntax of the code, never typed;
`kdcore coverage --why KEY` says what a row still lacks.
Tier 1 has an equation or a number in a table, tier 2 is an idea that can be implemented, tier 3 is named in passing.
"""
COLUMNS = ("Key", "Here", "What it is", "Kind", "Where it is named")
HEAD = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in COLUMNS)}</tr></thead>"
ADDITIONS = """\
## Additions {zh}`补充`

What other comparisons of the field expect and the surveys do not name; counted apart.
"""


def coverage_page(
    rows: Sequence[Row],
    additions: Sequence[Row],
    state: Mapping[str, Mapping[str, Any]],
    chapters: Mapping[str, Any],
    links: Links,
) -> str:
    """The whole page as Markdown; `state` is `kdcore.catalogue.coverage`'s row for each key, as a mapping."""
    parts = [INTRODUCTION, summary(rows, state, chapters)]
    for key, chapter in chapters.items():
        own = [row for row in rows if row["chapter"] == key]
        if own:
            parts.append(f"(coverage-{key})=\n## {chapter.title} {{zh}}`{chapter.zh}`\n\n{table(own, state, links)}\n")
    if additions:
        parts.append(f"{ADDITIONS}\n{table(additions, state, links)}\n")
    return "\n".join(parts)


def table(rows: Sequence[Row], state: Mapping[str, Mapping[str, Any]], links: Links) -> str:
    lines = "\n".join(line(row, state.get(row["id"], {}), links) for row in rows)
    return f'<div class="kd-wide"><table class="kd-coverage">\n{HEAD}\n<tbody>\n{lines}\n</tbody></table></div>'


def summary(rows: Sequence[Row], state: Mapping[str, Mapping[str, Any]], chapters: Mapping[str, Any]) -> str:
    """How many rows of each chapter are implemented, of those that can be (tiers 1 and 2)."""
    lines = ["| Chapter | Implemented | Tiers 1 and 2 | Named in passing |", "|:--|--:|--:|--:|"]
    total = [0, 0, 0]
    for key, chapter in chapters.items():
        own = [row for row in rows if row["chapter"] == key]
        main = [row for row in own if row["tier"] < 3]
        done = sum(bool(state.get(row["id"], {}).get("implemented")) for row in main)
        counts = [done, len(main), len(own) - len(main)]
        total = [one + other for one, other in zip(total, counts)]
        lines.append(f"| {{ref}}`{chapter.title} <coverage-{key}>` | {counts[0]} | {counts[1]} | {counts[2]} |")
    lines.append(f"| **All** | **{total[0]}** | **{total[1]}** | **{total[2]}** |")
    return "\n".join([*lines, ""])


def line(row: Row, state: Mapping[str, Any], links: Links) -> str:
    """One row of the inventory, with an anchor that others can point to."""
    key = f"<code>{html.escape(row['id'])}</code>"
    name = f"{html.escape(row['name'])} {chinese(row['zh'])}" if row.get("zh") else html.escape(row["name"])
    places = "<br>".join(map(html.escape, row.get("where") or ["an addition of ours"]))
    kind = f"{row['kind']}, tier {row['tier']}"
    cells = "".join(f"<td>{cell}</td>" for cell in (key, here(row, state, links), name, kind, places))
    return f'<tr id="row-{anchor(row["id"])}">{cells}</tr>'


def here(row: Row, state: Mapping[str, Any], links: Links) -> str:
    """What there is: a link to the section that tells it, and the module that computes it."""
    done, missing = state.get("implemented"), "named in passing" if row["tier"] == 3 else "not yet"
    if links.told(row["id"]):
        word = f'<a href="{html.escape(links.of_row(row["id"], COVERAGE))}">{"yes" if done else "told"}</a>'
    else:
        word = "yes" if done else missing
    return f"{word}<br><small>{module_name(state.get('module'))}</small>" if done else word


def module_name(path: Any) -> str:
    """``losses.response.decoupled`` for its path, which may break at its dots."""
    return str(path or "").removesuffix(".py").removeprefix("kdcore/").replace("/", ".<wbr>")
