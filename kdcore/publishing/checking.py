"""Reads a built book as a browser without a network would: every link, anchor, picture and script has to be there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src"}  # fetched with the page
NO_FETCH = {"canonical", "author", "index", "search", "prev", "next", "license"}  # relations that only name a page


@dataclass
class Found(HTMLParser):
    """What one page names: anchors to point at, links to follow, files to load, pictures without a description."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = object.__hash__

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in LOADS and LOADS[tag] in given and not set(given.get("rel", "").split()) & NO_FETCH:
            self.loads.append(given[LOADS[tag]])
        if tag == "img" and not given.get("alt", "").strip():
            self.silent.append(given.get("src", ""))


class Pages(dict[Path, Found]):
    """Pages by path, each read once."""

    def __missing__(self, page: Path) -> Found:
        self[page] = Found()
        self[page].feed(page.read_text(encoding="utf-8"))
        return self[page]


def faults(html: Path) -> list[str]:
    """What does not hold, one line each; empty for a book that can be read from a folder."""
    html, pages = html.resolve(), Pages()
    paths = [path for path in sorted(html.rglob("*.html")) if "_static" not in path.relative_to(html).parts]
    return [f"{path.relative_to(html).as_posix()}: {fault}" for path in paths for fault in of(path, pages)]


def of(page: Path, pages: Pages) -> Iterator[str]:
    found = pages[page]
    for address in found.loads:
        if urlsplit(address).scheme not in ("", "data") or address.startswith("//"):
            yield f"loads {address} from elsewhere"
        elif problem := missing(address, page, pages):
            yield problem
    for address in found.links:
        if problem := missing(address, page, pages):
            yield problem
    for source in found.silent:
        yield f"picture {source} has no description"


def missing(address: str, page: Path, pages: Pages) -> str:
    """Why a relative address leads nowhere; empty where it leads somewhere or out of the book."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return f"{address} leads to no file"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in pages[target].anchors:
        return f"{address} leads to no place in its page"
    return ""
