"""What every loss says of itself: a complete docstring, sources that exist, examples that hold, a place in the book."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import kdcore.losses
from kdcore.catalogue import Covered, chapter_of, coverage, entries, inventory

ROOT = Path(__file__).parents[2]
SECTIONS = (".. math::", "Survey:", "Paper:", "Args:", "Returns:", "Raises:", "Notes:", "Example:")
MODULES = [module.name for module in pkgutil.walk_packages(kdcore.losses.__path__, "kdcore.losses.")]
CITED = re.compile(r"\{cite:[tp]\}`([^`]+)`")


def parts(text: str) -> list[str]:
    """The docstring from each section to the next."""
    places = [text.index(section) for section in SECTIONS]
    assert places == sorted(places), "sections stand in the order of the house style"
    return [text[start:end] for start, end in zip(places, [*places[1:], len(text)])]


def argument(text: str, name: str) -> str:
    """What `Args` says of one argument."""
    found = re.search(rf"^    {name}: (.*?)(?=^    \w+: |\Z)", text, re.M | re.S)
    assert found, f"{name} is not explained"
    return found[1]


@pytest.fixture(scope="module")
def covered() -> dict[str, Covered]:
    return {row.id: row for row in coverage().rows}


@pytest.fixture(scope="module")
def bibliography() -> set[str]:
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    return set(re.findall(r"^@\w+\{([^,\s]+)", text, re.M))


class TestEveryLossIsDocumented:
    def test_says_what_it_matches_in_one_line(self, loss):
        first, second = inspect.getdoc(loss).splitlines()[:2]
        assert first.endswith(".") and second == "" and 20 < len(first) <= 110

    def test_has_every_section_in_order(self, loss):
        assert all(len(part.split()) > 1 for part in parts(inspect.getdoc(loss)))

    def test_explains_every_argument_and_the_source_of_every_default(self, loss):
        explained = parts(inspect.getdoc(loss))[3]
        for name, parameter in inspect.signature(loss).parameters.items():
            said = argument(explained, name)
            has_default = parameter.default is not inspect.Parameter.empty and name != "reduction"
            assert "Default" in said or not has_default, f"{name} has a default without a source"

    def test_hyper_parameters_are_keywords(self, loss):
        tensors = [name for name, p in inspect.signature(loss).parameters.items() if p.kind is not p.KEYWORD_ONLY]
        rest = [p for p in inspect.signature(loss).parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert all("Tensor" in str(inspect.get_annotations(inspect.unwrap(loss))[name]) for name in tensors)
        assert all(p.default is not inspect.Parameter.empty for p in rest)

    def test_cites_what_stands_in_the_bibliography(self, loss, bibliography):
        cited = CITED.findall(parts(inspect.getdoc(loss))[2])
        assert cited and set(cited) <= bibliography

    def test_names_a_survey(self, loss):
        assert re.search(r"zhao2026|si2023|huang2022|note-hinton|note-kd", parts(inspect.getdoc(loss))[1])

    def test_its_example_has_a_value(self, loss):
        examples = doctest.DocTestParser().get_examples(inspect.getdoc(loss))
        assert examples and examples[-1].want.strip()


class TestEveryModule:
    @pytest.mark.parametrize("module", MODULES)
    def test_examples_hold(self, module):
        result = doctest.testmod(importlib.import_module(module))
        assert result.failed == 0

    @pytest.mark.parametrize("module", MODULES)
    def test_is_of_a_size_that_one_can_hold_in_mind(self, module):
        path = Path(importlib.import_module(module).__file__)
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


class TestEveryMethodIsDocumented:
    def test_has_a_docstring_and_a_note(self, method):
        assert len(inspect.getdoc(method.make).split()) > 5 and method.note

    def test_weight_and_settings_are_keywords_with_defaults(self, method):
        parameters = inspect.signature(method.make.__init__).parameters
        assert "weight" in parameters  # one name for what a search scales
        assert set(method.settings) <= set(parameters) | set(inspect.signature(method.make.build).parameters)


def losses_of_the_surveys() -> list[str]:
    built = {entry.key for entry in entries() if entry.kind == "loss"}
    return [row["id"] for row in inventory() if row["kind"] == "loss" and row["id"] in built]


class TestEveryRow:
    @pytest.mark.parametrize("key", losses_of_the_surveys())
    def test_has_code_and_a_test_class(self, key, covered):
        assert covered[key].module and covered[key].test, str(covered[key])

    @pytest.mark.parametrize("key", losses_of_the_surveys())
    def test_is_told_in_its_notebook(self, key, covered):
        notebook = chapter_of(key, covered[key].chapter).notebook
        if not (ROOT / notebook).exists():
            pytest.skip(f"{notebook} is not written yet")
        assert covered[key].notebook, str(covered[key])

    def test_has_reference_numbers_or_a_reason_why_not(self):
        import yaml

        folder = ROOT / "tests" / "reference"
        reasons = yaml.safe_load((folder / "none.yaml").read_text(encoding="utf-8"))
        known = {path.stem for path in folder.glob("*.yaml")} | set(reasons)
        chapters = {row["id"]: row["chapter"] for row in inventory()}
        mine = [key for key in losses_of_the_surveys() if chapters[key] in ("foundations", "response")]
        assert set(mine) <= known and all(len(reason.split()) > 5 for reason in reasons.values())
