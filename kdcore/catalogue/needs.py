"""What a loss asks of the two networks and of the batch, read from its method's code; nothing is imported or typed.

A method says what it needs by what it reads in `losses`, `critic_losses` and `preparation`, and in the functions that
they call: the networks' logits, features or embedding, the batch's labels, a second view. Branches that an entry's
settings rule out are not read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdcore.catalogue.entries import ROOT, Listed, entries
from kdcore.catalogue.syntax import Source, Tree, calls_of, constant

# What is read to what is needed, in the order in which it is told.
READ = {
    "logits": "logits", "targets": "labels", "features": "features", "preactivations": "preactivations",
    "embedding": "embedding", "exits": "exits", "attention": "attention", "queries": "attention",
    "reported": "attention", "hidden": "hidden states", "view": "views", "ask": "another pass",
    "index": "sample numbers",
}  # fmt: skip
CRITIC, STAGE = "critic", "own stage"
WORDS = (*dict.fromkeys(READ.values()), CRITIC, STAGE)
TOLD = ("losses", "critic_losses", "preparation")
Definition = ast.FunctionDef | ast.ClassDef


def needs(root: Path = ROOT) -> dict[str, tuple[str, ...]]:
    """Key of every loss with a method to what it needs, in the order of `WORDS`."""
    tree = Tree(root)
    return {entry.key: needs_of(entry, tree) for entry in entries(root) if entry.kind == "loss"}


def needs_of(entry: Listed, tree: Tree) -> tuple[str, ...]:
    """What one loss needs.

    Example:
        >>> from kdcore.catalogue.entries import listed
        >>> needs_of(listed("dkd"), Tree(ROOT)), needs_of(listed("fitnet-joint"), Tree(ROOT))
        (('logits', 'labels'), ('features',))
    """
    source = tree.source(entry.module)
    found = tree.find(source, entry.make) if source else None
    if not found or not isinstance(found[1], ast.ClassDef):
        return ()
    methods = _methods(*found, tree)
    kept = {name: _pruned(node, _flags(methods, entry.settings)) for name, (_, node) in methods.items()}
    reading = list(_reached(methods, kept, tree))
    words = {word for node in reading for word in _read(node)}
    words |= {CRITIC} if "critics" in methods else set()
    words |= {STAGE} if "preparation" in kept and _gives_something(kept["preparation"]) else set()
    return tuple(word for word in WORDS if word in words)


def _methods(source: Source, node: Any, tree: Tree) -> dict[str, tuple[Source, ast.FunctionDef]]:
    """Methods of a class by name, its bases' first; those of `Method` itself are no evidence."""
    found: dict[str, tuple[Source, ast.FunctionDef]] = {}
    for base in node.bases:
        there = tree.find(source, base.id) if isinstance(base, ast.Name) else None
        if there and there[0].path != "kdcore/types.py" and isinstance(there[1], ast.ClassDef):
            found |= _methods(*there, tree)
    return found | {part.name: (source, part) for part in node.body if isinstance(part, ast.FunctionDef)}


def _flags(methods: Mapping[str, tuple[Source, ast.FunctionDef]], settings: Mapping[str, Any]) -> dict[str, bool]:
    """Switches of the constructor, as an entry sets them."""
    if "__init__" not in methods:
        return {}
    signature = methods["__init__"][1].args
    given = zip((one.arg for one in signature.kwonlyargs), signature.kw_defaults)
    defaults = {name: node.value for name, node in given if isinstance(node, ast.Constant)}
    return {name: value for name, value in {**defaults, **settings}.items() if isinstance(value, bool)}


def _pruned(node: ast.FunctionDef, flags: Mapping[str, bool]) -> list[ast.stmt]:
    """The statements that are carried out under these switches."""
    kept: list[ast.stmt] = []
    for part in node.body:
        value = _switch(part.test, flags) if isinstance(part, ast.If) else None
        taken = [part] if value is None else part.body if value else part.orelse
        kept += taken
        if value is not None and taken and isinstance(taken[-1], ast.Return):
            break
    return kept


def _switch(test: ast.expr, flags: Mapping[str, bool]) -> bool | None:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _switch(test.operand, flags)
        return None if inner is None else not inner
    own = isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name) and test.value.id == "self"
    return flags.get(test.attr) if own else None


def _reached(
    methods: Mapping[str, tuple[Source, ast.FunctionDef]], kept: Mapping[str, list[ast.stmt]], tree: Tree
) -> Iterator[ast.AST]:
    """The statements of `TOLD`, and of every method and function of ours that they call."""
    seen: set[tuple[bool, str]] = set()
    waiting: list[tuple[Source, ast.AST]] = []
    for name in TOLD:
        waiting += [(methods[name][0], part) for part in kept.get(name, ())]
    while waiting:
        source, node = waiting.pop()
        yield node
        for part in ast.walk(node):
            own = isinstance(part, ast.Attribute) and _is_self(part.value)
            name = part.attr if own else part.id if isinstance(part, ast.Name) else ""
            if not name or (own, name) in seen:
                continue
            seen.add((own, name))
            if own:
                waiting += [(methods[name][0], one) for one in kept[name]] if name in methods else []
            elif (there := tree.find(source, name)) and isinstance(there[1], ast.FunctionDef):
                waiting.append(there)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _read(node: ast.AST) -> Iterator[str]:
    """What is read of an answer or of the batch."""
    counted = {id(one) for call in calls_of([node], "len") for one in call.args}
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and _names_a_view(part):
            yield READ["view"]
        if not isinstance(part, ast.Attribute) or part.attr not in READ or _is_self(part.value) or part.attr == "view":
            continue
        of_batch = isinstance(part.value, ast.Name) and part.value.id == "batch"
        if part.attr != "index" or (of_batch and id(part) not in counted):
            yield READ[part.attr]


def _names_a_view(call: ast.Call) -> bool:
    """A view by its name; a tensor's view has sizes."""
    view = isinstance(call.func, ast.Attribute) and call.func.attr == "view"
    return view and bool(call.args) and constant(call.args[0]) is not None


def _gives_something(statements: list[ast.stmt]) -> bool:
    returned = [part.value for one in statements for part in ast.walk(one) if isinstance(part, ast.Return)]
    return any(not (isinstance(value, ast.List) and not value.elts) for value in returned)
