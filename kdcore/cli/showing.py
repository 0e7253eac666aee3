"""What one key stands for, as text: what the catalogue knows of it, what it costs, where its numbers are."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from kdcore import catalogue, survey
from kdcore.entry import Refusal
from kdcore.experiments.types import unknown

WIDTH = 100


def told(key: str) -> str:
    """Everything known of a key of the catalogue, of the inventory, or of both; of an experiment, its rows."""
    from kdcore import experiments

    known = {*survey.rows(), *(entry.key for entry in catalogue.entries()), *experiments.names()}
    if catalogue.row_of(key) not in known and key not in known:
        raise unknown("key", key, sorted(known))
    return "\n".join([*_known(key), *_experiment(key)])


def _known(key: str) -> Iterator[str]:
    try:
        shown = catalogue.show(key)
    except Refusal:
        yield key
        return
    yield str(shown)
    if shown.entry is not None:
        yield from _needs(shown.entry)
        yield from _cost(shown.entry)
        yield from _records(shown.entry.key)


def _needs(entry: Any) -> Iterator[str]:
    from kdcore.catalogue.needs import needs

    if found := needs().get(entry.key):
        yield _line("needs", ", ".join(found))


def _cost(entry: Any) -> Iterator[str]:
    if entry.kind not in ("loss", "scheme", "fusion") or not isinstance(catalogue.load(entry.key).make, type):
        return
    from kdcore.experiments.cost import cost_of

    try:
        yield _line("cost", str(cost_of(entry.key)))
    except Refusal as refusal:
        yield _line("cost", f"not on the quick pair: {refusal}")


def _records(key: str) -> Iterator[str]:
    """Experiments whose committed records hold it."""
    from kdcore.reporting.editions import methods_published

    found = [name for name, methods in methods_published().items() if key in methods]
    if found:
        yield _line("records", ", ".join(f"kdcore table {name}" for name in found))


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
    said = f"{label}: {' '.join(str(text).split())}"
    return textwrap.fill(said, WIDTH, initial_indent="  ", subsequent_indent="    ")
