"""Which published code our numbers were held against, and why there is none for the rest."""

from __future__ import annotations

import html
from pathlib import Path

import yaml

from kdcore.publishing.pages.links import Links
from kdcore.reporting.markup import code, escape

PAGE = "implementations"
HEAD = """\
For each loss whose authors, or a widely used collection, published code, values and gradients were made once with that code on inputs from a closed formula, and are kept with repository, commit and function.
Numbers are kept, never the code; a test compares ours with them in float64.

| Loss | Repository, commit | Function | Cases |
|:--|:--|:--|--:|
"""  # noqa: E501
NONE = "\n\n## Without such code {zh}`没有参考代码的条目`\n\nThese are held against a loop from their equation.\n\n"


def implementations_page(folder: Path, links: Links) -> str:
    """The whole list, from the reference numbers that the tests read."""
    lines, none = [], []
    for path in sorted(folder.glob("*.yaml")):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem == "none":
            none = [f"- {links.code(key, PAGE)}: {escape(why)}." for key, why in found.items()]
        else:
            lines += [line(path.stem, one, links) for one in found]
    return HEAD + "\n".join(lines) + NONE + "\n".join(none) + "\n"


def line(key: str, source: dict, links: Links) -> str:
    place = f"https://github.com/{source['repository']}/blob/{source['commit']}/{source['path']}"
    shown = html.escape(source["repository"])
    where = f'<a href="{html.escape(place)}">{shown}</a>, <code>{source["commit"][:7]}</code>'
    function = code(source["function"]).replace("|", "\\|")
    return f"| {links.code(key, PAGE)} | {where} | {function} | {len(source['cases'])} |"
