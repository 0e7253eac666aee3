"""All that is known of one key, gathered for the terminal and for the pages of the book."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from pathlib import Path

from kdcore.catalogue.chapters import ALIASES, CHAPTERS, chapter_of, row_of
from kdcore.catalogue.documentation import Argument, arguments, docstring, formula, prose, section
from kdcore.catalogue.entries import ROOT, Listed, nearest
from kdcore.catalogue.evidence import Evidence, Thing
from kdcore.catalogue.syntax import Tree
from kdcore.entry import Refusal
from kdcore.survey import Equation, Erratum, Item, equations_of, errata_of, rows


@dataclass(frozen=True)
class Shown:
    """One key: the row it belongs to, the surveys' equations and errata, and the code that it names.

    Attributes:
        key: as it was asked for; a variant (``kd-zhao2026``) or a row.
        row: the inventory's or the additions' row; None for a frame that no text names.
        chapter: the title of the chapter that tells it.
        equations: the surveys' numbered equations of the row, printed and corrected.
        errata: what is wrong in the texts about it.
        formula: of the code's docstring, as LaTeX.
        method: what the class that puts it into a training says of itself.
        arguments: its hyper-parameters with defaults, those that the entry sets replaced.
        cost: what the docstring says it costs, where it says so.
        entry: how the catalogue makes it; None where nothing does yet.
        variants: other entries of the same make.
        module: the file that defines it, or the experiment that fills a table.
        test: the test class that counts for the row.
        notebook: the chapter's notebook, where it exists.
    """

    key: str
    row: Item | None
    chapter: str
    equations: tuple[Equation, ...]
    errata: tuple[Erratum, ...]
    formula: str | None
    method: str
    arguments: tuple[Argument, ...]
    cost: str | None
    entry: Listed | None
    variants: tuple[Listed, ...]
    module: str | None
    test: str | None
    notebook: str | None

    def __str__(self) -> str:
        return "\n".join([*self._head(), *self._surveys(), *self._code()])

    def _head(self) -> list[str]:
        row = self.row
        if row is None:
            return [self.key, *_field("is", self.entry.note if self.entry else "")]
        named = f"{row['name']} ({row['zh']})"
        kind = f"{row['kind']}, tier {row['tier']}, chapter {row['chapter']} ({self.chapter})"
        places = "; ".join(row["where"]) or "not named in the five texts"
        head = [f"{self.key}: {named}", *_field("kind", kind), *_field("paper", row["paper"])]
        return [*head, *_field("places", places), *_field("what", row["what"])]

    def _surveys(self) -> list[str]:
        lines = []
        for equation in self.equations:
            lines += _field(f"{equation['survey']} ({equation['number']})", equation["latex"])
            lines += _field("corrected", equation.get("corrected", ""))
        lines += _field("printed", self.row.get("survey_form", "") if self.row else "")
        for erratum in self.errata:
            doubt = "" if erratum["confirmed"] else f" Not confirmed; {erratum['to_confirm']} would settle it."
            lines += _field(erratum["id"], erratum["finding"] + doubt)
        return lines

    def _code(self) -> list[str]:
        lines = [*_field("code", self.module or "none yet"), *_field("formula", self.formula or "")]
        lines += _field(f"method {self.entry.make}" if self.entry else "method", self.method)
        for argument in self.arguments:
            lines += _field(_named(argument), argument.says)
        lines += _field("further", ", ".join(_named(argument) for argument in self.arguments if not argument.says))
        note = [f"{other.key} ({other.note})" if other.note else other.key for other in self.variants]
        lines += _field("variants", "; ".join(note)) + _field("cost", self.cost or "")
        return lines + _field("test", self.test or "") + _field("notebook", self.notebook or "")


def show(key: str, root: Path = ROOT) -> Shown:
    """All that is known of a key: a row, a variant of one, or the experiment of a table.

    Raises:
        Refusal: nothing bears this name; the nearest that does is named.
    """
    evidence = Evidence(Tree(root))
    key = row_of(key)
    entry = evidence.entries.get(key)
    if entry is None and key not in rows():
        names = [*rows(), *evidence.entries, *ALIASES.values()]
        near = nearest(key, names)
        raise Refusal(f"'{key}' is no key of the catalogue" + (f", the nearest is '{near}'" if near else ""))
    return _shown(evidence, key, entry)


def _shown(evidence: Evidence, key: str, entry: Listed | None) -> Shown:
    family = [other for other in evidence.entries.values() if entry and other.make == entry.make]
    row = rows().get(key) or next((rows()[other.key] for other in family if other.key in rows()), None)
    chapter = chapter_of(row["id"], row["chapter"]) if row else None
    things = evidence.things(row["id"] if row else key, row["kind"] if row else entry.kind if entry else "", chapter)
    written = _written(things)
    nodes = [node for node, _ in written]
    places = {part.what: part.found for part in evidence.parts(row["id"], row["kind"], chapter)} if row else {}
    notebook = chapter.notebook if chapter and evidence.tree.notebook(chapter.notebook) else None
    return Shown(
        key=key,
        row=row,
        chapter=CHAPTERS[row["chapter"]].title if row else "",
        equations=tuple(equations_of(row["id"])) if row else (),
        errata=tuple(errata_of(row["id"])) if row else (),
        formula=next((found for text in map(docstring, nodes) if (found := formula(text))), None),
        method=next(
            (prose(docstring(node)) for node in nodes if entry and getattr(node, "name", "") == entry.make), ""
        ),
        arguments=_arguments(written, entry),
        cost=next((found for text in map(docstring, nodes) if (found := section(text, "Cost"))), None),
        entry=entry,
        variants=tuple(other for other in family if other.key != key),
        module=things[0].source.path if things else places.get("module"),
        test=places.get("test"),
        notebook=notebook,
    )


def _named(argument: Argument) -> str:
    return f"{argument.name} = {argument.default}" if argument.default else argument.name


def _written(things: list[Thing]) -> list[tuple[ast.stmt, dict[str, ast.stmt]]]:
    """The syntax trees of these things and of what stands beside them, functions first: they hold the formula."""
    nodes = [(thing.source.top[thing.name], thing.source.top) for thing in things]
    return sorted(nodes, key=lambda found: not isinstance(found[0], ast.FunctionDef))


def _method(nodes: list[ast.stmt], entry: Listed | None) -> str:
    """What the class says of itself that an entry makes."""
    made = entry.make if entry else None
    return next((prose(docstring(node)) for node in nodes if isinstance(node, ast.ClassDef) and node.name == made), "")


def _arguments(written: list[tuple[ast.stmt, dict[str, ast.stmt]]], entry: Listed | None) -> tuple[Argument, ...]:
    """Arguments of all these, each name once, the first that is documented; an entry's settings are its defaults."""
    found: dict[str, Argument] = {}
    for argument in (argument for node, beside in written for argument in arguments(node, beside)):
        if argument.name not in found or not found[argument.name].says:
            found[argument.name] = argument
    for name, value in (entry.settings if entry else {}).items():
        found[name] = found.get(name, Argument(name, None, ""))._replace(default=repr(value))
    return tuple(found.values())


def _field(name: str, text: str) -> list[str]:
    """A named paragraph, indented; nothing where there is nothing to say."""
    return textwrap.wrap(f"{name}: {text}", 100, initial_indent="  ", subsequent_indent="    ") if text else []
