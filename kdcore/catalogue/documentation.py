"""What a docstring says, read from the syntax tree: its formula, its arguments, its cost."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from typing import NamedTuple

SECTION = re.compile(r"^(?:Args|Returns|Raises|Notes?|Examples?|Attributes|Cost):", re.M)
APART = re.compile(r"^\.\. math::.*\n(?:[ ]+.*\n|\n)*|^(?:Survey|Paper): (?:.+\n)+", re.M)  # shown by themselves
FENCED = re.compile(r"```\{?math\}?\s*\n(?::[^\n]*\n)*(.*?)```", re.S)


class Argument(NamedTuple):
    """One hyper-parameter: its default as the signature has it, and what the docstring says of it."""

    name: str
    default: str | None
    says: str


def docstring(node: ast.AST | None) -> str:
    """A function's or class's docstring without its indentation; nothing where there is none."""
    documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return inspect.cleandoc(ast.get_docstring(node, clean=False) or "") if documented else ""


def formula(text: str) -> str | None:
    r"""The first formula of a docstring, as LaTeX on one line.

    Example:
        >>> formula("Match.\n\n.. math::\n    L = a\n    + b\n\nArgs:")
        'L = a + b'
    """
    if found := FENCED.search(text):
        return " ".join(found[1].split())
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.strip().startswith(".. math::")), None)
    if start is None:
        return None
    body = [lines[start].partition("::")[2]]
    for line in lines[start + 1 :]:
        if line.strip() and not line.startswith(" "):
            break
        body.append(line)
    return " ".join(" ".join(body).split()) or None


def section(text: str, title: str) -> str:
    """The indented text under ``Title:``; nothing where the docstring has no such part."""
    found = re.search(rf"^{title}:[ ]*\n((?:[ ]+.*\n?|\n)+)", text + "\n", re.M)
    return inspect.cleandoc(found[1]) if found else ""


def prose(text: str) -> str:
    r"""What a docstring says before its sections, on one line, without its formulas, places and papers.

    Example:
        >>> prose("Match both.\n\n.. math::\n    a = b\n\nSurvey: one.\n\nAs printed.\n\nArgs:\n    a: b")
        'Match both. As printed.'
    """
    return " ".join(APART.sub("", SECTION.split(text, maxsplit=1)[0] + "\n").split())


def arguments(node: ast.AST | None, constants: Mapping[str, ast.AST] = {}) -> tuple[Argument, ...]:
    """Keyword-only arguments and others with a default, of a function or of a class's constructor.

    Args:
        node: its definition.
        constants: assignments of its module by name; a default that is one of them is told by its value.
    """
    said = _said(docstring(node))
    if isinstance(node, ast.ClassDef):
        made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        node = made[0] if made else None
    if not isinstance(node, ast.FunctionDef):
        return ()
    signature = node.args
    plain = signature.args[len(signature.args) - len(signature.defaults) :]
    given = [*zip(plain, signature.defaults), *zip(signature.kwonlyargs, signature.kw_defaults)]
    return tuple(Argument(a.arg, _default(d, constants), said.get(a.arg, "")) for a, d in given)


def _default(node: ast.expr | None, constants: Mapping[str, ast.AST]) -> str | None:
    if node is None:
        return None
    value = getattr(constants.get(node.id), "value", None) if isinstance(node, ast.Name) else None
    return ast.unparse(node if value is None else value)


def _said(text: str) -> dict[str, str]:
    """What the section ``Args:`` says of each name; several may share an entry."""
    parts = re.split(r"^((?:\w+, )*\w+):[ ]", section(text, "Args"), flags=re.M)
    told = zip(parts[1::2], parts[2::2])
    return {name: " ".join(says.split()) for names, says in told for name in names.split(", ")}
