"""The map of methods: the three surveys' taxonomies laid over our chapters, every node a link.

First a tree of the chapters with each survey's sections beside them. Then every method: a row is a chapter, on its
left the sections in which each survey treats it, on its right the methods, with marks for the surveys that name them.
The second is text and boxes, so it fits a phone, is searched and is read aloud.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.publishing.pages.links import COVERAGE, Links, Row, address, anchor, chinese
from kdcore.reporting.figures import Node, method_map

PAGE = "generated/map"
SURVEYS = {"zhao2026": "Zhao 2026", "si2023": "Si 2023", "huang2022": "Huang 2022"}
SECTION = re.compile(r"§(\d+(?:\.\d+)*)")
# Our order of the chapters, under the question that each group answers.
GROUPS = {
    "What there is to explain": ("foundations", "mechanism"),
    "What is matched": ("response", "feature", "relation", "contrastive", "adversarial", "vit", "llm"),
    "How it is learned": (
        "online", "self", "multi-teacher", "amalgamation", "assistant-progressive", "cross-modal", "lifelong",
        "data-free",
    ),
    "What it is joined with": ("compression", "fusion"),
    "Where it is used": ("vision-apps", "nlp-speech-rec", "security-privacy", "multimodal-finance"),
    "How it is judged": ("benchmarks", "outlook"),
}  # fmt: skip
SHOWN = 4  # sections of a survey beside a chapter of the tree: those that name most of it
INTRODUCTION = """\
# Map of methods {zh}`方法图谱`

The three surveys cut the field differently: {cite:t}`zhao2026` by what a loss compares, {cite:t}`si2023` by aim,
{cite:t}`huang2022` by form of knowledge, method and application.
Here their sections stand beside the chapters of this book, first as a tree, then with every method that they name.
"""
CAPTION = "The chapters of this book, and the sections of the three surveys that name most of each."
ALT = "A tree of six groups and their chapters; beside each chapter the numbers of sections of three surveys."
LEGEND = (
    'A <span class="kd-tile kd-done">filled</span> box is computed, tested and told here; '
    'an <span class="kd-tile kd-open">outlined</span> one is not yet; '
    'a <span class="kd-tile kd-named">dotted</span> one is only named in passing. '
    "The bars under a box say which surveys name it: "
)


def map_page(
    rows: Sequence[Row],
    done: Mapping[str, bool],
    chapters: Mapping[str, Any],
    contents: Mapping[str, Mapping[str, Any]],
    links: Links,
) -> str:
    """The whole page as Markdown around one figure."""
    marks = ", ".join(f'<span class="kd-mark kd-{key}"></span> {name}' for key, name in SURVEYS.items())
    parts = [
        chapter_row(key, chapter, [row for row in rows if row["chapter"] == key], done, contents, links)
        for key, chapter in chapters.items()
    ]
    caption = f'<figcaption id="kd-map-caption">{LEGEND}{marks}.</figcaption>'
    figure = "\n".join(
        ['<figure class="kd-map" aria-labelledby="kd-map-caption">', caption, *filter(None, parts), "</figure>"]
    )
    tree = method_map(root(rows, chapters, links), list(SURVEYS.values()), caption=CAPTION, alt=ALT, name="fig-map")
    return "\n".join([INTRODUCTION, tree._repr_mimebundle_()["text/markdown"], "", figure, ""])


def root(rows: Sequence[Row], chapters: Mapping[str, Any], links: Links) -> Node:
    """The tree: groups, their chapters, and beside each the sections of every survey."""
    branches = []
    for title, keys in GROUPS.items():
        leaves = [leaf(key, chapters[key], rows, links) for key in keys if key in chapters]
        branches += [Node(title, children=tuple(leaves))] if leaves else []
    return Node("Distillation", children=tuple(branches))


def leaf(key: str, chapter: Any, rows: Sequence[Row], links: Links) -> Node:
    own = [row for row in rows if row["chapter"] == key]
    marks = {}
    for survey, name in SURVEYS.items():
        most = Counter(number for row in own for number in sections_of(row, survey)).most_common(SHOWN)
        marks[name] = ", ".join(sorted((number for number, _ in most), key=in_order))
    notebook = chapter.notebook.removeprefix("notebooks/").removesuffix(".ipynb")
    written = f"executed/{notebook}" in links.homes.values()
    href = address(f"executed/{notebook}", "", PAGE) if written else address(COVERAGE, f"coverage-{key}", PAGE)
    return Node(chapter.title, href, marks=marks)


def chapter_row(
    key: str,
    chapter: Any,
    rows: Sequence[Row],
    done: Mapping[str, bool],
    contents: Mapping[str, Mapping[str, Any]],
    links: Links,
) -> str:
    if not rows:
        return ""
    main = [row for row in rows if row["tier"] < 3]
    count = f"{sum(done.get(row['id'], False) for row in main)} of {len(main)}"
    head = f'<a href="{address(COVERAGE, f"coverage-{key}", PAGE)}">{html.escape(chapter.title)}</a>'
    title = f'<p class="kd-chapter">{head} {chinese(chapter.zh)} <span class="kd-count">{count}</span></p>'
    left = "".join(survey_cell(survey, rows, contents[survey]) for survey in SURVEYS)
    right = "".join(node(row, done, links) for row in rows)
    return f'<div class="kd-row">{title}<div class="kd-sections">{left}</div><div class="kd-nodes">{right}</div></div>'


def survey_cell(survey: str, rows: Sequence[Row], titles: Mapping[str, Mapping[str, Any]]) -> str:
    """The sections of one survey that name something of this chapter, in their order."""
    numbers = {number for row in rows for number in sections_of(row, survey)}
    cells = []
    for number in sorted(numbers, key=in_order):
        section = titles[number]
        href = address(f"generated/surveys/{survey}", anchor(f"{survey}-{number}"), PAGE)
        said = html.escape(f"{SURVEYS[survey]}, section {number}: {section['title']} {section['zh']}")
        cells.append(f'<a class="kd-section kd-{survey}" href="{href}" title="{said}">§{number}</a>')
    return f'<span class="kd-survey">{"".join(cells)}</span>' if cells else ""


def node(row: Row, done: Mapping[str, bool], links: Links) -> str:
    named = [survey for survey in SURVEYS if any(place.startswith(survey) for place in row.get("where") or ())]
    marks = "".join(f'<span class="kd-mark kd-{survey}"></span>' for survey in named)
    said = f"{row['name']} {row.get('zh', '')} (named by {', '.join(SURVEYS[one] for one in named) or 'a note'})"
    tile = links.tile(row, PAGE, done.get(row["id"], False), said)
    return f'<span class="kd-node">{tile}<span class="kd-marks" aria-hidden="true">{marks}</span></span>'


def sections_of(row: Row, survey: str) -> list[str]:
    """The numbers of the sections of one survey that name a row.

    >>> sections_of({"where": ["si2023 §2.2.1 eq2", "huang2022 §4.2"]}, "si2023")
    ['2.2.1']
    """
    return [
        number for place in row.get("where") or () if place.split()[0] == survey for number in SECTION.findall(place)
    ]


def in_order(number: str) -> tuple[int, ...]:
    return tuple(map(int, number.split(".")))
