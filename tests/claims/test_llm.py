"""The rule can give every verdict, and reads what the experiment has."""

import doctest

import pytest

from kdcore.claims import llm
from kdcore.claims.llm import DEEP, LAYERS, LLM_CHALLENGES, at, in_nats


class TestLLMChallenges:
    def records(self, records, *, kept=1.2, arithmetic=1.05, lost=0.0, scatter=0.004, seeds=3):
        wave = (1, -1, 0.5)
        nats = lambda mean, sign: lambda seed: {"nats_per_character": mean + sign * scatter * wave[seed % 3]}
        counts = lambda factor: {"none": {"4": 5.0, "8": 9.0}, "every-1": {"4": 5.0 * factor, "8": 9.0 * factor}}
        cost = lambda seed: {"arithmetic": counts(arithmetic), "kept": counts(kept)}
        rows = {"every-1": nats(2.4, 1), "every-2": nats(2.4 + lost, -1), "student": nats(2.5, 1), "cost": cost}
        return [one for row, last in rows.items() for one in records.made(row, last, seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("supported", {"kept": 1.0, "arithmetic": 1.3}),
            ("supported", {"lost": -0.2}),
            ("contradicted", {"kept": 1.05}),
            ("contradicted", {"lost": 0.2}),
            ("undecided", {"scatter": 0.1}),
            ("undecided", {"lost": 0.05}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert LLM_CHALLENGES.rule(self.records(records, **numbers)).word == said

    def test_says_the_numbers_that_decide(self, records):
        because = LLM_CHALLENGES.rule(self.records(records, lost=-0.1)).because
        assert f"all of {LAYERS} layers makes a step 5.0 % dearer in arithmetic and 20.0 % in what is kept" in because
        assert "changes -0.101 nats a character (-0.1" in because and "3 seeds" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records)
        made[0]["status"] = "failed"
        assert LLM_CHALLENGES.verdict(made).word == "undecided"

    def test_the_rule_reads_rows_that_the_experiment_has(self):
        assert {"student", "every-1", "every-2", "every-4", "cost"} == {row.key for row in DEEP.rows}
        every = {row.key: row.settings["methods"][0][1]["every"] for row in DEEP.rows if "every-" in row.key}
        assert every == {"every-1": 1, "every-2": 2, "every-4": 4}

    def test_the_cost_is_counted_for_real(self):
        from kdcore.experiments.measures.text import alignment_cost
        from kdcore.recipe import Recipe

        asked = {**DEEP.row("cost").settings, "depths": [1, 2], "every": [1]}
        last = alignment_cost(seed=0, profile="quick", recipe=Recipe(batch_size=2), device="cpu", **asked)
        assert 1 < llm.ratio(last["arithmetic"], LAYERS) < llm.ratio(last["kept"], LAYERS)


def test_another_depth_is_on_the_line_through_two():
    assert at({"4": 10.0, "8": 18.0}, 96) == 10 + 2 * 92


def test_too_few_seeds_are_told():
    from kdcore.claims.evidence import gap

    assert "too few to tell, 2 seeds" in in_nats(gap({0: 1.0, 1: 1.1}, {0: 1.2, 1: 1.2}))


def test_the_examples_are_true():
    assert doctest.testmod(llm).failed == 0
