from __future__ import annotations

import pytest

from kdcore.experiments.estimates import about, remaining


def record(row: str, seconds: float, company: int = 1, resumed: int = 0, status: str = "done") -> dict:
    return {
        "row": row,
        "status": status,
        "provenance": {"seconds": seconds, "company": company, "resumed": resumed},
    }


class TestRemaining:
    def test_each_row_takes_what_its_finished_runs_took(self):
        finished = [record("kd", 10.0), record("kd", 20.0), record("crd", 100.0)]
        assert remaining(["kd, seed 2", "crd, seed 1", "crd, seed 2"], finished) == 15 + 100 + 100

    def test_runs_that_were_made_together_share_their_time(self):
        finished = [record("kd", 60.0, company=3), record("at", 60.0, company=3), record("sp", 60.0, company=3)]
        assert remaining(["kd, seed 1", "at, seed 1", "sp, seed 1"], finished) == 60

    def test_a_row_without_a_finished_run_takes_what_the_others_took_on_average(self):
        assert remaining(["new, seed 0"], [record("kd", 10.0), record("kd", 10.0), record("crd", 40.0)]) == 25

    def test_interrupted_runs_count_only_where_there_are_no_others(self):
        cut = record("kd", 1.0, resumed=2)
        assert remaining(["kd, seed 2"], [cut, record("kd", 10.0)]) == 10
        assert remaining(["kd, seed 2"], [cut]) == 1

    def test_what_failed_early_says_nothing_of_the_rest(self):
        assert remaining(["kd, seed 2"], [record("kd", 0.1, status="failed"), record("kd", 10.0)]) == 10

    @pytest.mark.parametrize("finished", [[], [record("kd", 0.1, status="failed")], [{"status": "done", "row": "kd",
                                                                                     "provenance": {}}]])  # fmt: skip
    def test_without_anything_like_it_there_is_no_idea(self, finished):
        assert remaining(["kd, seed 0"], finished) is None

    def test_nothing_takes_no_time(self):
        assert remaining([], []) == 0.0

    def test_a_row_may_be_called_as_it_likes(self):
        assert remaining(["at, seed of doubt, seed 3"], [record("at, seed of doubt", 7.0), record("at", 1.0)]) == 7


def test_words_say_no_more_than_is_known():
    assert [about(seconds) for seconds in (0, 99, 100, 5999, 6000)] == ["1 s", "99 s", "2 min", "100 min", "1.7 h"]
