"""Reading the project as text and syntax trees, without importing any of it. Each file is read and parsed once."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Source:
    """One Python file: its tree, and what stands at its top level by name."""

    def __init__(self, path: str, text: str):
        self.path, self.text = path, text

    @cached_property
    def tree(self) -> ast.Module:
        try:
            return ast.parse(self.text, self.path)
        except SyntaxError as error:
            raise ValueError(f"{self.path} must be valid Python, got a syntax error in line {error.lineno}") from error

    @cached_property
    def names(self) -> frozenset[str]:
        """Top-level functions and classes, found without parsing."""
        return frozenset(re.findall(r"^(?:async def|def|class)\s+(\w+)", self.text, re.M))

    @cached_property
    def top(self) -> dict[str, ast.stmt]:
        """Top-level functions, classes and assignments by name."""
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, Definition):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        return found

    @cached_property
    def imports(self) -> dict[str, str]:
        return imports([self.tree])

    def closure(self, *nodes: ast.AST) -> list[ast.AST]:
        """These nodes, and the top-level things of this file that they name, and so on."""
        seen: dict[str, ast.AST] = {}
        waiting = list(nodes)
        while waiting:
            for name in loaded(waiting.pop()):
                if name in self.top and name not in seen:
                    seen[name] = self.top[name]
                    waiting.append(self.top[name])
        return [*nodes, *seen.values()]


class Notebook:
    """The code cells of one notebook; text cells, strings and comments do not count as code."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.cells = [tree for cell in json.loads(text)["cells"] if (tree := _cell(cell)) is not None]
        self.imports = imports(self.cells)
        for own in stored(self.cells):
            self.imports.pop(own, None)  # the notebook's own thing of that name, not ours

    @cached_property
    def calls(self) -> list[tuple[tuple[str, ...], ast.Call]]:
        """Calls of what was imported from the project, by the full name of what is called."""
        nodes = (node for cell in self.cells for node in ast.walk(cell) if isinstance(node, ast.Call))
        return [(name, node) for node in nodes if (name := self._full(node.func))]

    @cached_property
    def names(self) -> frozenset[tuple[str, ...]]:
        """Everything of the project that a code cell reads, by its full name."""
        nodes = (node for cell in self.cells for node in ast.walk(cell))
        return frozenset(
            name for node in nodes if isinstance(node, ast.Name | ast.Attribute) and (name := self._full(node))
        )

    def _full(self, node: ast.AST) -> tuple[str, ...]:
        names = dotted(node)
        start = self.imports.get(names[0], "") if names else ""
        return (*start.split("."), *names[1:]) if start.split(".")[0] == "kdcore" else ()

    def asked(self, function: str) -> set[str]:
        """First arguments that are plain strings of calls to a function of the project."""
        calls = (call for name, call in self.calls if name[-1] == function)
        return {text for call in calls if call.args and (text := constant(call.args[0])) is not None}


class Tree:
    """The project under a root, read as text; paths are relative to it, with forward slashes."""

    def __init__(self, root: Path):
        self.root = Path(root)
        self._sources: dict[str, Source | None] = {}
        self._notebooks: dict[str, Notebook | None] = {}

    @cached_property
    def modules(self) -> tuple[str, ...]:
        return self._files("kdcore")

    @cached_property
    def tests(self) -> tuple[str, ...]:
        return self._files("tests")

    def _files(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*.py")))

    def source(self, path: str) -> Source | None:
        if path not in self._sources:
            file = self.root / path
            self._sources[path] = Source(path, file.read_text("utf-8")) if file.is_file() else None
        return self._sources[path]

    def notebook(self, path: str) -> Notebook | None:
        if path not in self._notebooks:
            file = self.root / path
            self._notebooks[path] = Notebook(path, file.read_text("utf-8")) if file.is_file() else None
        return self._notebooks[path]

    def module(self, dotted_name: str) -> Source | None:
        """The file of a module or package by its dotted name."""
        path = dotted_name.replace(".", "/")
        return self.source(f"{path}.py") or self.source(f"{path}/__init__.py")

    def find(self, source: Source, name: str, depth: int = 4) -> tuple[Source, ast.stmt] | None:
        """Where a name that a module uses is defined, through imports of the project."""
        if name in source.top:
            return source, source.top[name]
        home, _, other = source.imports.get(name, "").rpartition(".")
        there = self.module(home) if home.startswith("kdcore") and depth else None
        return self.find(there, other, depth - 1) if there else None


def _cell(cell: dict[str, Any]) -> ast.Module | None:
    if cell.get("cell_type") != "code":
        return None
    lines = "".join(cell["source"]).splitlines()
    if lines and lines[0].startswith("%%"):
        return None
    try:
        return ast.parse("\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines))
    except SyntaxError:
        return None


def imports(trees: Iterable[ast.AST]) -> dict[str, str]:
    """Local names and what they stand for: ``from a.b import c as d`` gives ``{"d": "a.b.c"}``."""
    found: dict[str, str] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
    return found


def dotted(node: ast.AST) -> tuple[str, ...]:
    """``a.b.c`` as names; nothing where the chain does not start at a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def loaded(node: ast.AST, attributes: bool = False) -> Iterator[str]:
    """Names that a piece of code reads, parameters (fixtures) and perhaps attributes with them."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            yield part.id
        elif isinstance(part, ast.arg):
            yield part.arg
        elif attributes and isinstance(part, ast.Attribute):
            yield part.attr


def stored(trees: Iterable[ast.AST]) -> set[str]:
    """Names that code defines or assigns, the variables of comprehensions left out."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    inner = {id(part) for node in nodes if isinstance(node, ast.comprehension) for part in ast.walk(node.target)}
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in inner}
    return names | {node.name for node in nodes if isinstance(node, Definition)}


def constant(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def strings(nodes: Iterable[ast.AST]) -> set[str]:
    """All plain strings in some code, docstrings left out."""
    parts = [part for node in nodes for part in ast.walk(node)]
    texts = {id(part.value) for part in parts if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)}
    return {text for part in parts if id(part) not in texts and (text := constant(part)) is not None}


def calls_of(nodes: Iterable[ast.AST], name: str) -> list[ast.Call]:
    """Calls of anything with this last name."""
    parts = (part for node in nodes for part in ast.walk(node))
    return [part for part in parts if isinstance(part, ast.Call) and dotted(part.func)[-1:] == (name,)]


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """An argument given by position or by name."""
    if position < len(call.args):
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def does_something(node: ast.AST) -> bool:
    """Whether a function or class has a body: not a docstring, ``pass``, ``...``, a constant or NotImplementedError.

    A class needs one method that does something.
    """
    if isinstance(node, ast.ClassDef):
        return any(does_something(part) for part in node.body if isinstance(part, ast.FunctionDef))
    return isinstance(node, Definition) and not all(_idle(statement) for statement in node.body)


def _idle(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Return(value=None | ast.Constant()):
            return True
        case ast.Raise(exc=error):
            called = error.func if isinstance(error, ast.Call) else error
            return called is not None and dotted(called)[-1:] == ("NotImplementedError",)
    return False
