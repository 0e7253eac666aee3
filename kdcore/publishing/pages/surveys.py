"""A page a survey: its sections in its own order, with what they name, print, and get wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.publishing.pages.links import Links, Row
from kdcore.publishing.pages.methods import SECTION, SURVEYS, in_order, sections_of
from kdcore.reporting.markup import escape

Entry = Mapping[str, Any]


def survey_page(
    survey: Entry,
    rows: Sequence[Row],
    equations: Sequence[Entry],
    errata: Sequence[Entry],
    titles: Mapping[str, Sequence[str]],
    links: Links,
) -> str:
    """The whole page as Markdown."""
    key = survey["id"]
    page = f"generated/surveys/{key}"
    head = f"# {SURVEYS[key]} {{zh}}`{survey['zh']}`\n\n{{cite:t}}`{survey['cite']}`: *{escape(survey['title'])}*.\n"
    note = (
        "The sections in the survey's own order: what each names, the equations as it prints them, and where it errs.\n"
    )
    parts = [head, note]
    for number, (english, zh) in sorted(titles.items(), key=lambda item: in_order(item[0])):
        label, level = f"{key}-{number}".replace(".", "-"), "#" * (1 + len(in_order(number)))
        parts.append(f"({label})=\n{level} §{number} {escape(english)} {{zh}}`{zh}`\n")
        own = [row for row in rows if number in sections_of(row, key)]
        if own:
            named = ", ".join(links.code(row["id"], page) for row in own)
            parts.append(f"Names {named}.\n")
        parts += [equation(one, links, page) for one in equations if place_of(one, rows, key) == number]
        wrong = [one for one in errata if one["survey"] == key and number in SECTION.findall(str(one["place"]))]
        if wrong:
            parts.append(
                "Errata: " + ", ".join(f"{{ref}}`{one['id']} <erratum-{one['id'].lower()}>`" for one in wrong) + ".\n"
            )
    return "\n".join(parts)


def place_of(equation: Entry, rows: Sequence[Row], survey: str) -> str:
    """The section that prints an equation, as the rows that rest on it say."""
    mark = f"eq{equation['number']}"
    for row in rows:
        for place in row.get("where") or ():
            if place.startswith(f"{survey} ") and mark in place.split():
                before = place.split(f" {mark}")[0]
                if numbers := SECTION.findall(before):
                    return numbers[-1]
    return ""


def equation(entry: Entry, links: Links, page: str) -> str:
    """An equation as printed and, where that is wrong or loose, as it is implemented."""
    rows = ", ".join(links.code(key, page) for key in entry["rows"])
    text = f"**Equation {entry['number']}**: {escape(entry['title'])} ({rows}).\n\n```{{math}}\n{entry['latex']}\n```\n"
    if entry.get("corrected"):
        text += f"Implemented as\n\n```{{math}}\n{entry['corrected']}\n```\n"
    return text
