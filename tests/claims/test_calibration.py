"""The rule on half precision can give every verdict."""

import pytest

from kdcore.claims.calibration import NO_LOSS, SMALL
from kdcore.experiments.calibration import PRECISION


class TestNoLoss:
    def records(self, records, half, *, profile="short", scatter=0.002, seeds=5):
        wave = (1, -1, 0.5, -1, 0.5)
        whole = records.made("float32", lambda seed: {"accuracy": 0.9 + 0.01 * seed}, seeds)
        moved = lambda seed: {"accuracy": 0.9 + 0.01 * seed + half + scatter * wave[seed]}
        return [{**record, "profile": profile} for record in [*whole, *records.made("bfloat16", moved, seeds)]]

    @pytest.mark.parametrize(
        ("word", "half", "more"),
        [
            ("supported", 0.0, {}),
            ("supported", 0.003, {}),
            ("supported", -0.001, {}),
            ("contradicted", -0.01, {}),
            ("contradicted", -0.004, {}),
            ("undecided", 0.0, {"scatter": 0.01}),
            ("supported", 0.0, {"scatter": 0.01, "profile": "quick"}),
            ("undecided", 0.0, {"scatter": 0.03, "profile": "quick"}),
            ("undecided", 0.0, {"seeds": 4}),
            ("undecided", 0.0, {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, word, half, more):
        assert NO_LOSS.verdict(self.records(records, half, **more)).word == word

    def test_says_what_would_count(self, records):
        because = NO_LOSS.rule(self.records(records, -0.001)).because
        assert "bfloat16 over float32 -0.1 points" in because and "a loss of 0.5 points would count" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records, 0.0)
        made[0]["status"] = "failed"
        assert NO_LOSS.verdict(made).word == "undecided"

    def test_knows_every_size_of_its_experiment(self):
        assert set(SMALL) == set(PRECISION.profiles) and NO_LOSS.experiment is PRECISION
