"""Each rule can give every verdict; what the experiments need is there."""

import pytest

from kdcore.claims.relation import BEATS_EXTRACTED, FAMILIES, ROBUST
from kdcore.experiments.relation import BETWEEN_SAMPLES, EXTRACTED, HETEROGENEOUS, RELATION, STRUCTURED


class TestFamilies:
    def records(self, records, *, near=0.0, far=0.03, seeds=3):
        """What relations have over plain distillation, for either student."""
        rows = {"kd": 0.94, "kd-far": 0.85}
        rows |= {row: 0.94 + near for row in BETWEEN_SAMPLES} | {f"{row}-far": 0.85 + far for row in BETWEEN_SAMPLES}
        return [one for row, mean in rows.items() for one in records.accuracy(row, mean, 0.001, seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("supported", {"near": -0.05, "far": -0.01}),
            ("contradicted", {"near": 0.03, "far": 0.0}),
            ("undecided", {"near": 0.02, "far": 0.02}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert FAMILIES.rule(self.records(records, **numbers)).word == said

    def test_says_both_gains_and_their_difference(self, records):
        because = FAMILIES.rule(self.records(records)).because
        assert "the mean of sp, rkd, cc, pkt lies" in because and "+3.0 points" in because

    def test_rows_differ_in_the_student_alone(self):
        for key in ("student", "kd", *BETWEEN_SAMPLES):
            near, far = (HETEROGENEOUS.row(f"{key}{ending}") for ending in ("", "-far"))
            assert near.settings == far.settings
            for profile in HETEROGENEOUS.profiles:
                settings = [HETEROGENEOUS.settings(row, profile) for row in (near, far)]
                students = {one.pop("student") for one in settings}
                assert settings[0] == settings[1] and len(students) == 2

    def test_rows_of_the_near_student_are_the_chapters_own_where_that_is_the_profiles(self):
        for key in ("kd", *BETWEEN_SAMPLES):
            for profile in ("smoke", "quick", "short"):
                mine, theirs = HETEROGENEOUS, RELATION
                assert mine.settings(mine.row(key), profile) == theirs.settings(theirs.row(key), profile)


class TestBeatsExtracted:
    def records(self, records, *, structured=0.95, extracted=0.92, seeds=3):
        rows = dict.fromkeys(STRUCTURED, structured) | dict.fromkeys(EXTRACTED, extracted)
        return [one for row, mean in rows.items() for one in records.accuracy(row, mean, 0.001, seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"structured": 0.9}),
            ("undecided", {"structured": 0.92}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert BEATS_EXTRACTED.rule(self.records(records, **numbers)).word == said

    def test_says_who_lies_below_the_best_of_the_others(self, records):
        made = self.records(records) + records.accuracy("at", 0.97, 0.001, 3)
        made = [one for one in made if one["row"] != "at" or one["last"]["accuracy"] > 0.95]
        because = BEATS_EXTRACTED.rule(made).because
        assert "3 of the former have a lower mean than the best of the latter, at" in because


class TestRobust:
    def records(self, records, *, similarities=0.2, features=0.5, answers=0.4, seeds=5):
        last = lambda seed: {
            name: {"0.2": value * (1 + 0.01 * seed)}
            for name, value in (("similarities", similarities), ("features", features), ("answers", answers))
        }
        return records.made("noise", last, seeds)

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"similarities": 0.6}),
            ("contradicted", {"similarities": 0.45}),
            ("undecided", {"seeds": 2}),
            ("undecided", {"similarities": 0.4}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert ROBUST.rule(self.records(records, **numbers)).word == said

    def test_says_how_far_each_is_moved_at_the_scale_that_was_chosen_before(self, records):
        because = ROBUST.rule(self.records(records)).because
        assert "noise of 0.2 moves similarities by 20 %" in because and "answers by 41 % (5 seeds)" in because
        assert 0.2 in ROBUST.experiment.rows[0].settings["scales"]
