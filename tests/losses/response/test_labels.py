"""What a reader may rely on in the cross-entropies, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import (
    ce_ground_truth_loss,
    ce_soft_loss,
    ce_soft_survey_loss,
    ce_teacher_hard_loss,
    kd_loss,
)
from kdcore.losses.response.labels import ENTRIES, CEGroundTruth, CESoft, CETeacherHard
from kdcore.types import Refusal


def log_probabilities(row: list[float], temperature: float = 1.0) -> list[float]:
    whole = math.log(sum(math.exp(z / temperature) for z in row))
    return [z / temperature - whole for z in row]


def slope(loss, student):
    return torch.autograd.grad(loss, student)[0]


class TestCEGroundTruth:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log()
        value = ce_ground_truth_loss(student, torch.tensor([1, 2]))
        assert value.item() == pytest.approx((math.log(4) + math.log(1.25)) / 2, rel=1e-6)

    def test_is_the_equation(self, case):
        student, _, targets = case
        each = [-log_probabilities(row)[y] for row, y in zip(student.tolist(), targets.tolist())]
        assert ce_ground_truth_loss(student, targets, reduction="none").tolist() == pytest.approx(each, rel=1e-12)

    def test_sum_over_the_samples_is_the_form_of_mutual_learning(self, case):
        student, _, targets = case
        indicator = torch.nn.functional.one_hot(targets, 10)
        printed = -(indicator * student.log_softmax(1)).sum()  # huang2022 eq. 15
        torch.testing.assert_close(ce_ground_truth_loss(student, targets, reduction="sum"), printed)

    def test_ignores_a_shift_and_the_order_of_wrong_classes_but_not_the_scale(self, case):
        student, _, targets = case
        value = ce_ground_truth_loss(student, targets)
        torch.testing.assert_close(ce_ground_truth_loss(student + 5, targets), value)
        swapped = student.detach().clone()
        swapped[0, [1, 2]] = swapped[0, [2, 1]]  # the first example's target is class 0
        torch.testing.assert_close(ce_ground_truth_loss(swapped, targets), value.detach())
        assert abs(ce_ground_truth_loss(2 * student, targets) - value) > 0.1

    def test_tends_to_zero_for_a_certain_student(self, case):
        _, _, targets = case
        sure = 30.0 * torch.nn.functional.one_hot(targets, 10).double()
        assert 0 < ce_ground_truth_loss(sure, targets) < 1e-11

    @pytest.mark.parametrize(
        ("targets", "error", "says"),
        [
            (torch.zeros(8, 1, dtype=torch.long), ValueError, r"targets must have shape \(8,\).* got \(8, 1\)"),
            (torch.full((8,), 10), ValueError, r"targets must lie in 0 .. 9, got 10"),
            (torch.full((8,), -1), ValueError, r"targets must lie in 0 .. 9, got -1"),
            (torch.zeros(8), TypeError, "targets must hold whole numbers, .* got torch.float32"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, targets, error, says):
        with pytest.raises(error, match=says):
            ce_ground_truth_loss(case[0], targets)

    def test_method_is_the_task_and_asks_for_no_second_one(self, case, asked):
        student, teacher, batch = asked(*case)
        (term,) = CEGroundTruth().losses(student, teacher, batch).values()
        assert CEGroundTruth().task_weight == 0 and term.weight == 1
        torch.testing.assert_close(term.value.float(), batch.task.loss(student, batch))


class TestCETeacherHard:
    def test_value_worked_by_hand(self):
        teacher = torch.tensor([[0.1, 0.6, 0.3], [0.9, 0.05, 0.05]]).log()
        student = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
        assert ce_teacher_hard_loss(student, teacher).item() == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-6)

    def test_is_the_equation(self, pair):
        each = [-log_probabilities(s)[t.index(max(t))] for s, t in zip(pair[0].tolist(), pair[1].tolist())]
        assert ce_teacher_hard_loss(*pair, reduction="none").tolist() == pytest.approx(each, rel=1e-12)

    def test_agrees_with_other_peoples_code(self, pair, reference, found, theirs):
        for case in reference("ce-teacher-hard"):
            mine = found(ce_teacher_hard_loss(*pair), pair[0], case["gradient_at"])
            assert mine == pytest.approx(theirs(case), rel=1e-10)

    def test_a_teacher_who_is_always_right_teaches_the_labels(self, case):
        student, teacher, targets = case
        right = teacher.scatter(1, targets[:, None], 10.0)
        torch.testing.assert_close(ce_teacher_hard_loss(student, right), ce_ground_truth_loss(student, targets))
        assert abs(ce_teacher_hard_loss(student, teacher) - ce_ground_truth_loss(student, targets)) > 0.03

    def test_hears_the_guess_and_nothing_else(self, pair):
        student, teacher = pair
        value = ce_teacher_hard_loss(student, teacher)
        torch.testing.assert_close(ce_teacher_hard_loss(student, 0.01 * teacher - 3), value)
        assert abs(ce_teacher_hard_loss(student, -teacher) - value) > 0.1

    def test_agreeing_networks_still_pay(self, pair):
        assert ce_teacher_hard_loss(pair[1], pair[1]) > 0.5

    @pytest.mark.parametrize(
        ("teacher", "says"),
        [
            (torch.zeros(8, 9), r"student_logits and teacher_logits must have the same shape, got \(8, 10\)"),
            (torch.zeros(8, 10, dtype=torch.long), "teacher_logits must hold floating-point numbers"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, teacher, says):
        with pytest.raises((ValueError, TypeError), match=says):
            ce_teacher_hard_loss(pair[0], teacher)

    def test_method_asks_for_no_labels(self, case, asked):
        (term,) = CETeacherHard().losses(*asked(*case)).values()
        assert CETeacherHard().task_weight == 0 and term.value == ce_teacher_hard_loss(*case[:2])


class TestCESoft:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
        by_hand = 0.6 * math.log(2) + 0.4 * math.log(4)
        assert ce_soft_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-6)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_is_the_equation_of_the_survey(self, pair, temperature):
        each = []
        for s, t in zip(pair[0].tolist(), pair[1].tolist()):
            labels = [math.exp(p) for p in log_probabilities(t, temperature)]
            each.append(-sum(p * q for p, q in zip(labels, log_probabilities(s, temperature))))
        found = ce_soft_loss(*pair, temperature=temperature, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, pair, reference, found, theirs):
        for case in reference("ce-soft"):
            mine = found(ce_soft_loss(*pair, **case["settings"]), pair[0], case["gradient_at"])
            assert mine == pytest.approx(theirs(case), rel=1e-10)

    def test_is_the_divergence_and_the_teachers_entropy(self, pair):
        teacher = (pair[1] / 4).log_softmax(1)
        entropy = -(teacher.exp() * teacher).sum(1)
        divergence = kd_loss(*pair, temperature=4.0, reduction="none") / 4**2
        torch.testing.assert_close(ce_soft_loss(*pair, temperature=4.0, reduction="none"), divergence + entropy)

    def test_gradient_is_that_of_the_divergence_without_the_squared_temperature(self, pair):
        soft, kd = (slope(loss(*pair, temperature=4.0), pair[0]) for loss in (ce_soft_loss, kd_loss))
        torch.testing.assert_close(soft * 4**2, kd)

    def test_lowest_when_both_agree_and_not_zero_there(self, pair):
        _, teacher = pair
        at_agreement = ce_soft_loss(teacher, teacher)
        assert at_agreement > 0.1 and ce_soft_loss(1.1 * teacher, teacher) > at_agreement
        torch.testing.assert_close(ce_soft_loss(teacher + 3, teacher), at_agreement)

    def test_a_certain_teacher_is_a_hard_label(self, pair):
        student, teacher = pair
        torch.testing.assert_close(ce_soft_loss(student, 1e4 * teacher), ce_teacher_hard_loss(student, teacher))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, r"must have the same shape, got \(8, 10\) and \(1, 10\)"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ],
    )
    @pytest.mark.parametrize("loss", [ce_soft_loss, ce_soft_survey_loss])
    def test_bad_input_is_answered_in_a_sentence(self, pair, loss, change, says):
        with pytest.raises(ValueError, match=says):
            loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_of_the_huang_survey_halves_nothing_and_squares_nothing(self, case, asked):
        settings = {entry.key: entry.settings for entry in ENTRIES}["kd-huang2022"]
        method = CESoft(**settings)
        (term,) = method.losses(*asked(*case)).values()
        assert (term.weight, method.task_weight) == (0.9, pytest.approx(0.1))
        assert term.value == ce_soft_loss(*case[:2], temperature=4.0)

    def test_method_refuses_settings_out_of_range(self):
        with pytest.raises(Refusal, match="temperature must be above 0, got -2"):
            CESoft(temperature=-2.0)


class TestCESoftSurvey:
    def test_value_worked_by_hand(self):
        teacher = 2 * torch.tensor([[0.6, 0.4]]).log()  # at temperature 2 again (0.6, 0.4)
        student = torch.tensor([[0.5, 0.5]]).log()
        value = ce_soft_survey_loss(student, teacher, temperature=2.0)
        assert value.item() == pytest.approx(math.log(2), rel=1e-6)

    def test_is_the_equation_as_printed(self, pair):
        each = []
        for s, t in zip(pair[0].tolist(), pair[1].tolist()):
            labels = [math.exp(p) for p in log_probabilities(t, 4.0)]
            each.append(-sum(p * q for p, q in zip(labels, log_probabilities(s))))
        found = ce_soft_survey_loss(*pair, temperature=4.0, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_at_temperature_one_it_is_the_usual_form_and_at_no_other(self, pair):
        torch.testing.assert_close(ce_soft_survey_loss(*pair, temperature=1.0), ce_soft_loss(*pair))
        assert abs(ce_soft_survey_loss(*pair) - ce_soft_loss(*pair, temperature=4.0)) > 0.1

    def test_asks_the_student_for_the_softened_answer_and_not_for_agreement(self, pair):
        _, teacher = pair
        at_agreement = slope(ce_soft_survey_loss(student := teacher.clone().requires_grad_(), teacher), student)
        softer = slope(ce_soft_survey_loss(student := (teacher / 4).requires_grad_(), teacher), student)
        assert at_agreement.norm() > 0.01 and softer.norm() < 1e-12

    def test_method_takes_it_where_told(self, case, asked):
        (term,) = CESoft(temperature=4.0, printed=True).losses(*asked(*case)).values()
        assert term.value == ce_soft_survey_loss(*case[:2], temperature=4.0)
