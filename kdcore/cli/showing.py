"""What one key stands for, as text: formula, papers, places in the surveys, defaults, cost."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdcore import catalogue, survey
from kdcore.entry import Refusal
from kdcore.experiments.types import unknown

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 100


def told(key: str) -> str:
    """Everything known of a key of the catalogue, of the inventory, or of both."""
    from kdcore import experiments

    rows = survey.rows()
    entry = next((entry for entry in catalogue.entries() if entry.key == key), None)
    item = rows.get(key) or rows.get(catalogue.row_of(key))
    if entry is None and item is None:
        known = {*rows, *(entry.key for entry in catalogue.entries()), *experiments.names()}
        if key not in known:
            raise unknown("key", key, sorted(known))
    parts = [*_named(key, item, entry)]
    if entry is not None and entry.kind != "table":
        parts += _formula(entry)
    parts += _printed(item["id"] if item else key)
    if entry is not None and entry.kind != "table":
        parts += [*_defaults(entry), *_cost(entry)]
    parts += _experiment(key)
    return "\n".join(parts)


def _named(key: str, item: Any, entry: Any) -> Iterator[str]:
    yield f"{key}: {item['name']} ({item['zh']})" if item else f"{key}: {entry.note if entry else 'an experiment'}"
    if entry:
        note = f", {entry.note}" if item and entry.note else ""
        yield _line("code", f"{entry.kind} in {entry.module}, {entry.make}{note}")
    if item:
        yield _line("row", f"{item['kind']}, chapter {item['chapter']}, tier {item['tier']}")
        yield _line("papers", item["paper"])
        yield _line("places", "; ".join(item["where"]))
        yield _line("what", item["what"])


def _formula(entry: Any) -> Iterator[str]:
    """The formula of the docstring, read from the source."""
    tree = ast.parse((ROOT / entry.module).read_text(encoding="utf-8"))
    wanted = (f"{entry.key.replace('-', '_')}_loss", entry.make)
    nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in wanted]
    for node in sorted(nodes, key=lambda node: wanted.index(node.name)):
        lines = (ast.get_docstring(node) or "").splitlines()
        if ".. math::" in lines:
            yield f"formula ({node.name})"
            yield textwrap.indent(textwrap.dedent("\n".join(_block(lines[lines.index(".. math::") + 1 :]))), "    ")
            return


def _block(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line and not line.startswith(" "):
            return
        if line.strip():
            yield line


def _printed(key: str) -> Iterator[str]:
    for equation in survey.equations_of(key):
        yield f"printed, {equation['survey']} eq. {equation['number']}: {equation['title']}"
        yield textwrap.indent(equation["latex"].strip(), "    ")
    for erratum in survey.errata_of(key):
        yield _line(f"erratum {erratum['id']}", erratum["finding"])


def _defaults(entry: Any) -> Iterator[str]:
    """Options of the class or function with their defaults, those of the key in place of them."""
    make = catalogue.load(entry.key).make
    given = inspect.signature(make).parameters.values()
    named = {each.name: each.default for each in given if each.default is not each.empty}
    values = {**named, **entry.settings}
    yield _line("defaults", ", ".join(f"{name}={value!r}" for name, value in values.items()) or "none")


def _cost(entry: Any) -> Iterator[str]:
    if entry.kind not in ("loss", "scheme", "fusion") or not isinstance(catalogue.load(entry.key).make, type):
        return
    from kdcore.experiments.cost import cost_of

    try:
        yield _line("cost", str(cost_of(entry.key)))
    except Refusal as refusal:
        yield _line("cost", f"not on the quick pair: {refusal}")


def _experiment(key: str) -> Iterator[str]:
    from kdcore import experiments

    try:
        asked = experiments.get(key)
    except Refusal:
        return
    yield _line("experiment", f"{asked.key}: {asked.title}")
    yield _line("profiles", "; ".join(f"{name} ({cost})" for name, cost in asked.cost.items()))
    for row in asked.rows:
        yield _line(f"row {row.key}", f"{row.method}; {row.source}" if row.source else row.method)


def _line(label: str, text: str) -> str:
    return textwrap.fill(f"{label}: {' '.join(str(text).split())}", WIDTH, subsequent_indent="    ")
