"""The rules can give every verdict; what their experiments need is there."""

import math

import pytest
import scipy.stats

from kdcore.claims.benchmarks import (
    ALL_BETWEEN,
    ANSWERS_BACK,
    FUSION_BEST,
    ONLINE_BEST,
    RELATIONS_BEST,
    SI2023_CONCLUSIONS,
    STRUCTURE_BEST,
    ZHAO2026_OBSERVATIONS,
    between,
)
from kdcore.claims.evidence import gap, values
from kdcore.reporting import result_table

SI2023 = {
    "teacher": 0.97,
    "student": 0.90,
    **dict.fromkeys(("kd", "crd", "takd"), 0.92),
    **dict.fromkeys(("at", "afds", "fsp"), 0.925),
    **dict.fromkeys(("rkd", "irg", "sp"), 0.935),
    **dict.fromkeys(("dml", "one", "okddip"), 0.95),
}
ZHAO2026 = {
    "teacher": 0.80,
    "student": 0.71,
    **dict.fromkeys(("fitnet-joint", "at"), 0.73),
    **dict.fromkeys(("sp", "crd"), 0.75),
    "kd": 0.745,
    **dict.fromkeys(("dkd", "normkd"), 0.77),
    "crld": 0.79,
    "crld-all-steps": 0.795,
}


def made(records, means, seeds=5, scatter=0.001, **changes) -> list:
    rows = {**means, **{row.replace("_", "-"): mean for row, mean in changes.items()}}
    return [one for row, mean in rows.items() for one in records.accuracy(row, mean, scatter=scatter, seeds=seeds)]


class TestBetween:
    """Two seeds of a pair leave one degree of freedom, those of a table one less than it has students."""

    def test_two_seeds_of_many_rows_tell_what_two_seeds_of_two_rows_do_not(self, records):
        many = made(records, SI2023, seeds=2)
        few = [one for one in many if one["row"] in ("student", "kd")]
        assert between(many, ["kd"], ["student"]).above and not between(few, ["kd"], ["student"]).above

    def test_the_interval_is_the_tables(self, records):
        many = made(records, SI2023)
        table = result_table(
            [one | {"experiment": "x", "hash": f"{one['row']}{one['seed']}"} for one in many], method="pooled"
        )
        found = between(many, ["rkd"], ["student"])
        shown = table.between("rkd", "student")
        assert (found.mean, found.low, found.high) == pytest.approx((shown.mean, shown.low, shown.high))

    def test_a_mean_of_rows_scatters_less_than_a_row(self, records):
        """Three rows against three: a third of the variance of one against one."""
        many = made(records, SI2023)
        one = between(many, ["kd"], ["rkd"])
        three = between(many, ("kd", "crd", "takd"), ("rkd", "irg", "sp"))
        assert (three.high - three.low) / (one.high - one.low) == pytest.approx(3**-0.5)

    def test_a_mean_of_rows_has_the_interval_of_the_contrast(self):
        """By hand: three rows of two seeds, row and seed leave -1, 1 and 1, -1 and 0, 0 half points."""
        cells = {"student": (0.495, 0.605), "kd": (0.705, 0.795), "at": (0.70, 0.80)}
        many = [{"row": row, "seed": seed, "last": {"accuracy": value}}
                for row, both in cells.items() for seed, value in enumerate(both)]  # fmt: skip
        spread = math.sqrt(4 * 0.005**2 / 2)  # two degrees of freedom
        found = between(many, ("kd", "at"), ("student",))
        half = scipy.stats.t.ppf(0.975, 2) * spread * math.sqrt((1 / 2 + 1) / 2)
        assert (found.mean, found.high - found.mean) == pytest.approx((0.2, half))

    def test_a_row_that_scatters_more_than_the_others_is_compared_by_its_own_spread(self, records):
        wild = [one for one in made(records, SI2023) if one["row"] != "kd"]
        wild += [{"row": "kd", "seed": seed, "last": {"accuracy": value}}
                 for seed, value in enumerate((0.95, 0.80, 0.99, 0.70, 0.97))]  # fmt: skip
        own = gap(values(wild, "kd", "accuracy"), values(wild, "student", "accuracy"))
        assert between(wild, ["kd"], ["student"]) == own
        calm = made(records, SI2023)
        assert between(wild, ["rkd"], ["student"]).low == pytest.approx(
            between(calm, ["rkd"], ["student"]).low, abs=1e-3
        )


class TestAllBetween:
    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"fsp": 0.88}),
            ("contradicted", {"okddip": 0.99}),
            ("undecided", {"kd": 0.90}),
            ("undecided", {"okddip": 0.97}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert ALL_BETWEEN.verdict(made(records, SI2023, **numbers)).word == said

    def test_says_the_worst_row_and_the_one_nearest_to_the_teacher(self, records):
        because = ALL_BETWEEN.rule(made(records, SI2023, fsp=0.91)).because
        assert "12 of 12 rows" in because and "fsp by +1.0 points" in because and "by +2.0 points" in because


class TestOnlineBest:
    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"sp": 0.965}),
            ("contradicted", {"kd": 0.99, "crd": 0.99, "takd": 0.99}),
            ("undecided", {"sp": 0.95}),
            ("undecided", {"seeds": 1}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert ONLINE_BEST.verdict(made(records, SI2023, **numbers)).word == said

    def test_another_form_of_okddip_is_no_rival(self, records):
        assert ONLINE_BEST.verdict(made(records, SI2023, okddip_networks=0.96)).word == "supported"


class TestStructureBest:
    @pytest.mark.parametrize(
        ("said", "numbers"), [("supported", {}), ("contradicted", {"rkd": 0.88}), ("undecided", {"sp": 0.905})]
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert STRUCTURE_BEST.verdict(made(records, SI2023, **numbers)).word == said


class TestSI2023Conclusions:
    @pytest.mark.parametrize(
        ("said", "numbers"),
        [("supported", {}), ("contradicted", {"rkd": 0.88}), ("undecided", {"sp": 0.95}), ("undecided", {"seeds": 1})],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert SI2023_CONCLUSIONS.verdict(made(records, SI2023, **numbers)).word == said

    def test_tells_each_of_the_three(self, records):
        because = SI2023_CONCLUSIONS.rule(made(records, SI2023, sp=0.95)).because
        assert [word in because for word in ("(1) supported", "(2) undecided", "(3) supported")] == [True] * 3

    def test_the_rules_read_rows_that_the_experiment_has(self):
        assert set(SI2023) <= {row.key for row in SI2023_CONCLUSIONS.experiment.rows}


class TestRelationsBest:
    @pytest.mark.parametrize(
        ("said", "numbers"), [("supported", {}), ("contradicted", {"sp": 0.70}), ("undecided", {"sp": 0.71})]
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert RELATIONS_BEST.verdict(made(records, ZHAO2026, **numbers)).word == said


class TestAnswersBack:
    @pytest.mark.parametrize(
        ("said", "numbers"), [("supported", {}), ("contradicted", {"normkd": 0.73}), ("undecided", {"dkd": 0.745})]
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert ANSWERS_BACK.verdict(made(records, ZHAO2026, **numbers)).word == said


class TestFusionBest:
    @pytest.mark.parametrize(
        ("said", "numbers"), [("supported", {}), ("contradicted", {"dkd": 0.795}), ("undecided", {"dkd": 0.79})]
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert FUSION_BEST.verdict(made(records, ZHAO2026, **numbers)).word == said

    def test_the_same_method_with_all_steps_is_no_rival(self, records):
        assert FUSION_BEST.verdict(made(records, ZHAO2026, crld_all_steps=0.80)).word == "supported"


class TestZhao2026Observations:
    @pytest.mark.parametrize(
        ("said", "numbers"), [("supported", {}), ("contradicted", {"sp": 0.70}), ("undecided", {"dkd": 0.79})]
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert ZHAO2026_OBSERVATIONS.verdict(made(records, ZHAO2026, **numbers)).word == said

    def test_the_rules_read_rows_that_the_experiment_has(self):
        assert set(ZHAO2026) <= {row.key for row in ZHAO2026_OBSERVATIONS.experiment.rows}
