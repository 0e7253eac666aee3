import numpy
import pytest

from kdcore.reporting import result_table
from kdcore.reporting.choosing import choose, decision_table, in_words, one_pair, rank_correlation, transfer_table

COSTS = {"student": 1.0, "kd": 2.0, "dkd": 2.0, "twin": 5.0}
STUDENT, KD = (0.80, 0.81, 0.79, 0.80), (0.90, 0.911, 0.889, 0.901)
TWIN = tuple(value + more for value, more in zip(KD, (0.001, -0.0005, 0.0, 0.001)))


def moved(by):
    return (*(value + by for value in STUDENT[:-1]), STUDENT[-1] + by + 0.0001)


@pytest.fixture
def table(rows):
    dkd = tuple(value - 0.05 + more for value, more in zip(KD, (0.001, -0.001, 0.0, 0.001)))
    records = [*rows("student", STUDENT), *rows("kd", KD), *rows("dkd", dkd), *rows("twin", TWIN)]
    return result_table(records, method="t")


class TestChoice:
    def test_of_rows_that_are_tied_the_cheapest_stands_first(self, table):
        found = choose(table, COSTS)
        assert found.best == "twin" and found.tied == ("kd", "twin") and found.candidates == 4 and found.enough

    def test_a_budget_leaves_rows_out(self, table):
        assert choose(table, COSTS, 2.0).tied == ("kd",)
        assert choose(table, COSTS, 1.0).best == "student" and choose(table, COSTS, 1.0).gain is None
        assert choose(table, COSTS, 0.5) is None

    def test_a_row_without_a_cost_is_no_candidate(self, table):
        assert choose(table, {"kd": 2.0}).tied == ("kd",)

    def test_where_nothing_is_told_from_no_distillation_that_is_the_cheapest(self, rows):
        near = tuple(value + more for value, more in zip(STUDENT, (0.002, -0.002, 0.001, 0.0)))
        found = choose(result_table([*rows("student", STUDENT), *rows("kd", near)]), COSTS)
        assert found.best == "kd" and found.tied[0] == "student"

    def test_two_seeds_tell_nothing_apart_and_say_so(self, rows):
        found = choose(result_table([*rows("student", STUDENT[:2]), *rows("kd", KD[:2])]), COSTS)
        assert not found.enough and found.best == "kd" and set(found.tied) == {"kd", "student"}

    def test_failed_and_missing_rows_are_no_candidates(self, rows, failed):
        records = [*rows("student", STUDENT), *rows("kd", KD[:3]), failed("kd", 3)]
        assert choose(result_table(records), COSTS).best == "student"

    def test_where_less_is_better_the_smallest_leads(self, rows):
        records = [*rows("student", STUDENT), *rows("kd", KD)]
        assert choose(result_table(records, metric="cross_entropy"), COSTS).best == "kd"

    def test_how_surely_it_leads_is_what_redrawing_says(self, table):
        found, pooled = choose(table, COSTS, 2.0), table.noise.pooled
        random = numpy.random.default_rng(9)
        means = [table.value(key) for key in ("kd", "dkd", "student")]
        drawn = random.normal(means, pooled.std / 2, (20_000, 3))
        assert found.lead == pytest.approx((drawn.argmax(1) == 0).mean(), abs=0.01)
        assert choose(table, COSTS).lead == pytest.approx(0.5, abs=0.1)

    def test_without_spread_nothing_is_said_of_it(self, rows):
        found = choose(result_table([*rows("student", (0.8, 0.8, 0.8)), *rows("kd", (0.9, 0.9, 0.9))]), COSTS)
        assert found.lead is None


class TestOnePair:
    @pytest.fixture
    def made(self, rows):
        def make(experiment, row, values=KD, **inputs):
            found = {"data": "d0", "teacher": "t0"} | inputs
            if row == "student":
                del found["teacher"]
            settings = {"student": "small"}
            return rows(row, values, experiment=experiment, inputs=found, settings=settings)

        return make

    def test_rows_of_several_experiments_that_were_made_alike_become_one(self, made):
        records = [*made("a", "student"), *made("a", "kd"), *made("b", "at"), *made("b", "student")]
        found = one_pair(records, "all", "quick", "cpu")
        assert {record["experiment"] for record in found} == {"all"}
        assert sorted({record["row"] for record in found}) == ["at", "kd", "student"] and len(found) == 12
        assert len(result_table(found, None).lines) == 3

    def test_another_teacher_or_recipe_or_profile_stays_out(self, made):
        records = [*made("a", "kd"), *made("a", "dkd"), *made("b", "at", teacher="t1")]
        records += [record | {"recipe": {"steps": 99}} for record in made("c", "sp")]
        records += [record | {"profile": "short"} for record in made("d", "rkd")]
        records += [record | {"variant": {"kd.temperature": 2}} for record in made("a", "crd")]
        assert {record["row"] for record in one_pair(records, "all", "quick", "cpu")} == {"kd", "dkd"}

    def test_of_a_row_that_two_experiments_have_the_first_is_kept(self, made):
        records = [*made("a", "kd"), *made("b", "kd", values=STUDENT)]
        assert [record["last"]["accuracy"] for record in one_pair(records, "all", "quick", "cpu")] == list(KD)

    def test_nothing_gives_nothing(self):
        assert one_pair([], "all", "quick", "cpu") == []


class TestDecisionTable:
    def test_a_line_for_every_pair_and_budget(self, table):
        limits = {"a plain step": 2.0, "anything": 99.0}
        shown = decision_table({"made up": (table, COSTS)}, limits, caption="Made up.")
        assert [row[:3] for row in shown.rows] == [
            ("made up", "a plain step", "`kd`"),
            ("made up", "anything", "`twin`"),
        ]
        assert shown.rows[1][-2:] == ("1 of 3 others", "`kd` (2.00 ×)") and shown.rows[0][-2] == "nothing"

    def test_too_few_seeds_are_said_in_the_line(self, rows):
        table = result_table([*rows("student", STUDENT[:2]), *rows("kd", KD[:2])])
        shown = decision_table({"made up": (table, COSTS)}, {"anything": 9.0}, caption="Made up.")
        assert shown.rows[0][-2:] == ("not known from 2 seeds", "not known")

    def test_limits_may_be_given_in_what_a_row_costs(self, table):
        shown = decision_table({"made up": (table, COSTS)}, {"half": 0.5, "twice": 2.5}, unit="kd", caption="Made up.")
        assert [row[2] for row in shown.rows] == ["`student`", "`twin`"]

    def test_a_sentence_says_what_leads_and_what_is_cheapest(self, table, rows):
        said = in_words({"here": (table, COSTS), "there": (table, {"kd": 2.0, "dkd": 2.0})})
        assert "here: `twin` leads in the mean, tied with 1 other; the cheapest of all tied is `kd`" in said
        assert "there: `kd` stands alone at the top" in said and in_words({}).startswith("there were no records")
        few = result_table([*rows("student", STUDENT[:2]), *rows("kd", KD[:2])])
        assert in_words({"few": (few, COSTS)}) == "few: too few seeds to choose by"

    def test_a_budget_below_every_row_has_none(self, table):
        shown = decision_table({"made up": (table, COSTS)}, {"nothing": 0.1}, caption="Made up.")
        assert shown.rows[0][2:] == ("no row", "–", "–", "–", "–")


class TestTransfer:
    def test_an_order_that_is_kept_and_one_that_is_turned_round(self, rows):
        steps = {f"m{k}": 0.01 * k for k in range(1, 7)}
        up = [*rows("student", STUDENT), *(r for key, by in steps.items() for r in rows(key, moved(by)))]
        down = [*rows("student", STUDENT), *(r for key, by in steps.items() for r in rows(key, moved(0.1 - by)))]
        tables = {"up": result_table(up), "again": result_table(up), "down": result_table(down)}
        shown = transfer_table(tables, caption="Made up.").rows
        assert [row[:3] for row in shown] == [("up", "again", 6), ("up", "down", 6), ("again", "down", 6)]
        assert shown[0][3].startswith("1.00") and shown[1][3].startswith("−1.00")

    def test_few_shared_rows_are_no_evidence(self, table):
        assert transfer_table({"a": table, "b": table}, caption="Made up.").rows == ()

    def test_ranks_count_and_not_sizes(self):
        one, other = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 30.0, 400.0, 5000.0]
        assert rank_correlation(one, other)[0] == pytest.approx(1.0)
        assert rank_correlation(one, [1.0] * 5) == (0.0, -1.0, 1.0)

    def test_the_interval_narrows_with_the_number_of_rows(self):
        random = numpy.random.default_rng(0)
        width = {}
        for n in (6, 60):
            values = random.normal(size=n)
            _, low, high = rank_correlation(list(values), list(values + random.normal(size=n)))
            width[n] = high - low
        assert width[60] < width[6] / 2
