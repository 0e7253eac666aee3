import pytest

from kdcore.reporting import result_table
from kdcore.reporting.effects import selection_effects
from kdcore.reporting.figures import pareto, selection_effect

WORDS = {"caption": "Made up.", "alt": "dots that were made up for this test", "name": "fig-made-up"}


class TestPareto:
    def test_rows_and_the_student_are_drawn_and_named_the_same_way_each_time(self, three_rows):
        table = result_table(three_rows)
        costs = {"student": 1.0, "kd": 2.0, "dkd": 2.0}
        drawn = [pareto(table, costs, xlabel="arithmetic", **WORDS) for _ in range(2)]
        assert drawn[0].svg == drawn[1].svg and "95 % intervals" in drawn[0].caption

    def test_a_row_without_a_cost_is_left_out(self, three_rows):
        table = result_table(three_rows)
        some = pareto(table, {"student": 1.0, "kd": 2.0}, xlabel="arithmetic", **WORDS)
        every = pareto(table, {"student": 1.0, "kd": 2.0, "dkd": 3.0}, xlabel="arithmetic", log=True, **WORDS)
        assert len(some.svg) < len(every.svg)

    @pytest.mark.parametrize("costs", [{}, {"student": 1.0}])
    def test_nothing_to_draw_is_refused(self, three_rows, costs):
        with pytest.raises(ValueError, match="no row of made-up has both a gain and a cost"):
            pareto(result_table(three_rows), costs, xlabel="arithmetic", **WORDS)

    def test_one_seed_has_no_interval_and_is_drawn(self, rows):
        table = result_table([*rows("student", (0.8,)), *rows("kd", (0.9,))])
        assert pareto(table, {"kd": 2.0}, xlabel="arithmetic", **WORDS).svg


class TestSelectionEffect:
    def test_every_row_is_drawn(self, rows):
        records = [*rows("student", (0.80, 0.81)), *rows("kd", (0.90, 0.91))]
        for record in records:
            record["curve"] = [{"epoch": 1.0}, {"epoch": 2.0}]
        table = result_table(records)
        found = selection_effects(table)
        one = {"kd": found["kd"]}
        both, alone = (selection_effect(table, some, **WORDS) for some in (found, one))
        assert len(both.svg) > len(alone.svg) and "their mean" in both.caption

    def test_without_judged_epochs_there_is_nothing_to_draw(self, three_rows):
        with pytest.raises(ValueError, match="no record of made-up judged more than its last epoch"):
            selection_effect(result_table(three_rows), {}, **WORDS)
