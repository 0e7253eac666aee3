"""What a text prints and where: numbered equations, figures, tables, the rows behind each; and places in prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from kdcore import survey
from kdcore.publishing.pages.answers import Answers

Entry = Mapping[str, Any]
Contents = Mapping[str, Mapping[str, Any]]
WORDS = {"equation": "Eq.", "figure": "Fig.", "table": "Table"}
MARKS = {"equation": "eq", "figure": "Fig", "table": "Table"}
TEXTS = ("zhao2026", "si2023", "huang2022", "note-hinton", "note-kd")
KINDS = {"eq": "equation", "Fig": "figure", "Table": "table", "section": "", "sections": ""}
NAMED = re.compile(rf"\b(?P<text>{'|'.join(TEXTS)})\b")
STEP = re.compile(
    r"(?:(?P<whose>paper|authors)[’']s? )?\b(?P<item>(?P<kind>eq|Fig|Table|sections?)\.?\s+(?P<number>\d+(?:\.\d+)*))\b"
)
NEXT = re.compile(r"\s*(?:,|,?\s(?:and|to))\s+(?P<item>(?P<number>\d+(?:\.\d+)*))\b(?!\.\d)")
ENDS = re.compile(r"(?<!\beq)(?<!\bFig)(?<!\bal)[.!?](?=\s|$)|\{cite:|\[")  # a sentence, or what somebody else says
ELSEWHERE = re.compile(r"\s+of (?:the|their|that) (?:paper|authors)")


class Place(NamedTuple):
    """Something that a text prints: a numbered equation, figure or table, or a formula without a number."""

    kind: str
    number: int
    section: str
    title: str


def places(section: Mapping[str, Any], number: str) -> Iterator[Place]:
    """What a section prints, equations first."""
    for one in section.get("equations", ()):
        yield Place("equation", one, number, "")
    for kind in ("figure", "table"):
        for one, title in section.get(f"{kind}s", {}).items():
            yield Place(kind, one, number, title)
    for one, title in enumerate(section.get("formulas", ()), start=1):
        yield Place("formula", one, number, title)


def label(text: str, number: str, kind: str = "") -> str:
    """The label of a section, an equation, a figure or a table.

    >>> label("zhao2026", "2.1"), label("zhao2026", "10", "equation"), label("note-kd", "3(1)")
    ('zhao2026-2-1', 'zhao2026-eq-10', 'note-kd-3-1')
    """
    inner = f"{MARKS[kind].lower()}-" if kind else ""
    return f"{text}-{inner}{re.sub(r'[^0-9]+', '-', number).strip('-')}"


# ---------------------------------------------------------------- the rows behind a place


def rows_in(text: str, number: str, contents: Contents, answers: Answers) -> list[str]:
    """Keys that a section names; those of a numbered item inside it too, where that is no section of its own."""
    own = set(contents)
    return [
        row["id"]
        for row in answers.rows.values()
        for place in row.get("where") or ()
        if place.split()[0] == text and number in {_known(one, own) for one in sections_named(place)}
    ]


def sections_named(place: str) -> set[str]:
    """Sections that a place names.

    >>> sorted(sections_named("si2023 §2.2.1 eq2, §3")), sections_named("note-kd §3(1)")
    (['2.2.1', '3'], {'3(1)'})
    """
    return set(re.findall(r"§(\d+(?:\.\d+)*(?:\(\d+\))?)", place))


def _known(number: str, known: set[str]) -> str:
    return number if number in known else number.partition("(")[0]


def rows_of(place: Place, text: str, answers: Answers, equations: Mapping[int, Entry]) -> list[str]:
    """Keys that answer a place: an equation's as its entry says, a table's row alone, a figure's as the rows say."""
    if place.kind == "equation":
        return list(equations[place.number]["rows"])
    if place.kind == "formula":
        named = rows_in(text, place.section, {place.section: {}}, answers)
        return [key for key in named if answers.rows[key]["kind"] in ("loss", "scheme")][:3]
    mark = re.compile(rf"\b{MARKS[place.kind]}{place.number}\b")
    of_text = lambda row: (one for one in row.get("where") or () if one.split()[0] == text)
    found = [row for row in answers.rows.values() if any(mark.search(one) for one in of_text(row))]
    tables = [row for row in found if row["kind"] == "table"]
    chosen = tables if place.kind == "table" and tables else [row for row in found if row["id"] != "scheme-diagrams"]
    return [row["id"] for row in chosen or found]


def touches(erratum: Entry, place: Place, text: str) -> bool:
    """Whether an erratum is about a place: an equation by its id, a figure or table by its name in this text."""
    if place.kind == "equation":
        return f"{text}-{place.number}" in erratum["equations"]
    if place.kind == "formula":
        return erratum["survey"] == text and "formulas" in erratum["place"]
    named = re.search(rf"\b{MARKS[place.kind]}\w*\.? {place.number}\b", str(erratum["place"]))
    return erratum["survey"] == text and bool(named)


# ---------------------------------------------------------------- places in running text


def places_in(said: str) -> Iterator[tuple[int, int, tuple[str, str, str]]]:
    """Start, end and (text, kind, number) of every place that running text names, where the text has such a place.

    A number belongs to the text that its sentence named last, unless it is said to be the paper's.

    >>> said = "zhao2026 eq. 1 to 3 and Table 1; huang2022 (section 4.2, Fig. 6) prints it so (eq. 9), and eq. 99"
    >>> [said[start:end] for start, end, _ in places_in(said)]
    ['zhao2026 eq. 1', '3', 'Table 1', 'section 4.2', 'Fig. 6', 'eq. 9']
    >>> [place for *_, place in places_in(said)][1:4]
    [('zhao2026', 'equation', '3'), ('zhao2026', 'table', '1'), ('huang2022', '', '4.2')]
    >>> [place for *_, place in places_in("As si2023 says. In eq. 2; note-kd has it, the paper's eq. 2 not")]
    []
    """
    names = list(NAMED.finditer(said))
    for named, following in zip(names, [*names[1:], None]):
        end = following.start() if following else len(said)
        if stop := ENDS.search(said, named.end(), end):
            end = stop.start()
        yield from _named_by(said, named, end)


def _named_by(said: str, named: re.Match, end: int) -> Iterator[tuple[int, int, tuple[str, str, str]]]:
    """The places of one text between its name and the end of what is said of it."""
    at = named.end()
    while step := STEP.search(said, at, end):
        found, kind = step, KINDS[step["kind"]]
        while found:
            place, at = (named["text"], kind, found["number"]), found.end()
            if printed(*place) and not step["whose"] and not ELSEWHERE.match(said, at):
                first = said[named.end() : found.start("item")].isspace()
                yield named.start() if first else found.start("item"), at, place
            found = NEXT.match(said, at, end)


@cache
def printed(text: str, kind: str, number: str) -> bool:
    """Whether a text has a place of this name."""
    contents = survey.contents()[text]
    if not kind:
        return number in contents
    found = (one for name, section in contents.items() for one in places(section, name))
    return any((one.kind, str(one.number)) == (kind, number) for one in found)


def address_of(text: str, kind: str, number: str) -> tuple[str, str]:
    """The document and the anchor of a place.

    >>> address_of("zhao2026", "equation", "10"), address_of("note-kd", "", "3")
    (('generated/surveys/zhao2026', 'zhao2026-eq-10'), ('generated/surveys/notes', 'note-kd-3'))
    """
    return f"generated/surveys/{'notes' if text.startswith('note-') else text}", label(text, number, kind)
