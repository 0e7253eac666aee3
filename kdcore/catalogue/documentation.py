"""What a docstring says, read from the syntax tree: its formula, its arguments, its cost."""

from __future__ import annotations

import ast
import inspect
import re
from typing import NamedTuple

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


def arguments(node: ast.AST | None) -> tuple[Argument, ...]:
    """Keyword-only arguments and others with a default, of a function or of a class's constructor."""
    said = _said(docstring(node))
    if isinstance(node, ast.ClassDef):
        made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        node = made[0] if made else None
    if not isinstance(node, ast.FunctionDef):
        return ()
    signature = node.args
    plain = signature.args[len(signature.args) - len(signature.defaults) :]
    given = [*zip(plain, signature.defaults), *zip(signature.kwonlyargs, signature.kw_defaults)]
    return tuple(Argument(a.arg, ast.unparse(d) if d else None, said.get(a.arg, "")) for a, d in given)


def _said(text: str) -> dict[str, str]:
    """What the section ``Args:`` says of each name."""
    parts = re.split(r"^(\w+):[ ]", section(text, "Args"), flags=re.M)
    return {name: " ".join(says.split()) for name, says in zip(parts[1::2], parts[2::2])}
