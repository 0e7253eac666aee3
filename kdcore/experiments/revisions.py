"""The revision that every loss, scheme, network and the step carry, read from syntax trees without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = ("losses", "schemes", "models", "compression", "applications")
PLACES = {"Entry": 5, "Architecture": 4}  # position of `revision` among the arguments
STEP = "step"


@lru_cache(maxsize=1)
def current() -> Mapping[str, int]:
    """Revision by key, one that is put together (``resnet{depth}``) as a pattern (``resnet*``).

    A key's is raised with its entry's or with its class's.

    Example:
        >>> current()["step"] >= 1
        True
    """
    trees = [ast.parse(path.read_bytes()) for path in _sources()]
    classes = {name: revision for tree in trees for name, revision in _class_revisions(tree)}
    return {STEP: _step()} | {key: revision for tree in trees for key, revision in _entries(tree, classes)}


def revisions_of(parts: Iterable[str]) -> dict[str, int]:
    """The current revision of each part; one that carries none (a user's network) counts as 1."""
    return {part: _of(part) or 1 for part in sorted(set(parts))}


def outdated(revision: Mapping[str, int], row: int | None = None) -> list[str]:
    """The parts whose numbers have changed since a record with these revisions was made.

    Args:
        revision: of each part.
        row: the revision that its row carries today, which no catalogue knows; None where there is no such row.

    Example:
        >>> outdated({"row": 1}, row=2)
        ['row']
    """
    now = {"row": row}
    return [part for part, number in revision.items() if (now.get(part) or _of(part) or number) > number]


def _of(part: str) -> int | None:
    known = current()
    fitting = [number for pattern, number in known.items() if "*" in pattern and fnmatchcase(part, pattern)]
    return known.get(part, max(fitting, default=None))


def _sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((PACKAGE / folder).rglob("*.py"))


def _step() -> int:
    tree = ast.parse((PACKAGE / "engine" / "machine.py").read_bytes())
    return next(number for name, number in _numbers(tree.body) if name == "STEP_REVISION")


def _class_revisions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from ((node.name, number) for name, number in _numbers(node.body) if name == "revision")


def _numbers(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """Names that are set to a number, with or without an annotation."""
    for line in body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(number))):
                yield name, number
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=int(number))):
                yield name, number


def _entries(tree: ast.Module, classes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[first, *_]) if kind in PLACES and (key := _key(first)):
                made = {sub.id for sub in node.args if isinstance(sub, ast.Name)}
                yield key, _own(node, PLACES[kind]) + sum(classes.get(name, 1) - 1 for name in made)


def _key(node: ast.expr) -> str:
    """A key as it is written; a pattern where it is put together; empty where it is neither."""
    match node:
        case ast.Constant(value=str(key)):
            return key
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in parts)
    return ""


def _own(call: ast.Call, place: int) -> int:
    given = [word.value for word in call.keywords if word.arg == "revision"] + call.args[place : place + 1]
    return given[0].value if given and isinstance(given[0], ast.Constant) else 1
