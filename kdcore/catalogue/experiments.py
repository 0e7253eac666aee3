"""Experiments as their modules write them: which names they hold, and whether what they point to exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from functools import cached_property

from kdcore.catalogue.entries import Listed
from kdcore.catalogue.syntax import Source, Tree, argument, calls_of, constant, strings

MEASURE = re.compile(r"kdcore(\.\w+)+:\w+")


class Experiments:
    """The experiments of a tree, by key."""

    def __init__(self, tree: Tree):
        self.tree = tree

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Experiments by key, and the module that each is written in."""
        found: dict[str, Source] = {}
        for path in self.tree.modules:
            source = self.tree.source(path) if path.startswith(("kdcore/experiments/", "kdcore/claims/")) else None
            if source and "Experiment(" in source.text:
                keys = (constant(argument(call, 0, "key")) for call in calls_of([source.tree], "Experiment"))
                found |= {key: source for key in keys if key}
        return found

    def key(self, entry: Listed) -> str:
        """The experiment, or the page, that a table's entry names: as a constant of its module, or as a string."""
        source = self.tree.source(entry.module)
        found = self.tree.find(source, entry.make) if source and entry.make.isidentifier() else None
        calls = calls_of([found[1]], "Experiment") if found else []
        return next((key for call in calls if (key := constant(argument(call, 0, "key")))), entry.make)

    def _parts(self, key: str) -> list[ast.AST]:
        """The code that an experiment is made of, its helpers in the same module too."""
        source = self.sources[key]
        calls = [call for call in calls_of([source.tree], "Experiment") if constant(argument(call, 0, "key")) == key]
        return source.closure(*calls)

    def runs(self, name: str, key: str) -> bool:
        """Whether an experiment has a row that names a method or scheme by its key."""
        return name in self.sources and key in strings(self._parts(name))

    def resolve(self, name: str, methods: Container[str]) -> tuple[str | None, str]:
        """Where a table's experiment or page is, and what it is; None and what is missing where a row does not resolve.

        Args:
            name: an experiment's key, or the path of a page from the root.
            methods: the catalogue's keys, which rows name as their methods and schemes.
        """
        if name.endswith((".md", ".ipynb")):
            return (name if (self.tree.root / name).is_file() else None), f"the page {name}"
        if name not in self.sources:
            return None, f'an Experiment("{name}", ...), or an Entry of this key that names its page'
        parts, path = self._parts(name), self.sources[name].path
        if not calls_of(parts, "Row"):
            return None, f"a Row in the experiment {name} of {path}"
        measures = sorted(word for word in strings(parts) if MEASURE.fullmatch(word) and not self._measures(word))
        unknown = sorted(word for word in _methods(parts) if word not in methods)
        if broken := [*measures, *unknown]:
            return None, f"'{broken[0]}', which a row of the experiment {name} names"
        return path, f"the experiment {name} in {path}"

    def _measures(self, word: str) -> bool:
        module, _, function = word.partition(":")
        source = self.tree.module(module)
        return source is not None and (function in source.names or self.tree.find(source, function) is not None)


def _methods(nodes: list[ast.AST]) -> Iterator[str]:
    """Keys that rows name in literals, as ``"scheme": key`` and ``"methods": [[key, {...}], ...]``."""
    parts = [part for node in nodes for part in ast.walk(node)]
    pairs = [(constant(k), v) for part in parts if isinstance(part, ast.Dict) for k, v in zip(part.keys, part.values)]
    pairs += [(part.arg, part.value) for part in parts if isinstance(part, ast.keyword)]
    for name, value in pairs:
        if name == "scheme" and (key := constant(value)):
            yield key
        elif name == "methods" and isinstance(value, ast.List | ast.Tuple):
            named = (item.elts[0] for item in value.elts if isinstance(item, ast.List | ast.Tuple) and item.elts)
            yield from (key for node in named if (key := constant(node)))
