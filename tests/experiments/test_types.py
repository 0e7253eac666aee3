from __future__ import annotations

import pytest

from kdcore.entry import Refusal
from kdcore.experiments.types import SCALES, SEARCH_SEEDS, Experiment, Profile, Row, make_recipe, resolve, unknown


@pytest.fixture
def experiment() -> Experiment:
    rows = (
        Row("student", settings={"teacher": None}),
        Row(
            "at",
            settings={"methods": [["at", {"power": 2}], ["kd", {}]]},
            under={"quick": {"methods": [["at", {"weight": 1.0}]]}},
            search={"weight": 1000.0},
        ),
        Row("unix-kd", settings={"scheme": "unix-kd"}, search={"weight": 1.0}),
    )
    base = {"data": "digits-100", "teacher": "anyone"}
    profiles = {"quick": Profile({"steps": 5}, base), "smoke": Profile({"steps": 2}, base, (7,))}
    return Experiment("pairs", "Pairs", rows, (0, 1, 2), profiles)


class TestUnknown:
    def test_says_what_came_what_was_expected_and_what_is_near(self):
        said = str(unknown("profile", "quik", ["smoke", "quick"]))
        assert said == "unknown profile 'quik', expected one of smoke, quick; the nearest is 'quick'"

    def test_names_no_neighbour_where_none_is_near(self):
        assert "nearest" not in str(unknown("profile", "zzzz", ["smoke", "quick"]))

    def test_stays_short_where_there_are_many(self):
        assert str(unknown("key", "x", [f"name{n}" for n in range(300)])).count("name") == 12


class TestRow:
    def test_method_is_the_first_method_else_the_scheme_else_the_row(self, experiment):
        assert [row.method for row in experiment.rows] == ["student", "at", "unix-kd"]


class TestExperiment:
    def test_settings_come_from_profile_then_row_then_row_under_profile(self, experiment):
        student, at, _ = experiment.rows
        assert experiment.settings(student, "quick") == {"data": "digits-100", "teacher": None}
        assert experiment.settings(at, "smoke")["methods"] == [["at", {"power": 2}], ["kd", {}]]
        assert experiment.settings(at, "quick")["methods"] == [["at", {"weight": 1.0}]]

    def test_a_profile_may_have_its_own_seeds(self, experiment):
        assert experiment.seeds_of("quick") == (0, 1, 2) and experiment.seeds_of("smoke") == (7,)

    def test_a_profile_that_it_lacks_is_answered_with_those_it_has(self, experiment):
        with pytest.raises(Refusal, match="pairs has no profile 'paper', it has quick, smoke"):
            experiment.profile("paper")

    def test_a_misspelt_profile_is_answered_with_the_nearest(self, experiment):
        with pytest.raises(Refusal, match=r"unknown profile 'smok'.*nearest is 'smoke'"):
            experiment.profile("smok")

    def test_a_misspelt_row_is_answered_with_the_nearest(self, experiment):
        with pytest.raises(Refusal, match=r"unknown row of pairs 'studnt'.*nearest is 'student'"):
            experiment.row("studnt")


class TestSearching:
    def test_tries_the_same_grid_for_every_row_that_names_a_weight(self, experiment):
        search = experiment.searching()
        at = [row.settings["methods"][0][1]["weight"] for row in search.rows if row.key.startswith("at-")]
        unix = [row.settings["weight"] for row in search.rows if row.key.startswith("unix-kd-")]
        assert at == [1000.0 * scale for scale in SCALES] and unix == list(SCALES)

    def test_keeps_the_other_settings_and_methods(self, experiment):
        first = experiment.searching().rows[0].settings
        assert first["methods"][0][1]["power"] == 2 and first["methods"][1] == ["kd", {}]

    def test_judges_by_validation_with_seeds_that_are_not_reported(self, experiment):
        search = experiment.searching()
        assert all(row.settings["judge"] == "validation" for row in search.rows)
        assert search.seeds_of("smoke") == SEARCH_SEEDS and not set(SEARCH_SEEDS) & {0, 1, 2, 7}

    def test_records_apart_from_the_experiment(self, experiment):
        assert experiment.searching().key == "pairs-search"

    def test_an_experiment_without_weights_has_nothing_to_search(self):
        with pytest.raises(Refusal, match="no row with a weight to search"):
            Experiment("plain", "", (Row("student"),)).searching()


class TestRecipe:
    def test_lists_become_tuples_as_recipes_have_them(self):
        assert make_recipe({"milestones": [0.5, 0.7]}).milestones == (0.5, 0.7)

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ({"epoch": 3}, "unknown recipe option 'epoch'.*nearest is 'epochs'"),
            ({"epochs": -1}, "recipe: epochs must be above 0, got -1"),
            ({"precision": "float16"}, "recipe: precision must be one of float32, bfloat16, got 'float16'"),
            ({"epochs": "many"}, "recipe: "),
        ],
    )
    def test_what_is_wrong_is_refused_in_a_sentence(self, values, says):
        with pytest.raises(Refusal, match=says):
            make_recipe(values)


def test_a_place_is_resolved_when_it_is_wanted():
    assert resolve("kdcore.experiments.types:Row") is Row
