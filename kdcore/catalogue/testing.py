"""Reading tests: which class is about what, whether it asserts anything, and what of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from kdcore.catalogue.syntax import Source, argument, calls_of, constant, dotted, loaded, strings

VERDICTS = {"supported", "contradicted", "undecided"}
ENDINGS = ("loss", "method", "function", "scheme", "claim", "entry", "training")
ROUTING = re.compile(r"grad|rout|reach|untouch|frozen|identi|equal|assert_close|approx|same", re.I)
RESUME = re.compile(r"resum|restore|interrupt|killed", re.I)


@dataclass(frozen=True)
class TestClass:
    """A test class that may be about one thing of a row."""

    source: Source
    node: ast.ClassDef
    names: frozenset[str]
    key: str
    checks: frozenset[str]

    @property
    def place(self) -> str:
        return f"{self.source.path}::{self.node.name}"

    def is_called(self, names: set[str]) -> bool:
        """Whether its name says what it is about: ``TestDKD``, ``TestDkdLoss`` or ``TestDKDMethod`` for ``dkd``."""
        mine = re.sub(r"[^a-z0-9]", "", self.node.name.removeprefix("Test").lower())
        mine = {mine, *(mine.removesuffix(ending) for ending in ENDINGS)}
        said = {re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}
        return bool(mine & (said | {name.removesuffix(ending) for name in said for ending in ENDINGS}))

    def is_alone(self, others: set[str]) -> bool:
        """Whether it is about nothing else."""
        return not others & {name for node in self.source.closure(self.node) for name in loaded(node, attributes=True)}

    @cached_property
    def asserting(self) -> list[ast.FunctionDef]:
        """Its tests that are not skipped, name the thing and assert something."""
        return [test for test in _tests(self.node) if self._names(test) and self._asserts(test)]

    def gives_every_verdict(self) -> bool:
        return bool(self.asserting) and strings(self.source.closure(self.node)) >= VERDICTS

    def shows_routing(self) -> bool:
        return any(not _says(test, RESUME) and _says(test, ROUTING) for test in self.asserting)

    def shows_resume(self) -> bool:
        return any(_says(test, RESUME) for test in self.asserting)

    def _names(self, test: ast.FunctionDef) -> bool:
        """Whether a test uses the thing: itself, by a fixture or helper of its file, or by its class's marks."""
        said = set(loaded(test, attributes=True))
        own = [part for part in self.node.body if isinstance(part, ast.FunctionDef) and part.name in said]
        nodes = self.source.closure(test, *own, *self.node.decorator_list)
        used = {name for node in nodes for name in loaded(node, attributes=True)}
        asked = [call for name in ("claim", "load") for call in calls_of(nodes, name)]
        return bool(used & self.names) or any(constant(argument(call, 0, "key")) == self.key for call in asked)

    def _asserts(self, test: ast.FunctionDef) -> bool:
        return _asserts(test) or bool(_called(test) & self.checks)


def read_tests(source: Source, names: set[str], key: str, shared: Sequence[Source] = ()) -> list[TestClass]:
    """The test classes of a file, seen from a row: its key, and its functions, classes and claims by name.

    `shared` are the ``conftest.py`` whose helpers may do the asserting.
    """
    nodes = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    checks = asserting_functions([source, *shared])
    return [TestClass(source, node, frozenset(names), key, checks) for node in nodes if not _skipped(node)]


def asserting_functions(sources: Iterable[Source]) -> frozenset[str]:
    """Names of helpers, methods too, that assert something themselves or by a helper that they call."""
    nodes = [node for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef)]
    helpers = [node for node in nodes if not node.name.startswith("test")]
    found = {node.name for node in helpers if _asserts(node)}
    calls = {node.name: _called(node) for node in helpers}
    while more := {name for name, called in calls.items() if called & found} - found:
        found |= more
    return frozenset(found)


def _tests(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name.startswith("test") and not _skipped(part):
            yield part


def _skipped(node: ast.ClassDef | ast.FunctionDef) -> bool:
    marks = (mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list)
    return any(dotted(mark)[-2:] == ("mark", "skip") for mark in marks)


def _called(node: ast.AST) -> set[str]:
    """Last names of what some code calls."""
    called = (part.func for part in ast.walk(node) if isinstance(part, ast.Call))
    return {name for part in called if (name := getattr(part, "attr", None) or getattr(part, "id", None))}


def _asserts(node: ast.AST) -> bool:
    return any(map(_is_assertion, ast.walk(node)))


def _is_assertion(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    if isinstance(node, ast.Call) and (name := dotted(node.func)):
        return name[-1].startswith("assert_") or name[-2:] in (("pytest", "raises"), ("pytest", "warns"))
    return False


def _says(test: ast.FunctionDef, words: re.Pattern[str]) -> bool:
    return any(words.search(name) for name in (test.name, *loaded(test, attributes=True)))
