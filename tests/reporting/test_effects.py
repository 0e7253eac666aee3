import pytest

from kdcore.reporting import result_table
from kdcore.reporting.effects import effect_table, selection_effects, told


def judged(records, *above):
    """Records of two judged epochs whose best lies above the last by so much, seed by seed."""
    for record, more in zip(records, above):
        record["curve"] = [{"epoch": 1.0}, {"epoch": 2.0}]
        record["best"] = {name: value + more for name, value in record["last"].items()}
    return records


class TestSelectionEffect:
    def test_by_hand(self, rows):
        table = result_table(judged(rows("kd", (0.90, 0.91, 0.92)), 0.01, 0.02, 0.03))
        found = selection_effects(table)["kd"]
        assert found.last == pytest.approx(0.91) and found.summary.mean == pytest.approx(0.02)
        assert found.values == pytest.approx({0: 0.01, 1: 0.02, 2: 0.03}) and found.summary.std == pytest.approx(0.01)

    def test_a_run_that_was_judged_once_has_none(self, three_rows):
        assert selection_effects(result_table(three_rows)) == {}

    def test_the_teacher_takes_no_part(self, rows):
        records = [*judged(rows("teacher", (0.9,)), 0.01), *judged(rows("kd", (0.9,)), 0.01)]
        assert list(selection_effects(result_table(records))) == ["kd"]

    def test_it_is_asked_of_last_epochs(self, rows):
        table = result_table(judged(rows("kd", (0.9, 0.91)), 0.01, 0.02), which="mean_of_last_ten", rows=["kd"])
        with pytest.raises(ValueError, match="got a table of the mean_of_last_ten epoch"):
            selection_effects(table)


class TestShown:
    def test_places_by_both_epochs_stand_beside_each_other(self, rows):
        records = [*judged(rows("a", (0.90, 0.91)), 0.00, 0.00), *judged(rows("b", (0.89, 0.90)), 0.03, 0.05)]
        table = result_table(records, reference="a")
        shown = effect_table(table, selection_effects(table))
        assert [row[-2:] for row in shown.rows] == [(1, 2), (2, 1)] and shown.rows[1][2] == "+4.0 ± 1.4"
        assert "n = 2 seeds" in shown.caption

    def test_where_less_is_better_the_smallest_stands_first(self, rows):
        records = [*judged(rows("a", (0.90, 0.91)), 0.0, 0.0), *judged(rows("b", (0.80, 0.81)), 0.0, 0.0)]
        table = result_table(records, reference="a", metric="cross_entropy")
        assert [row[-1] for row in effect_table(table, selection_effects(table)).rows] == [1, 2]


class TestTold:
    def test_mean_and_largest_over_all_rows_of_all_tables(self, rows):
        one = result_table(judged(rows("a", (0.90, 0.91)), 0.01, 0.01), reference="a")
        two = result_table(judged(rows("b", (0.90, 0.91)), 0.02, 0.04), reference="b")
        assert told([one, two]) == "2.00 points on average and 3.00 points at most"

    def test_records_that_were_judged_once_say_nothing(self, three_rows):
        assert told([result_table(three_rows)]) == "not known, since no record was judged more than once"
