"""Who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kdcore"
HEAVY = ("torch", "pandas", "seaborn", "sklearn", "scipy", "matplotlib", "torchvision", "IPython")
PLAIN = ("kdcore", "kdcore.recipe", "kdcore.experiments", "kdcore.catalogue", "kdcore.cli")  # answers at once
FOUNDATION = ("_typing", "entry", "randomness", "recipe", "tokens", "types")  # modules that everything may stand on


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> tuple[tuple[str, bool], ...]:
    """Modules of ours that a module imports, and whether it does so at once, not inside a function."""
    known, path = modules(), modules()[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {id(inner) for node in ast.walk(tree) if isinstance(node, LATE) for inner in ast.walk(node)}
    late |= {id(inner) for node in ast.walk(tree) if _for_types_alone(node) for inner in ast.walk(node)}
    return tuple((name, id(node) not in late) for node in ast.walk(tree) for name in _named(node, known))


LATE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _named(node: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            if inner in known or node.module in known:
                yield inner if inner in known else node.module


def layer(module: str) -> str:
    """``losses`` of ``kdcore.losses.response.distillation``."""
    return module.split(".")[1] if "." in module else ""


def imported_layers(of: str, also_late: bool = True) -> set[str]:
    found = [imports(module) for module in modules() if layer(module) == of]
    return {layer(name) for names in found for name, at_once in names if also_late or at_once} - {of, ""}


class TestLayers:
    def test_losses_import_nothing_of_ours_but_small_helpers_and_types(self):
        assert imported_layers("losses") <= {"_typing", "tokens", "types"}

    def test_the_engine_imports_neither_losses_nor_schemes(self):
        assert imported_layers("engine") <= set(FOUNDATION)

    def test_schemes_import_losses_and_what_both_stand_on(self):
        assert imported_layers("schemes") <= {"losses", *FOUNDATION}

    @pytest.mark.parametrize("name", FOUNDATION)
    def test_what_everything_stands_on_stands_on_itself_alone(self, name):
        assert imported_layers(name) <= set(FOUNDATION)

    @pytest.mark.parametrize("name", ["models", "data"])
    def test_networks_and_data_know_nothing_of_learning(self, name):
        assert imported_layers(name) <= {"models", "data", *FOUNDATION}

    @pytest.mark.parametrize("name", ["losses", "schemes", "engine", "models", "data"])
    def test_nothing_below_imports_what_joins_it(self, name):
        assert not imported_layers(name) & {"experiments", "cli", "reporting", "publishing", "claims", "catalogue"}


class TestCycles:
    def test_there_are_none_among_modules(self):
        """Following what is imported at once, no module comes back to itself."""
        graph = {module: {name for name, at_once in imports(module) if at_once} for module in modules()}
        assert cycles(graph) == []

    def test_one_would_be_found(self):
        assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c", "a"]]
        assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Ways from a module back to itself, one for each module in which a search meets its own trail."""
    done: set[str] = set()
    found: list[list[str]] = []

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append([*trail[trail.index(module) :], module])
        elif module not in done:
            for name in sorted(graph.get(module, ())):
                visit(name, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """What each import loads of the heavy libraries and of ours, each in a process of its own."""
    code = "import json, sys; import {}; print(json.dumps(sorted(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", code.format(name)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for name in (*PLAIN, "kdcore.losses")
    }
    answers = {name: process.communicate()[0] for name, process in started.items()}
    return {name: json.loads(answer) if answer else [] for name, answer in answers.items()}


class TestCost:
    @pytest.mark.parametrize(
        "name", ["kdcore", "kdcore.recipe", "kdcore.experiments", "kdcore.catalogue", "kdcore.cli"]
    )
    def test_plain_data_load_nothing_heavy(self, loaded, name):
        assert name in loaded[name]
        assert [each for each in HEAVY if each in loaded[name]] == []

    def test_losses_load_torch_and_nothing_else_that_is_heavy(self, loaded):
        assert [each for each in HEAVY if each in loaded["kdcore.losses"]] == ["torch"]
        ours = {layer(each) for each in loaded["kdcore.losses"] if each.startswith("kdcore.")}
        assert ours <= {"losses", "_typing", "tokens", "types", "entry", "randomness"}
