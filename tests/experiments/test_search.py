from __future__ import annotations

from dataclasses import replace

import pytest

from kdcore import experiments
from kdcore.experiments.search import choices, reweighted, weights
from kdcore.experiments.store import read
from kdcore.experiments.types import Row


def record(row: str, seed: int, value: float, score: str = "accuracy", status: str = "done") -> dict:
    return {"row": row, "seed": seed, "status": status, "score": score, "last": {score: value}}


class TestChoices:
    def test_the_best_mean_wins(self):
        records = [record("at-x1", 100, 0.5), record("at-x1", 101, 0.7)]
        records += [record("at-x0.1", 100, 0.9), record("at-x0.1", 101, 0.8)]
        (choice,) = choices(records).values()
        assert choice.scale == 0.1 and choice.scores == pytest.approx({1.0: 0.6, 0.1: 0.85})

    def test_of_equal_ones_the_published_weight_wins(self):
        records = [record(f"at-x{scale}", 100, 0.5) for scale in ("0.001", "1", "0.1")]
        assert choices(records)["at"].scale == 1.0

    def test_a_scale_that_failed_is_not_chosen(self):
        records = [record("at-x1", 100, 0.9), record("at-x1", 101, 0.0, status="failed"), record("at-x0.1", 100, 0.2)]
        assert choices(records)["at"].scale == 0.1

    def test_the_lowest_perplexity_is_the_best(self):
        records = [record("kd-x1", 100, 9.0, "perplexity"), record("kd-x0.1", 100, 4.0, "perplexity")]
        assert choices(records)["kd"] == (0.1, {1.0: 9.0, 0.1: 4.0})

    def test_rows_with_dashes_keep_their_names(self):
        assert set(choices([record("ce-teacher-hard-x1", 100, 0.5)])) == {"ce-teacher-hard"}


class TestWeights:
    experiment = experiments.get("adversarial-together")

    def test_a_row_without_a_choice_has_the_published_weight(self):
        for row in self.experiment.rows:
            assert weights(self.experiment, row, "paper") == dict(row.search)
        assert reweighted(self.experiment, "paper") == ()

    def test_a_chosen_weight_stands_in_a_method_or_beside_a_scheme(self):
        row = Row("at", settings={"methods": [["at", {}]]}, search={"weight": 4.0},
                  under={"quick": {"methods": [["at", {"weight": 0.4}]]}})  # fmt: skip
        scheme = Row("dml", settings={"scheme": "dml"}, search={"weight": 1.0}, under={"quick": {"weight": 0.1}})
        both = replace(self.experiment, rows=(row, scheme, Row("student")))
        assert [weights(both, one, "quick") for one in both.rows] == [{"weight": 0.4}, {"weight": 0.1}, {}]
        assert reweighted(both, "quick") == ("at", "dml") and reweighted(both, "short") == ()


@pytest.mark.parametrize("experiment", [each for each in experiments.all() if any(row.search for row in each.rows)])
def test_the_weight_that_the_published_search_chose_stands_in_the_row(experiment):
    records = [record for record in read(f"{experiment.key}-search", "published") if record["profile"] == "quick"]
    if not records:
        pytest.skip(f"the search of {experiment.key} is not published")
    for row, choice in choices(records).items():
        wanted = {name: value * choice.scale for name, value in experiment.row(row).search.items()}
        assert weights(experiment, experiment.row(row), "quick") == pytest.approx(wanted)
