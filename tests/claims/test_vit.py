"""The rule on attention can give every verdict; what its experiment needs is there."""

import pytest

from kdcore.claims.vit import ATTENTION
from kdcore.experiments.vit import BOTH, ENTRIES_OF_VITKD, VIT, VIT_TEACHERS


class TestAttention:
    def records(self, records, *, attention=0.9, features=0.8, answers=0.8, seeds=5):
        rows = {"attn-map-distill": attention, "vitkd": features, "deit-soft": answers, "student": 0.7}
        return [one for row, mean in rows.items() for one in records.accuracy(row, mean, seeds=seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"features": 0.95}),
            ("contradicted", {"answers": 0.95}),
            ("contradicted", {"features": 0.95, "answers": 0.95}),
            ("undecided", {"features": 0.9}),
            ("undecided", {"answers": 0.9}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert ATTENTION.verdict(self.records(records, **numbers)).word == said

    def test_says_the_numbers_that_decide(self, records):
        because = ATTENTION.rule(self.records(records)).because
        assert "over features +10.0 points" in because and "over answers +10.0 points" in because
        assert "over no teacher +20.0 points" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records)
        made[0]["status"] = "failed"
        assert ATTENTION.verdict(made).word == "undecided"

    def test_the_rule_reads_rows_that_the_experiment_has(self):
        assert {"student", "attn-map-distill", "vitkd", "deit-soft"} <= {row.key for row in ATTENTION.experiment.rows}


class TestExperiments:
    def test_students_of_the_distillation_token_have_one(self):
        from kdcore.models import architecture

        for experiment in (VIT, VIT_TEACHERS):
            for row in experiment.rows:
                for profile in experiment.profiles:
                    student = architecture(experiment.settings(row, profile)["student"])
                    assert student.settings.get("distilled", False) == row.key.startswith("deit")

    def test_vitkds_weight_for_the_mean_is_the_published_one(self):
        from kdcore.models import architecture

        for profile, name in (("quick", "digits-vit-teacher"), ("paper", "vit-tiny-32")):
            ((_, settings),) = VIT.settings(VIT.row("vitkd"), profile)["methods"]
            made = architecture(name).settings
            entries = (made["size"] // made["patch"]) ** 2 * made["width"]
            assert settings["weight"] * entries == pytest.approx(ENTRIES_OF_VITKD)

    def test_the_search_keeps_the_token(self):
        assert VIT.searching().row("deit-soft-x0.1").settings["student"] == BOTH
