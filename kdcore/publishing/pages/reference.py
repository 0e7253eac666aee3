"""The API pages: one a package, every public module of it with what it defines, in the order of the code."""

from __future__ import annotations

import ast
from pathlib import Path

from kdcore.publishing.project import PACKAGE

# Package to what its page says first.
PACKAGES = {
    "losses": "What is matched: plain functions, and the methods that put them into a scheme.",
    "schemes": "How it is learned: which networks learn from which, in which stages.",
    "engine": "The one training loop: exact resume, failures that stay alone, several runs in lockstep.",
    "models": "The networks of the literature, and how any other network takes part.",
    "data": "Tensors on a device, the task they pose, and the ways to look at them.",
    "experiments": "Rows, seeds, profiles and the store of records.",
    "reporting": "Tables, figures and statistics from records.",
}


def api_pages(package: Path = PACKAGE) -> dict[str, str]:
    """File name to Markdown."""
    return {f"{name}.md": api_page(package, name, said) for name, said in PACKAGES.items() if (package / name).exists()}


def api_page(package: Path, name: str, said: str) -> str:
    parts = [f"(api-{name})=\n# kdcore.{name}\n\n{said}\n"]
    for path in modules(package / name):
        module = ".".join(("kdcore", *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__")
        if names := defined(path):
            directive = f"```{{eval-rst}}\n.. automodule:: {module}\n   :members: {', '.join(names)}\n```"
            parts.append(f"## {module.removeprefix('kdcore.')}\n\n{directive}\n")
    return "\n".join(parts)


def modules(folder: Path) -> list[Path]:
    """Public modules, a package's own before those in it."""
    paths = sorted(folder.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name))
    return [path for path in paths if not any(part.startswith("_") and part != "__init__.py" for part in path.parts)]


def defined(path: Path) -> list[str]:
    """What a module itself defines for others; a name that it only passes on is documented where it comes from."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
