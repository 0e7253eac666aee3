"""The map of methods: the three surveys' taxonomies laid over our chapters, every node a link.

A row of the figure is a chapter. On its left stand the sections in which each survey treats it, on its right the
methods; marks on a method say which surveys name it. It is text and boxes, so it scales, is searched and is read aloud.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.publishing.pages.links import Links, Row, address, anchor, chinese

PAGE = "generated/map"
SURVEYS = {"zhao2026": "Zhao 2026", "si2023": "Si 2023", "huang2022": "Huang 2022"}
SECTION = re.compile(r"§(\d+(?:\.\d+)*)")
INTRODUCTION = """\
# Map of methods {zh}`方法图谱`

The three surveys cut the field differently: {cite:t}`zhao2026` by what a loss compares, {cite:t}`si2023` by aim,
{cite:t}`huang2022` by form of knowledge, method and application.
Below, their sections stand beside the chapters of this book, and beside these every method that they name.
"""
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
    sections: Mapping[str, Mapping[str, Sequence[str]]],
    links: Links,
) -> str:
    """The whole page as Markdown around one figure."""
    marks = ", ".join(f'<span class="kd-mark kd-{key}"></span> {name}' for key, name in SURVEYS.items())
    parts = [
        chapter_row(key, chapter, [row for row in rows if row["chapter"] == key], done, sections, links)
        for key, chapter in chapters.items()
    ]
    caption = f'<figcaption id="kd-map-caption">{LEGEND}{marks}.</figcaption>'
    figure = "\n".join(
        ['<figure class="kd-map" aria-labelledby="kd-map-caption">', caption, *filter(None, parts), "</figure>"]
    )
    return f"{INTRODUCTION}\n{figure}\n"


def chapter_row(
    key: str,
    chapter: Any,
    rows: Sequence[Row],
    done: Mapping[str, bool],
    sections: Mapping[str, Mapping[str, Sequence[str]]],
    links: Links,
) -> str:
    if not rows:
        return ""
    main = [row for row in rows if row["tier"] < 3]
    count = f"{sum(done.get(row['id'], False) for row in main)} of {len(main)}"
    head = f'<a href="{address("generated/coverage", f"coverage-{key}", PAGE)}">{html.escape(chapter.title)}</a>'
    title = f'<p class="kd-chapter">{head} {chinese(chapter.zh)} <span class="kd-count">{count}</span></p>'
    left = "".join(survey_cell(survey, rows, sections[survey]) for survey in SURVEYS)
    right = "".join(node(row, done, links) for row in rows)
    return f'<div class="kd-row">{title}<div class="kd-sections">{left}</div><div class="kd-nodes">{right}</div></div>'


def survey_cell(survey: str, rows: Sequence[Row], titles: Mapping[str, Sequence[str]]) -> str:
    """The sections of one survey that name something of this chapter, in their order."""
    numbers = {number for row in rows for number in sections_of(row, survey)}
    cells = []
    for number in sorted(numbers, key=in_order):
        english, zh = titles.get(number, ("", ""))
        href = address(f"generated/surveys/{survey}", anchor(f"{survey}-{number}"), PAGE)
        said = html.escape(f"{SURVEYS[survey]}, section {number}: {english} {zh}")
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
