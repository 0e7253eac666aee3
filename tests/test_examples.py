"""Every example in a docstring of the package holds."""

import doctest
import importlib
import pkgutil
import sys

import pytest
import torch

import kdcore

# A module that is a program, and one that Sphinx alone can import.
LEFT_OUT = ("kdcore.cli.__main__", "kdcore.reporting.figures.inline")
MODULES = [module.name for module in pkgutil.walk_packages(kdcore.__path__, "kdcore.") if module.name not in LEFT_OUT]


@pytest.fixture
def reader(monkeypatch):
    """Somebody reads what is shown: no CI, no notebook around these tests."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


@pytest.mark.parametrize("name", ["kdcore", *MODULES])
def test_examples_of_a_module_hold(name, reader):
    found = doctest.testmod(importlib.import_module(name), extraglobs={"torch": torch})
    assert found.failed == 0


def test_there_are_examples():
    """Also behind a decorator that checks annotations: were they not found, nothing would have been tried above."""
    finder, found = doctest.DocTestFinder(exclude_empty=True), []
    for name in MODULES:
        found += [test.name for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) > 40 and "kdcore.losses.response.distillation.kd_loss" in found
    assert "kdcore.randomness.stream_key" in found and "kdcore.recipe.Recipe.rate" in found
