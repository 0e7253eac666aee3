"""What a reader may rely on in a temperature that is learned against the student, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import curriculum_temperature_loss, kd_loss
from kdcore.losses.response.curriculum import CurriculumTemperature, reversed_gradient
from kdcore.types import Clock, Outputs, Refusal


@pytest.fixture
def learned(pair):
    return (*pair, torch.ones(1, dtype=torch.float64, requires_grad=True))


class TestCurriculumTemperature:
    def test_value_worked_by_hand(self):
        teacher, student = 11 * torch.tensor([[0.75, 0.25]]).log(), torch.zeros(1, 2)
        value = curriculum_temperature_loss(student, teacher, torch.zeros(1))  # 1 + 20 / 2 = 11
        assert value.item() == pytest.approx(121 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)), rel=1e-5)

    @pytest.mark.parametrize("score", [-3.0, 0.0, 1.0])
    @pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
    def test_value_is_plain_distillation_at_its_temperature(self, pair, score, strength):
        scores = torch.full((1,), score, dtype=torch.float64)
        value = curriculum_temperature_loss(*pair, scores, strength=strength)
        temperature = 1 + 20 / (1 + math.exp(-score))
        torch.testing.assert_close(value, kd_loss(*pair, temperature=temperature))

    def test_agrees_with_the_authors_code(self, learned, reference, found, theirs):
        student, _, scores = learned
        for known in reference("curriculum-temperature"):
            value = curriculum_temperature_loss(*learned, **known["settings"])
            (slope,) = torch.autograd.grad(value, scores, retain_graph=True)
            assert slope.item() == pytest.approx(known["score_gradient"], rel=1e-10)
            assert found(value, student, known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    @pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
    def test_gradient_of_the_temperature_is_turned_round(self, learned, strength):
        *pair, scores = learned
        (slope,) = torch.autograd.grad(curriculum_temperature_loss(*learned, strength=strength), scores)
        step = 1e-6
        values = [curriculum_temperature_loss(*pair, scores.detach() + d) for d in (step, -step)]
        assert slope.item() == pytest.approx(
            -strength * (values[0] - values[1]).item() / (2 * step), rel=1e-6, abs=1e-9
        )

    def test_a_minimiser_raises_the_loss_through_it(self, learned):
        *pair, scores = learned
        (slope,) = torch.autograd.grad(curriculum_temperature_loss(*learned), scores)
        after = curriculum_temperature_loss(*pair, scores.detach() - 0.01 * slope.sign())
        assert after > curriculum_temperature_loss(*learned)

    def test_one_temperature_an_example_is_each_with_its_own(self, pair, sines):
        scores = sines(8, speed=1.9)
        each = curriculum_temperature_loss(*pair, scores, reduction="none")
        alone = [curriculum_temperature_loss(*(z[n : n + 1] for z in pair), scores[n : n + 1]) for n in range(8)]
        torch.testing.assert_close(each, torch.stack(alone))

    def test_temperature_stays_between_its_bounds(self, pair):
        for score, temperature in ((-1e4, 1.0), (1e4, 21.0)):
            scores = torch.full((1,), score, dtype=torch.float64)
            torch.testing.assert_close(
                curriculum_temperature_loss(*pair, scores), kd_loss(*pair, temperature=temperature)
            )

    def test_zero_where_both_agree_whatever_the_temperature(self, learned):
        _, teacher, scores = learned
        value = curriculum_temperature_loss(teacher + 2, teacher, scores)
        (slope,) = torch.autograd.grad(value, scores)
        assert value.item() == pytest.approx(0, abs=1e-12) and abs(slope.item()) < 1e-12

    def test_reversal_keeps_the_value(self):
        x = torch.tensor([0.1, 7.3], requires_grad=True)
        assert torch.equal(reversed_gradient(x, 0.37), x)

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"temperature_scores": torch.zeros(3)}, ValueError, r"must have shape \(1,\) or \(8,\), got \(3,\)"),
            ({"temperature_scores": torch.zeros(1).long()}, TypeError, "temperature_scores must hold floating-point"),
            ({"strength": -1.0}, ValueError, "strength must be at least 0, got -1"),
            ({"lowest": 0.0}, ValueError, "lowest must be above 0, got 0"),
            ({"teacher_logits": torch.zeros(8, 9)}, ValueError, r"must have the same shape, got \(8, 10\) and \(8, 9"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, learned, change, error, says):
        names = ("student_logits", "teacher_logits", "temperature_scores")
        with pytest.raises(error, match=says):
            curriculum_temperature_loss(**dict(zip(names, learned)) | change)

    def test_method_turns_the_gradient_round_step_by_step(self):
        method = CurriculumTemperature()
        strengths = [method.strength_at(p) for p in (0.0, 5 / 240, 10 / 240, 1.0)]
        assert strengths == pytest.approx([0.0, 0.5, 1.0, 1.0])
        assert CurriculumTemperature(rise=0.0).strength_at(0.0) == 1.0

    def test_method_trains_its_number_beside_the_student(self, case, asked):
        method = CurriculumTemperature()
        student, teacher, batch = asked(*case)
        batch.clock = Clock(50, 100, 10)
        (term,) = method.losses(student, teacher, batch).values()
        (slope,) = torch.autograd.grad(term.value, method.temperature.scores)
        value = curriculum_temperature_loss(*case[:2], torch.ones(1), strength=1.0)
        assert slope.abs() > 0 and term.value == value and (term.weight, method.task_weight) == (0.9, 0.1)
        assert method.adapters() == [method.temperature]

    def test_at_the_start_its_number_stands_still(self, case, asked):
        method = CurriculumTemperature()
        student, teacher, batch = asked(*case)  # step 0 of 100
        (term,) = method.losses(student, teacher, batch).values()
        (slope,) = torch.autograd.grad(term.value, method.temperature.scores)
        assert slope == 0

    def test_with_a_temperature_that_stands_still_the_loss_falls(self, case, asked):
        method = CurriculumTemperature(strength=0.0)
        _, teacher, batch = asked(*case)
        student, values = torch.nn.Parameter(case[0].detach().clone()), []
        for _ in range(20):
            (term,) = method.losses(Outputs(student), teacher, batch).values()
            (slope,) = torch.autograd.grad(term.value, student)
            student.data -= slope
            values.append(term.value.item())
        assert values[-1] < 0.7 * values[0] and values == sorted(values, reverse=True)

    def test_method_refuses_settings_out_of_range(self):
        with pytest.raises(Refusal, match="lowest must be above 0, got 0"):
            CurriculumTemperature(lowest=0.0)
