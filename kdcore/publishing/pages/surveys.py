"""A page for each survey and one for the notes: what each prints, place by place, beside what answers it here.

First a text's own table of contents, every section, numbered equation, figure and table a line. Then its sections with
the rows they name, the equations as printed and as implemented, and the errata.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from kdcore.publishing.pages.answers import Answers
from kdcore.publishing.pages.links import chinese
from kdcore.publishing.pages.methods import SURVEYS
from kdcore.publishing.pages.places import (
    WORDS,
    Contents,
    Entry,
    Place,
    label,
    places,
    rows_in,
    rows_of,
    sections_named,
    touches,
)
from kdcore.reporting.formatting import capital, counted, listed
from kdcore.reporting.markup import escape

COLUMNS = ("In the text", "Told in", "Function or class", "Test", "Errata")
NOTES = "notes"
WIDE = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n"  # the table of contents is the page itself
INTRODUCTION = """\
Every section, numbered equation, figure and table of the text in its own order, and what answers it in this book:
the section that tells it, the function that computes it, the test that checks it, and what is wrong with it in print.
*Planned* leads to what is still missing.
"""


def survey_page(
    text: Entry, contents: Contents, equations: Sequence[Entry], errata: Sequence[Entry], answers: Answers
) -> str:
    """The whole page of one survey as Markdown."""
    head = f"{WIDE}# {SURVEYS[text['id']]} {{zh}}`{text['zh']}`\n\n{citation(text)}\n\n{INTRODUCTION}"
    return "\n".join([head, told(text, contents, equations, errata, answers, f"generated/surveys/{text['id']}", 2)])


def notes_page(texts: Sequence[Entry], contents: Mapping[str, Contents], errata: Sequence[Entry], answers: Answers):
    """The page of the two notes, which number no equation."""
    parts = [f"{WIDE}# The two notes {{zh}}`两篇短文`\n", INTRODUCTION]
    for text in texts:
        zh = f" {{zh}}`{text['zh']}`" if text.get("zh") else ""
        parts.append(f"({text['id']})=\n## {escape(text['title'])}{zh}\n\n{citation(text)}\n")
        parts.append(told(text, contents[text["id"]], [], errata, answers, f"generated/surveys/{NOTES}", 3))
    return "\n".join(parts)


def citation(text: Entry) -> str:
    """Who, what, when and where, as far as the copies say."""
    authors = ", ".join(map(escape, text["authors"]))
    title = f"*{escape(text['title'])}*" + (f" ({{zh}}`{text['zh']}`)" if text.get("zh") else "")
    year = "" if str(text.get("year", "")) in text["published"] else str(text["year"])
    parts = [authors, title, capital(escape(text["published"])), year, escape(text.get("note", "").rstrip("."))]
    link = f" <{text['url']}>." if text.get("url") else ""
    cite = f" In the references: {{cite:t}}`{text['cite']}`." if text.get("cite") else ""
    return f"{'. '.join(filter(None, parts))}.{link}{cite}"


def told(
    text: Entry,
    contents: Contents,
    equations: Sequence[Entry],
    errata: Sequence[Entry],
    answers: Answers,
    page: str,
    level: int,
) -> str:
    """The table of contents of one text, then its sections."""
    key = text["id"]
    own = [one for one in equations if one["survey"] == key]
    wrong = [one for one in errata if one["survey"] in (key, "all")]
    rows = {number: rows_in(key, number, contents, answers) for number in contents}
    parts = [summary(key, contents, own, answers), overview(key, contents, own, wrong, answers, page)]
    for number, section in contents.items():
        depth = "#" * min(level + number.count("."), 6)
        parts.append(f"({label(key, number)})=\n{depth} §{number} {escape(section['title'])} {{zh}}`{section['zh']}`\n")
        if rows[number]:
            parts.append(f"Names {', '.join(answers.links.code(row, page) for row in rows[number])}.\n")
        parts += [f"*{escape(part['title'])}* {{zh}}`{part['zh']}`\n" for part in section.get("parts", ())]
        parts += [equation(one, answers, page) for one in own if one["number"] in section.get("equations", ())]
        if found := [one["id"] for one in wrong if one["survey"] == key and number in sections_named(one["place"])]:
            parts.append(f"Errata: {', '.join(map(erratum, found))}.\n")
    return "\n".join(parts)


# ---------------------------------------------------------------- the table of contents


def overview(
    survey: str, contents: Contents, equations: Sequence[Entry], errata: Sequence[Entry], answers: Answers, page: str
) -> str:
    """A line for every section, numbered equation, figure and table, as HTML."""
    by_number, lines = {one["number"]: one for one in equations}, []
    for number, section in contents.items():
        head = f'<a href="#{label(survey, number)}">§{number} {html.escape(section["title"])}</a>'
        count = share(rows_in(survey, number, contents, answers), answers)
        depth = number.count(".")
        lines.append(
            f'<tr class="kd-section-{depth}"><th scope="row">{head} {chinese(section["zh"])}</th>'
            f'<td colspan="4">{count}</td></tr>'
        )
        lines += [line(one, survey, by_number, errata, answers, page) for one in places(section, number)]
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    body = "\n".join(lines)
    return (
        f'<div class="kd-wide"><table class="kd-contents"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        "</tbody></table></div>\n"
    )


def line(
    place: Place,
    survey: str,
    equations: Mapping[int, Entry],
    errata: Sequence[Entry],
    answers: Answers,
    page: str,
) -> str:
    """One equation, figure, table or formula beside what answers it."""
    name = f"{WORDS[place.kind]} {place.number}" if place.kind in WORDS else "Formula:"
    title, where = place.title, ""
    if place.kind == "equation":
        title = equations[place.number]["title"]
        name = f'<a href="#{label(survey, str(place.number), "equation")}">{name}</a>'
    elif place.kind in WORDS:
        where = f' id="{label(survey, str(place.number), place.kind)}"'
    found = [answers.row(key, page) for key in rows_of(place, survey, answers, equations)]
    told = stacked([one.section for one in found]) or '<span class="kd-planned">planned</span>'
    code = stacked(part for one in found for part in one.code)
    wrong = stacked(
        f'<a href="{"../../errata.html"}#erratum-{one["id"].lower()}">{one["id"]}</a>'
        for one in errata
        if touches(one, place, survey)
    )
    cells = [told, code, stacked(filter(None, (one.test for one in found))), wrong]
    said = "".join(
        f'<td data-label="{column}">{cell}</td>' if cell else "<td></td>" for column, cell in zip(COLUMNS[1:], cells)
    )
    return f'<tr class="kd-{place.kind}"{where}><th scope="row">{name} {html.escape(title)}</th>{said}</tr>'


def stacked(cells: Iterable[str]) -> str:
    return " ".join(f'<span class="kd-item">{cell}</span>' for cell in dict.fromkeys(cells))


def share(keys: Sequence[str], answers: Answers) -> str:
    """How much of what a section names is here."""
    main = [key for key in dict.fromkeys(keys) if answers.rows[key]["tier"] < 3]
    if not main:
        return "" if not keys else '<span class="kd-count">named in passing</span>'
    here = sum(map(answers.here, main))
    return f'<span class="kd-count">{here} of {counted(len(main), "row")} here</span>'


def summary(survey: str, contents: Contents, equations: Sequence[Entry], answers: Answers) -> str:
    """How many equations, figures and tables there are, in a sentence, and how many equations are computed."""
    found = [place for number, section in contents.items() for place in places(section, number)]
    counts = {kind: sum(place.kind == kind for place in found) for kind in (*WORDS, "formula")}
    things = [counted(count, kind) for kind, count in counts.items() if count]
    here = sum(any(map(answers.here, one["rows"])) for one in equations)
    share = "All" if here == len(equations) else f"{here} of the"
    computed = f" {share} {len(equations)} numbered equations are computed here." if equations else ""
    return f"{listed([f'{len(contents)} sections', *things])}.{computed}\n"


# ---------------------------------------------------------------- equations and errata


def equation(entry: Entry, answers: Answers, page: str) -> str:
    """An equation as printed and, where that is wrong or loose, as it is implemented."""
    rows = ", ".join(answers.links.code(key, page) for key in entry["rows"])
    wrong = f"; {', '.join(map(erratum, entry['errata']))}" if entry.get("errata") else ""
    name = label(entry["survey"], str(entry["number"]), "equation")
    text = f"({name})=\n**Equation {entry['number']}**: {escape(entry['title'])} ({rows}{wrong}).\n\n"
    text += f"```{{math}}\n{entry['latex']}\n```\n"
    if entry.get("corrected"):
        text += f"Implemented as\n\n```{{math}}\n{entry['corrected']}\n```\n"
    return text


def erratum(key: str) -> str:
    return f"{{ref}}`{key} <erratum-{key.lower()}>`"
