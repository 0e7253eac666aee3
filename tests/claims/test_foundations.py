"""Each rule can give every verdict; what the experiments need is there."""

import pytest

from kdcore.claims.foundations import DEPLOYMENT, KNOWLEDGE, ZHAO2026_FIG1


class TestKnowledge:
    def records(self, records, *, soft=0.94, scores=0.92, plain=0.90, left=(0.02, 0.4), unlike=(0.3, 1.2), seeds=5):
        mass = lambda seed: {
            "teacher": {"1": left[0] + 0.001 * seed, "4": left[1]},
            "unlike": {"1": unlike[0] + 0.001 * seed, "4": unlike[1]},
        }
        rows = {"kd-t4": soft, "logit-mse": scores, "kd-t1": plain}
        trained = [one for row, mean in rows.items() for one in records.accuracy(row, mean, seeds=seeds)]
        return [*trained, *records.made("negative-mass", mass, seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"scores": 0.97}),
            ("contradicted", {"plain": 0.97}),
            ("contradicted", {"left": (0.4, 0.4)}),
            ("contradicted", {"unlike": (1.3, 1.2)}),
            ("undecided", {"scores": 0.94}),
            ("undecided", {"plain": 0.94}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        verdict = KNOWLEDGE.verdict(self.records(records, **numbers))
        assert verdict.word == said

    def test_says_the_numbers_that_decide(self, records):
        because = KNOWLEDGE.rule(self.records(records)).because
        assert "over raw scores +2.0 points" in because and "over T = 1 +4.0 points" in because
        assert "2.2 % to the other classes at T = 1 and 40 % at T = 4" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records)
        made[0]["status"] = "failed"
        assert KNOWLEDGE.verdict(made).word == "undecided"

    def test_the_rule_reads_rows_that_the_experiment_has(self, records):
        rows = {row.key for row in KNOWLEDGE.experiment.rows}
        assert {"student", "logit-mse", "kd-t1", "kd-t4", "kd-t20", "negative-mass"} <= rows
        assert KNOWLEDGE.experiment.row("student").keep


class TestDeployment:
    def records(self, records, *, here=0.03, there=0.4, moved=0.0, seeds=5):
        last = lambda seed: {
            "accuracy": 0.9 + 0.01 * seed,
            "accuracy_softened": 0.9 + 0.01 * seed + moved * (seed == 1),
            "calibration_error": here + 0.004 * (seed % 2),
            "calibration_error_softened": there + 0.006 * (seed % 3),
        }
        return records.made("kd-t4", last, seeds)

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"moved": 0.001}),
            ("contradicted", {"there": 0.01}),
            ("undecided", {"there": 0.028}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert DEPLOYMENT.rule(self.records(records, **numbers)).word == said

    def test_names_how_many_answers_moved(self, records):
        because = DEPLOYMENT.rule(self.records(records, moved=0.001)).because
        assert "the accuracy changes for 1 of 5 seeds" in because


class TestZhaoFig1:
    def test_has_a_row_for_each_stage_of_the_figure(self):
        assert [row.key for row in ZHAO2026_FIG1.rows] == ["values", "maps", "relations"]

    def test_is_found_by_the_survey_s_and_by_its_own_name(self):
        from kdcore.experiments import get

        assert get("zhao-fig1") is get("zhao2026-fig1") is ZHAO2026_FIG1
