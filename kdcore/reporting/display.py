"""How tables and figures reach a page: one bundle for MyST, for a notebook and for a terminal.

The book reads ``text/markdown`` (a directive with a name, so that ``{numref}`` finds it), JupyterLab ``text/html``.
Fences are tildes, because a caption may hold backticks and an info string between backtick fences may not.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence

from kdcore.reporting.markup import Grid, to_html

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
KINDS = {"csv": "CSV", "tex": "LaTeX", "bib": "BibTeX", "json": "JSON", "svg": "SVG"}
CITE = "Cite this table"
TYPES = {"csv": "text/csv", "tex": "application/x-tex", "bib": "application/x-bibtex", "json": "application/json"}


def check_name(name: str) -> None:
    """A label that Sphinx keeps as it is."""
    if not NAME.fullmatch(name):
        raise ValueError(f"name must be small letters, digits and single hyphens, such as tab-response, got {name!r}")


def data_uri(content: str, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content.encode()).decode()}"


def downloads(files: Mapping[str, str]) -> str:
    """Links that carry their file: they work offline and from a page opened as a file."""
    links = []
    for name, content in files.items():
        kind = name.rpartition(".")[2]
        uri = data_uri(content, f"{TYPES[kind]};charset=utf-8")
        links.append(f'<a download="{html.escape(name)}" href="{uri}">{KINDS[kind]}</a>')
    return " · ".join(links)


def fenced(directive: str, argument: str, options: Mapping[str, str], content: str) -> str:
    """A MyST directive; its fence is longer than any in the content."""
    fence = "~" * (max(map(len, re.findall(r"~{3,}", content)), default=2) + 1)
    lines = [f":{name}: {quoted(value)}" for name, value in options.items()]
    return "\n".join([f"{fence}{{{directive}}} {argument}".rstrip(), *lines, "", content.strip(), fence])


def quoted(value: str) -> str:
    """An option's value as MyST's YAML reads it back, on one line."""
    value = " ".join(value.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def table_bundle(
    grid: Grid, caption: str, name: str, notes: Sequence[str], files: Mapping[str, str], text: str
) -> dict[str, str]:
    """The MIME bundle of a table with its notes and downloads under it."""
    caption = " ".join(caption.split())
    links = downloads(files)
    below = [" ".join(notes)] if notes else []
    if links:
        below.append(f"Download: {links}")
    options = ({"name": name} if name else {}) | {"class": "kd-table"}
    markdown = fenced("table", caption, options, grid.markdown())
    page = grid.html(caption)
    if below:
        markdown += "\n\n" + fenced("container", "kd-note", {}, "\n\n".join(below))
        page += f"\n<p>{to_html(' '.join(notes))}</p>" if notes else ""
        page += f"\n<p>Download: {links}</p>" if links else ""
    if entry := next((text.strip() for file, text in files.items() if file.endswith(".bib")), ""):
        shown = f"```bibtex\n{entry}\n```"
        markdown += "\n\n" + fenced("dropdown", CITE, {"class-container": "kd-cite"}, shown)
        page += f"\n<details><summary>{CITE}</summary><pre>{html.escape(entry)}</pre></details>"
    return {"text/markdown": markdown, "text/html": f'<div class="kd-table">\n{page}\n</div>', "text/plain": text}
