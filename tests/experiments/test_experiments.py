"""What holds for every experiment that there is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kdcore import experiments
from kdcore.catalogue import entries
from kdcore.entry import Refusal
from kdcore.experiments.requests import Request, references
from kdcore.experiments.types import PROFILES, resolve

ALL = experiments.all()
SIZES = [(experiment, profile) for experiment in ALL for profile in experiment.profiles]


def test_listing_them_loads_nothing_heavy():
    code = "import sys, kdcore.experiments as e; e.all(); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


class TestGet:
    def test_finds_an_experiment_by_key_and_by_the_surveys_table(self):
        assert experiments.get("zhao-table1") is experiments.get("zhao2026-table1")

    def test_finds_its_search(self):
        assert experiments.get("response-search").key == "response-search"

    def test_answers_an_unknown_one_with_the_nearest(self):
        with pytest.raises(Refusal, match=r"unknown experiment 'respnse'.*the nearest is 'response'"):
            experiments.get("respnse")


@pytest.mark.parametrize("experiment", ALL, ids=lambda experiment: experiment.key)
class TestEvery:
    def test_has_sizes_that_are_known_and_what_they_cost(self, experiment):
        assert set(experiment.profiles) <= set(PROFILES) and all(experiment.cost.values())
        assert experiment.title and experiment.chapter

    def test_is_plain_data(self, experiment):
        for row in experiment.rows:
            assert json.loads(json.dumps([row.settings, row.under, row.published, row.search])) is not None

    def test_has_rows_with_names_of_their_own_and_a_source(self, experiment):
        keys = [row.key for row in experiment.rows]
        assert len(set(keys)) == len(keys) and all(row.source for row in experiment.rows)

    def test_searches_weights_with_their_published_values(self, experiment):
        for row in experiment.rows:
            assert all(value > 0 for value in row.search.values())

    def test_names_the_methods_and_schemes_of_the_catalogue(self, experiment):
        known = {entry.key for entry in entries()}
        for row in experiment.rows:
            named = [key for key, _ in row.settings.get("methods") or []] + [row.settings.get("scheme", "distillation")]
            assert set(named) <= known


@pytest.mark.parametrize(("experiment", "profile"), SIZES, ids=lambda part: getattr(part, "key", part))
class TestEverySize:
    def test_makes_recipes_and_names_measures_that_exist(self, experiment, profile):
        runs = Request.of(experiment, profile).runs()
        assert runs and all(callable(resolve(run.row.measure)) for run in runs)

    def test_has_no_two_rows_with_one_hash(self, experiment, profile):
        runs = Request.of(experiment, profile).runs()
        assert len({run.identity({})["hash"] for run in runs}) == len(runs)

    def test_its_teachers_are_rows_that_keep_their_network(self, experiment, profile):
        for run in Request.of(experiment, profile).runs():
            for _, reference in references(run.settings):
                teacher = experiments.get(reference["experiment"])
                assert teacher.row(reference["row"]).keep and profile in teacher.profiles

    def test_smoke_uses_nothing_that_has_to_be_fetched(self, experiment, profile):
        from kdcore.data import asset

        for run in Request.of(experiment, profile).runs():
            if profile in ("smoke", "quick") and isinstance(run.settings.get("data"), str):
                assert not asset(run.settings["data"]).file


SMOKE = [(experiment, row) for experiment in ALL if "smoke" in experiment.profiles for row in experiment.rows]


@pytest.mark.parametrize(("experiment", "row"), SMOKE, ids=lambda part: part.key)
def test_every_row_can_be_built_and_takes_a_step(experiment, row):
    from kdcore.experiments.inputs import Inputs
    from kdcore.experiments.lockstep import not_finite
    from kdcore.experiments.store import Store

    request = Request.of(experiment, "smoke", methods=[row.key])
    run = request.runs()[0]
    measure, arguments = run.measure(), run.arguments() | Inputs(request, Store()).for_rehearsal(run)
    if hasattr(measure, "rehearse"):
        assert measure.rehearse(**arguments) is None
    else:
        assert not_finite(measure(**arguments)) is None
