from __future__ import annotations

import pytest

from kdcore.entry import Refusal
from kdcore.experiments.pair import pair, said_of
from kdcore.experiments.profiles import CIFAR10, DIGITS


class TestPair:
    def test_what_is_not_named_is_the_profiles_own(self):
        (row,) = pair("quick", method="kd").rows
        assert row.settings == {**DIGITS, "methods": [["kd", {}]]} and row.key == "kd"
        (row,) = pair("short", method="kd").rows
        assert row.settings["teacher"] == CIFAR10["teacher"]

    def test_without_a_method_the_student_learns_alone(self):
        (row,) = pair("quick", data="digits", student="digits-teacher").rows
        assert row.settings == {"data": "digits", "student": "digits-teacher", "teacher": None} and row.key == "student"

    @pytest.mark.parametrize(
        ("profile", "student", "rate"),
        [
            ("paper", "shufflenetv2", 0.01),
            ("paper", "mobilenetv2", 0.01),
            ("paper", "resnet20", 0.05),
            ("short", "shufflenetv1", 0.04),
            ("short", "wrn-16-2", 0.2),
        ],
    )
    def test_small_students_take_the_smaller_steps_of_the_published_comparisons(self, profile, student, rate):
        asked = pair(profile, student=student, data="cifar100")
        assert asked.recipe(profile).learning_rate == pytest.approx(rate)

    @pytest.mark.parametrize(
        ("student", "data", "rate"),
        [("vit-micro-32", "cifar100", 1e-3), ("digits-vit-student", "digits", 1e-2), ("text-student", "topics", 1e-2)],
    )
    def test_transformers_learn_with_adam_at_its_rates(self, student, data, rate):
        recipe = pair("quick", student=student, data=data).recipe("quick")
        assert (recipe.optimizer, recipe.learning_rate, recipe.clip) == ("adamw", rate, 1.0)

    def test_a_scheme_is_a_method_too(self):
        (row,) = pair("quick", method="unix-kd").rows
        assert row.settings["scheme"] == "unix-kd" and "methods" not in row.settings

    @pytest.mark.parametrize(
        ("name", "teacher"),
        [
            ("resnet56-a-cifar10", {"checkpoint": "resnet56-a-cifar10"}),
            ("digits-teacher", {"experiment": "digits-teacher", "row": "teacher", "seed": 0}),
            ("text-teacher/teacher", {"experiment": "text-teacher", "row": "teacher", "seed": 0}),
        ],
    )
    def test_a_teacher_is_a_checkpoint_or_a_row(self, name, teacher):
        (row,) = pair("quick", method="kd", teacher=name).rows
        assert row.settings["teacher"] == teacher

    def test_a_length_of_its_own_makes_it_a_trial_that_judges_one_batch(self):
        asked = pair("quick", steps=7)
        assert asked.recipe("quick").steps == 7 and asked.rows[0].settings["judge"] == "batch"
        assert len(said_of(asked)) == 1 and said_of(pair("quick")) == []

    @pytest.mark.parametrize(("profile", "rate"), [("short", 0.2 / 25), ("quick", 0.1 / 25), ("paper", 0.05)])
    def test_a_trial_keeps_the_rate_with_which_the_training_begins(self, profile, rate):
        recipe = pair(profile, steps=20).recipe(profile)
        assert [recipe.rate(done / 20) for done in (0, 10, 20)] == [pytest.approx(rate)] * 3

    def test_a_trial_takes_a_teacher_without_weights_and_says_so(self):
        asked = pair("short", method="kd", teacher="resnet56", steps=20)
        assert asked.rows[0].settings["teacher"] == {"network": "resnet56"}
        assert said_of(asked)[0] == "teacher resnet56 has no weights and is taken untrained"

    @pytest.mark.parametrize(
        ("names", "says"),
        [
            ({"profile": "quik"}, "unknown profile 'quik'.*'quick'"),
            ({"profile": "quick", "data": "cifar"}, "unknown data set 'cifar'.*nearest is 'cifar10'"),
            ({"profile": "quick", "method": "fitnett"}, "unknown method 'fitnett'.*nearest is 'fitnet'"),
            ({"profile": "quick", "method": "kd", "teacher": "digits"}, "unknown teacher 'digits'.*'digits-teacher'"),
            ({"profile": "quick", "method": "kd", "teacher": "digits-teacher/x"}, "unknown row of digits-teacher 'x'"),
            ({"profile": "quick", "teacher": "digits-teacher"}, "needs a --method to learn by, got none"),
            ({"profile": "short", "method": "kd", "teacher": "resnet56"}, "teacher resnet56 has no weights: .*--steps"),
        ],
    )
    def test_a_wrong_name_is_refused(self, names, says):
        with pytest.raises(Refusal, match=says):
            pair(**names)
