"""What the surveys say, as data: rows, additions, contents, equations, errata, published numbers, glossary.

The files and their fields are described in README.md beside this module. Everything is read once and shared, so a
caller copies before it changes anything.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import yaml

HERE = Path(__file__).parent
KINDS = ("loss", "scheme", "fusion", "model", "application", "mechanism", "outlook", "table")


class Item(TypedDict):
    """A row of the inventory or the additions."""

    id: str
    name: str
    zh: str
    chapter: str
    paper: str
    title: NotRequired[str]
    identification: NotRequired[Literal["probable", "unconfirmed"]]
    kind: str
    tier: int
    where: list[str]
    what: str
    survey_form: NotRequired[str]
    reported: NotRequired[dict[str, str]]
    members: NotRequired[list[str]]
    needs: str
    note: NotRequired[str]


class Equation(TypedDict):
    """A numbered equation of a survey: as printed, what it is about, and the form to implement if that differs."""

    id: str
    survey: str
    number: int
    title: str
    latex: str
    rows: list[str]
    errata: list[str]
    corrected: NotRequired[str]


class Erratum(TypedDict):
    """A place where a text is wrong or loose, with its evidence and whether that was checked."""

    id: str
    severity: Literal["E", "M", "L", "U"]
    marks: list[str]
    survey: str
    place: str
    equations: list[str]
    rows: list[str]
    finding: str
    evidence: str
    confirmed: bool
    to_confirm: NotRequired[str]
    open: NotRequired[str]


class Section(TypedDict):
    """A section of a text: our title, its own heading, the numbers and our titles of what it prints."""

    title: str
    zh: str
    equations: NotRequired[list[int]]
    figures: NotRequired[dict[int, str]]
    tables: NotRequired[dict[int, str]]
    formulas: NotRequired[list[str]]
    parts: NotRequired[list[dict[str, str]]]


class Word(TypedDict):
    """A term: both names, one sentence, and the rows that use it, or the page where it is a term of the book's own."""

    term: str
    zh: str
    means: str
    rows: NotRequired[list[str]]
    page: NotRequired[str]


@cache
def _read(name: str) -> Any:
    """One file of this folder; libyaml's parser where there is one, since Python's takes eight times as long."""
    return yaml.load((HERE / f"{name}.yaml").read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def inventory() -> list[Item]:
    """Everything that the five texts name, in the order of their chapters."""
    return _read("inventory")


def additions() -> list[Item]:
    """What other comparisons of the field expect and the texts do not name; counted apart."""
    return _read("additions")


def equations() -> list[Equation]:
    return _read("equations")


def errata() -> list[Erratum]:
    return _read("errata")


def published() -> list[dict[str, Any]]:
    """Numbers that others printed, in blocks of one source, pair and protocol."""
    return _read("published")


def surveys() -> list[dict[str, Any]]:
    return _read("surveys")


def contents() -> dict[str, dict[str, Section]]:
    """The sections of each text by its own numbers, in its order, with what is printed in them."""
    return _read("contents")


def glossary() -> list[Word]:
    """Terms of the field in both languages."""
    return _read("glossary")


@cache
def rows() -> dict[str, Item]:
    """Inventory and additions by key."""
    return {item["id"]: item for item in (*inventory(), *additions())}


def equations_of(key: str) -> list[Equation]:
    """The numbered equations that a row covers."""
    return [equation for equation in equations() if key in equation["rows"]]


def errata_of(key: str) -> list[Erratum]:
    """The errata that touch a row."""
    return [erratum for erratum in errata() if key in erratum["rows"]]
