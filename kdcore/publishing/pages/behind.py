"""What stands behind a function of the reference: its keys, sections, tests, published tables and cost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kdcore.publishing.pages.answers import Answers
from kdcore.publishing.pages.reference import About, keys_by_name, page_of
from kdcore.publishing.project import PACKAGE, Project, digest, sha256, write_whole

if TYPE_CHECKING:
    from kdcore.experiments.cost import Cost


def said_behind(answers: Answers, published: Mapping[str, set[str]], costs: Mapping[str, Cost]) -> About:
    """From a full name to a paragraph; nothing where no row of the surveys or the additions rests on it."""
    names = keys_by_name(answers.made)

    def about(name: str) -> str:
        page = f"generated/api/{page_of(name.rpartition('.')[0])}"
        return "\n\n".join(paragraph(key, answers, published, costs, page) for key in names.get(name, ()))

    return about


def paragraph(
    key: str, answers: Answers, published: Mapping[str, set[str]], costs: Mapping[str, Cost], page: str
) -> str:
    """One key: where it is told, who names it, how it is tested, where its numbers are, what it costs."""
    row, found = answers.rows[key], answers.row(key, page)
    parts = [f"**Key** {found.section}"]
    parts += [f"**Named in** {'; '.join(map(plainly, row['where']))}"] if row.get("where") else []
    parts += [f"**Test** {found.test}"] if found.test else []
    tables = sorted(name for name, methods in published.items() if key in methods)
    parts += [f"**Records** {', '.join(f'{{ref}}`published-{name}`' for name in tables)}"] if tables else []
    parts += [f"**Cost** {costs[key]}"] if key in costs else []
    return " · ".join(parts)


def plainly(place: str) -> str:
    """A place of the inventory as prose names it, so that it becomes a link.

    >>> plainly("zhao2026 §5.1 eq10 Table2 [14]")
    'zhao2026 section 5.1, eq. 10, Table 2'
    """
    text, *rest = place.split()
    words = {"§": "section ", "eq": "eq. ", "Fig": "Fig. ", "Table": "Table "}
    said = []
    for part in rest:
        mark = next((mark for mark in words if part.startswith(mark)), None)
        said += [words[mark] + part.removeprefix(mark)] if mark and part[-1].isalnum() else []
    return f"{text} {', '.join(said)}" if said else text


def costs(project: Project, keys: Iterable[str]) -> dict[str, Cost]:
    """What a step with each costs on the quick pair; worked out once for each state of the code that it rests on."""
    from kdcore.experiments.cost import Cost

    path = project.build / "step-costs.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    mark = sha256(digest([*PACKAGE.glob("*.py"), *(PACKAGE / "losses").rglob("*.py")], PACKAGE))
    found = {}
    for key in keys:
        kept = known.get(key, [])
        found[key] = kept if kept[:1] == [mark] else [mark, cost(key)]
    write_whole(path, json.dumps(found, indent=1))
    return {key: Cost(*numbers) for key, (_, numbers) in found.items() if numbers}


def cost(key: str) -> tuple[float, int, int] | None:
    """The numbers of a cost; None where the quick pair cannot serve the loss."""
    from kdcore.experiments.cost import cost_of

    try:
        return dataclasses.astuple(cost_of(key))
    except (ValueError, TypeError, RuntimeError):  # refused, or not made for the quick pair
        return None
