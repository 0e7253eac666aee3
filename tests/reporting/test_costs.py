import pytest

from kdcore.experiments import get
from kdcore.experiments.types import Experiment, Profile, Row
from kdcore.reporting import result_table
from kdcore.reporting.costs import RowCost, cost_table, costs, frontier


def timed(records, seconds, company=2, resumed=0, memory=3_000_000):
    for record in records:
        made = {"seconds": seconds, "company": company, "resumed": resumed, "peak_memory": memory}
        record["provenance"] = record["provenance"] | made
    return records


class TestRecorded:
    def test_seconds_are_a_runs_share_of_its_company(self, rows):
        records = [*timed(rows("student", (0.8, 0.81)), 60.0), *timed(rows("kd", (0.9, 0.91)), 90.0, memory=5_000_000)]
        found = costs(result_table(records))
        assert found["student"] == RowCost(None, None, 30.0, 3_000_000, 2)
        assert (found["kd"].seconds, found["kd"].memory) == (45.0, 5_000_000)

    def test_an_interrupted_run_does_not_say_how_long_it_took(self, rows):
        first, second = rows("kd", (0.9, 0.91))
        records = [*rows("student", (0.8, 0.81)), *timed([first], 60.0), *timed([second], 2.0, resumed=1)]
        assert costs(result_table(records))["kd"].seconds == 30.0
        found = costs(result_table([*rows("student", (0.8, 0.81)), *timed([first, second], 2.0, resumed=1)]))["kd"]
        assert found.seconds is None and found.memory == 3_000_000

    def test_records_that_say_nothing_cost_nothing_known(self, three_rows):
        assert set(costs(result_table(three_rows)).values()) == {RowCost()}

    def test_the_teacher_has_no_line(self, three_rows):
        assert list(costs(result_table(three_rows))) == ["student", "dkd", "kd"]


class TestCounted:
    def test_a_rows_own_settings_and_the_profiles_own_networks_count(self):
        found = costs(result_table([], get("response"), rows=["student", "kd", "crld"], profile="quick", device="cpu"))
        assert (found["student"].arithmetic, found["student"].extra) == (1.0, 0)
        assert found["crld"].arithmetic > 1.9 * found["kd"].arithmetic > 2

    def test_a_row_that_trains_nothing_has_no_cost(self):
        made = Row("bound", measure="kdcore.experiments.measures.forms:nothing")
        experiment = Experiment("made-up", "Made up", (made,), (0,), {"quick": Profile()})
        assert costs(result_table([], experiment, profile="quick", device="cpu"))["bound"] == RowCost()


class TestShown:
    def test_gain_and_costs_stand_in_a_line(self, rows):
        records = [*timed(rows("student", (0.80, 0.81, 0.82)), 60.0), *timed(rows("kd", (0.90, 0.92, 0.91)), 90.0)]
        table = result_table(records)
        shown = cost_table(table, costs(table) | {"kd": RowCost(2.0345, 120, 45.0, 5_000_000, 2)})
        assert shown.rows[1] == ("`kd`", table.gain_text("kd"), "2.03", 120, "45", "5")
        assert shown.rows[0][1] == "–" and any("side by side" in note for note in shown.notes)

    def test_runs_that_were_alone_need_no_excuse(self, rows):
        table = result_table(timed(rows("student", (0.8, 0.81)), 60.0, company=1))
        assert len(cost_table(table, costs(table)).notes) == 1


class TestFrontier:
    def test_is_what_a_search_through_all_pairs_leaves(self):
        found = {"a": (1, 1), "b": (2, 3), "c": (2, 2), "d": (3, 3), "e": (4, 9), "f": (1, 0)}
        worse = lambda one, other: other[0] <= one[0] and other[1] >= one[1] and other != one
        naive = {key for key, one in found.items() if not any(worse(one, other) for other in found.values())}
        assert set(frontier(found)) == naive and frontier(found) == ["a", "b", "e"]

    def test_rows_that_are_equal_in_both_stay_both(self):
        assert frontier({"a": (1.0, 2.0), "b": (1.0, 2.0)}) == ["a", "b"] and frontier({}) == []

    @pytest.mark.parametrize("key", ["a", "b"])
    def test_the_cheapest_and_the_best_are_always_on_it(self, key):
        assert key in frontier({"a": (0.5, -1.0), "b": (9.0, 4.0), "c": (5.0, 1.0)})
