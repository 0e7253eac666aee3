from __future__ import annotations

import pytest

from kdcore import experiments
from kdcore.experiments.search import choices
from kdcore.experiments.store import read


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


@pytest.mark.parametrize("experiment", [each for each in experiments.all() if any(row.search for row in each.rows)])
def test_the_weight_that_the_published_search_chose_stands_in_the_row(experiment):
    records = [record for record in read(f"{experiment.key}-search", "published") if record["profile"] == "quick"]
    if not records:
        pytest.skip(f"the search of {experiment.key} is not published")
    for row, choice in choices(records).items():
        wanted = {name: value * choice.scale for name, value in experiment.row(row).search.items()}
        settings = experiment.settings(experiment.row(row), "quick")
        used = {**experiment.row(row).search, **(settings["methods"][0][1] if "methods" in settings else settings)}
        assert {name: used[name] for name in wanted} == pytest.approx(wanted)
