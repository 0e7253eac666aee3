"""The generated part of the errata: entries with their evidence, the unconfirmed ones apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.publishing.pages.links import Links
from kdcore.publishing.pages.methods import SURVEYS
from kdcore.reporting.markup import escape

PAGE = "errata"
SEVERITY = {
    "E": "changes an implementation or a claim",
    "M": "wrong attribution or description",
    "L": "loose wording or a clash of symbols",
    "U": "could not be verified",
}
MARKS = {
    "D": "derived or computed",
    "C": "compared with published code",
    "A": "compared with an abstract or official page",
    "I": "the text against itself or another text",
    "T": "the cited title",
    "K": "memory of the paper",
}
Entry = Mapping[str, Any]


def errata_parts(entries: Sequence[Entry], links: Links) -> dict[str, str]:
    """File name to Markdown: the confirmed entries of each text, and those that wait for confirmation."""
    parts: dict[str, list[str]] = {}
    for entry in entries:
        home = entry["survey"] if entry["survey"] in SURVEYS else "others"
        name = home if entry["confirmed"] else "unconfirmed"
        parts.setdefault(name, []).append(told(entry, links))
    return {f"{name}.md": "\n".join(texts) for name, texts in parts.items()}


def told(entry: Entry, links: Links) -> str:
    """One entry under its own label, `erratum-z-01`."""
    place = f"{entry['survey']} {entry['place']}" if entry["survey"] != "all" else entry["place"]
    lines = [f"(erratum-{entry['id'].lower()})=", f"### {entry['id']}: {escape(place)}", ""]
    lines += [f"*{SEVERITY[entry['severity']].capitalize()}.*", escape(entry["finding"]), ""]
    how = ", ".join(MARKS[mark] for mark in entry["marks"])
    lines += [f"**Evidence** ({how}): {escape(entry['evidence'])}", ""]
    if entry.get("open"):
        lines += [f"**Still from memory:** {escape(entry['open'])}", ""]
    if entry.get("to_confirm"):
        lines += [f"**What would confirm it:** {escape(entry['to_confirm'])}", ""]
    if entry.get("rows"):
        named = ", ".join(links.code(key, PAGE) for key in entry["rows"])
        lines += [f"Concerns {named}.", ""]
    return "\n".join(lines)
