"""Every `Entry` of the project, read from the end of its module without importing anything; loading one imports it."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kdcore.catalogue.chapters import ALIASES, row_of
from kdcore.catalogue.syntax import Source, Tree, argument, dotted
from kdcore.entry import Entry, Refusal

ROOT = Path(__file__).resolve().parents[2]


class Listed(NamedTuple):
    """An `Entry` as its module writes it; `make` is a name in that module, or an experiment's key or a page."""

    key: str
    kind: str
    make: str
    settings: dict[str, Any]
    note: str
    revision: int
    module: str


def entries(root: Path = ROOT) -> tuple[Listed, ...]:
    """All entries, by module in the order of paths.

    Raises:
        ValueError: an entry is not written as literals, a key stands twice, or two entries of one make have equal
            settings.
    """
    return _index(Path(root)) if Path(root) == ROOT else read(Tree(root))


@cache
def _index(root: Path) -> tuple[Listed, ...]:
    return read(Tree(root))


def read(tree: Tree) -> tuple[Listed, ...]:
    """The entries of a tree that is being read."""
    sources = (tree.source(path) for path in tree.modules)
    found = tuple(entry for source in sources if source and "ENTRIES" in source.text for entry in _listed(source))
    _refuse_doubles(tree, found)
    return found


def _listed(source: Source) -> list[Listed]:
    start = re.search(r"^ENTRIES\b[^=\n]*=", source.text, re.M)
    if not start:
        return []
    try:
        tail = ast.parse(source.text[start.start() :])  # the tuple ends its module: a few lines instead of hundreds
    except SyntaxError:
        tail = source.tree
    value = next(node.value for node in tail.body if _names_entries(node))
    calls = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    return [_one(source.path, call) for call in calls]


def _names_entries(node: ast.stmt) -> bool:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return isinstance(target, ast.Name) and target.id == "ENTRIES"


def _one(path: str, call: ast.expr) -> Listed:
    if not isinstance(call, ast.Call) or dotted(call.func)[-1:] != ("Entry",):
        raise ValueError(f"ENTRIES of {path} must be a tuple of Entry(...), got {ast.unparse(call)}")
    given = {name: argument(call, position, name) for position, name in enumerate(Entry._fields)}
    make = given.pop("make")
    try:
        literal = {name: ast.literal_eval(node) for name, node in given.items() if node is not None}
        name = make.value if isinstance(make, ast.Constant) else ".".join(dotted(make))
        entry = Entry(**literal, make=name)
    except (ValueError, TypeError) as error:
        raise ValueError(f"an Entry of {path} must be written in literals, got {ast.unparse(call)}") from error
    return Listed(entry.key, entry.kind, name, entry.settings, entry.note, entry.revision, path)


def _refuse_doubles(tree: Tree, found: Iterable[Listed]) -> None:
    keys: dict[str, Listed] = {}
    made: dict[tuple[str, str], list[Listed]] = {}
    for entry in found:
        if entry.key in keys:
            raise ValueError(f"a key stands once, got '{entry.key}' in {keys[entry.key].module} and {entry.module}")
        keys[entry.key] = entry
        same = made.setdefault(_home(tree, entry), [])
        if twin := next((other for other in same if other.settings == entry.settings), None):
            raise ValueError(f"entries of one make need differing settings, got '{twin.key}' and '{entry.key}'")
        same.append(entry)


def _home(tree: Tree, entry: Listed) -> tuple[str, str]:
    """What an entry really makes: the module that defines it, and its name there."""
    source = tree.source(entry.module)
    if re.search(rf"^(?:(?:def|class) {re.escape(entry.make)}\b|{re.escape(entry.make)}\s*[:=])", source.text, re.M):
        return entry.module, entry.make
    found = tree.find(source, entry.make)
    return (found[0].path, entry.make) if found else (entry.module, entry.make)


def listed(key: str) -> Listed:
    """The entry of a key, by its row's or its experiment's name, or a refusal that names the nearest key."""
    by_key = {entry.key: entry for entry in entries()}
    found = by_key.get(key) or by_key.get(row_of(key)) or by_key.get(ALIASES.get(key, key))
    if found is None:
        near = nearest(key, by_key)
        hint = f", the nearest is '{near}'" if near else ""
        raise Refusal(f"'{key}' is no key of the catalogue{hint}")
    return found


def load(key: str) -> Entry:
    """The entry of a key with the real object that it makes; imports its module and nothing else.

    Example:
        >>> load("kd").kind
        'loss'
    """
    found = listed(key)
    module = importlib.import_module(found.module.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    return next(entry for entry in module.ENTRIES if entry.key == found.key)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that is meant by a misspelt one, if any comes near.

    Example:
        >>> nearest("dkt", ["kd", "dkd", "fitnet"])
        'dkd'
    """
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.4)), None)
