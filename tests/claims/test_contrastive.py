"""The rule can give every verdict; what its experiment needs is there."""

import pytest

from kdcore.claims.contrastive import CONTRAST_BEATS_FEATURES


class TestContrastBeatsFeatures:
    def records(self, records, *, crd=0.95, hint=0.92, attention=0.91, seeds=5):
        rows = {"crd": crd, "fitnet-joint": hint, "at": attention, "student": 0.86}
        return [one for row, mean in rows.items() for one in records.accuracy(row, mean, seeds=seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"hint": 0.98}),
            ("contradicted", {"attention": 0.98}),
            ("undecided", {"hint": 0.95}),
            ("undecided", {"attention": 0.95}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert CONTRAST_BEATS_FEATURES.verdict(self.records(records, **numbers)).word == said

    def test_says_the_gaps_that_decide(self, records):
        because = CONTRAST_BEATS_FEATURES.rule(self.records(records)).because
        assert "over a hint +3.0 points" in because and "over attention maps +4.0 points" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records)
        made[0]["status"] = "failed"
        assert CONTRAST_BEATS_FEATURES.verdict(made).word == "undecided"

    def test_the_rule_reads_rows_that_the_experiment_has(self):
        rows = {row.key for row in CONTRAST_BEATS_FEATURES.experiment.rows}
        assert rows == {"student", "fitnet-joint", "at", "crd"}
