"""The rules on critics can give every verdict; what their experiments need is there."""

import pytest

from kdcore.claims.adversarial import DISTRIBUTION, DIVERSITY


class TestDistribution:
    def records(self, records, *, game=0.1, plain=0.3, soft=0.2, seeds=5):
        found, wave = [], (1, -1, 0.5, -1, 0.5)
        for row, mean in {"gan-kd": game, "student": plain, "kd": soft}.items():
            scattered = lambda seed, row=row, mean=mean: mean + 0.004 * wave[(seed + len(row)) % 5]
            last = lambda seed, at=scattered: {"as_a_set": at(seed), "one_by_one": 2 * at(seed)}
            found += records.made(f"{row}-gap", last, seeds=seeds)
        return found

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"game": 0.25}),
            ("contradicted", {"game": 0.4}),
            ("undecided", {"game": 0.2}),
            ("undecided", {"plain": 0.1}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert DISTRIBUTION.verdict(self.records(records, **numbers)).word == said

    def test_says_the_numbers_that_decide(self, records):
        because = DISTRIBUTION.rule(self.records(records)).because
        assert "labels alone by +20.0 points" in because and "softened answers by +10.0 points" in because
        assert "lie 0.20 such distances" in because and "softened answers 0.40" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records)
        made[0]["status"] = "failed"
        assert DISTRIBUTION.verdict(made).word == "undecided"

    def test_it_measures_students_that_it_trains_and_keeps(self):
        experiment = DISTRIBUTION.experiment
        for row in experiment.rows:
            if row.key.endswith("-gap"):
                reference = row.settings["learner"]
                assert reference["experiment"] == experiment.key and experiment.row(reference["row"]).keep


class TestDiversity:
    def records(self, records, *, game=0.1, without=0.05, seeds=5):
        rows = {"online-adversarial-kd": game, "online-without-game": without}
        wave, found = (1, -1, 0.5, -1, 0.5), []
        for row, mean in rows.items():
            last = lambda seed, row=row, mean=mean: {"disagreement": mean + 0.004 * wave[(seed + len(row)) % 5]}
            found += records.made(row, last, seeds=seeds)
        return found

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"game": 0.01}),
            ("undecided", {"game": 0.05}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert DIVERSITY.verdict(self.records(records, **numbers)).word == said

    def test_says_the_numbers_that_decide(self, records):
        because = DIVERSITY.rule(self.records(records)).because
        assert "5.0 % of the images without the game" in because and "by +5.0 points" in because

    def test_the_rule_reads_rows_that_the_experiment_has(self):
        rows = {row.key: row for row in DIVERSITY.experiment.rows}
        with_game, without = rows["online-adversarial-kd"], rows["online-without-game"]
        assert with_game.measure == without.measure
        assert {**with_game.settings, "weight": 0.0} == without.settings  # nothing else differs
