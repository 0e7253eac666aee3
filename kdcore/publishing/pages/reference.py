"""The API pages: one a package, every public module of it with what it defines, in the order of the code.

The losses are too many for one page, so each of their packages has its own.

Behind each loss and scheme stands what its docstring cannot know: its key, the section that tells it, its test, the
published tables that hold it, what it costs.
"""

from __future__ import annotations

import ast
import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kdcore.publishing.project import PACKAGE
from kdcore.reporting.markup import escape

# Package to what its page says first.
PACKAGES = {
    "losses": "What is matched: plain functions, and the methods that put them into a scheme.",
    "schemes": "How it is learned: which networks learn from which, in which stages.",
    "matching": "A method of the catalogue in a training loop of one's own.",
    "engine": "The one training loop: exact resume, failures that stay alone, several runs in lockstep.",
    "models": "The networks of the literature, and how any other network takes part.",
    "data": "Tensors on a device, the task they pose, and the ways to look at them.",
    "experiments": "Rows, seeds, profiles and the store of records.",
    "reporting": "Tables, figures and statistics from records.",
}
SPLIT = ("losses", "schemes")  # a page for each package in them
DIRECTIVES = {ast.ClassDef: "autoclass", ast.FunctionDef: "autofunction"}
About = Callable[[str], str]  # from a full name to what is said behind it, as Markdown


def api_pages(package: Path = PACKAGE, about: About = lambda name: "") -> dict[str, str]:
    """File name to Markdown."""
    pages = {}
    for name, said in PACKAGES.items():
        own: dict[str, list[Path]] = {}
        for path in modules(package / name):
            own.setdefault(page_of(module_of(path, package), package), []).append(path)
        others = [page for page in own if page != name]
        if own:
            below = [listing(page, own[page], package) for page in others]
            pages[f"{name}.md"] = api_page(package, name, said, own.get(name, []), about, below)
        for page in others:
            folder = package / page.replace("-", "/", 1)
            text = first_line(folder / "__init__.py")
            pages[f"{page}.md"] = api_page(package, page, text, own[page], about)
    return pages


def api_page(package: Path, page: str, said: str, paths: list[Path], about: About, below: Sequence[str] = ()) -> str:
    """One page: what stands on the pages below it, and what each of these modules defines."""
    parts = [f"(api-{page})=\n# kdcore.{page.replace('-', '.', 1)}\n\n{said}\n"]
    parts += below
    for path in paths:
        module = module_of(path, package)
        if names := defined(path):
            parts.append(f"## {module.removeprefix('kdcore.')}\n\n{evaluated(f'.. automodule:: {module}')}\n")
            parts += [described(f"{module}.{one}", directive, about) for one, directive in names.items()]
    return "\n".join(parts)


def listing(page: str, paths: list[Path], package: Path) -> str:
    """A page below another one: its functions, each with the line in which it says what it does."""
    lines = []
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                said = (ast.get_docstring(node) or "").partition("\n")[0]
                target = html.escape(f"{page}.html#{module_of(path, package)}.{node.name}")
                lines.append(f'- <a href="{target}"><code>{node.name}</code></a>: {escape(said)}')
    return "\n".join([f"## {{doc}}`{page}`\n", *lines, ""])


def module_of(path: Path, package: Path) -> str:
    return ".".join(("kdcore", *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__")


def page_of(module: str, package: Path = PACKAGE) -> str:
    """The page that shows a module.

    >>> page_of("kdcore.losses.response.decoupled"), page_of("kdcore.models.resnet")
    ('losses-response', 'models')
    """
    _, first, *rest = module.split(".")
    inner = rest and first in SPLIT and (package / first / rest[0]).is_dir()
    return f"{first}-{rest[0]}" if inner else first


def first_line(path: Path) -> str:
    """What a package says of itself."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def described(name: str, directive: str, about: About) -> str:
    """One function or class with its docstring, and what is said behind it."""
    members = "\n   :members:" if directive == "autoclass" else ""
    text, said = evaluated(f".. {directive}:: {name}{members}"), about(name)
    return f"{text}\n\n~~~{{container}} kd-key\n{said}\n~~~\n" if said else f"{text}\n"


def evaluated(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def modules(folder: Path) -> list[Path]:
    """Public modules, a package's own before those in it; the module itself where it is no package."""
    if not folder.is_dir():
        return [path for path in [folder.with_suffix(".py")] if path.is_file()]
    paths = sorted(folder.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name))
    return [path for path in paths if not any(part.startswith("_") and part != "__init__.py" for part in path.parts)]


def defined(path: Path) -> dict[str, str]:
    """What a module itself defines for others, with the directive that shows it.

    A name that it only passes on is documented where it comes from.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if type(node) in DIRECTIVES and not node.name.startswith("_")]
    return {node.name: DIRECTIVES[type(node)] for node in found}


def keys_by_name(made: Mapping[str, tuple]) -> dict[str, list[str]]:
    """Full name of a function or class to the keys that it stands for."""
    found: dict[str, list[str]] = {}
    for key, things in made.items():
        for one in things:
            found.setdefault(f"{one.module}.{one.name}", []).append(key)
    return found
