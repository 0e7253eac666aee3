"""What a reader may rely on in losses on scores of one scale, one claim a test."""

import math
import statistics

import pytest
import torch

from kdcore.losses import dkd_loss, kd_loss, logit_std_loss, logit_std_survey_loss, normkd_loss, standardise
from kdcore.losses.response.standardised import LogitStd, NormKD
from kdcore.types import Refusal


def divergence(student: list[float], teacher: list[float]) -> float:
    p, q = ([math.exp(z) for z in row] for row in (teacher, student))
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def z_score(row: list[float]) -> list[float]:
    return [(z - statistics.mean(row)) / statistics.stdev(row) for z in row]


class TestStandardise:
    def test_value_worked_by_hand(self):
        scores = standardise(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]]))
        by_hand = [[-1.0, 0.0, 1.0], [-2 / math.sqrt(12), -2 / math.sqrt(12), 4 / math.sqrt(12)]]
        torch.testing.assert_close(scores, torch.tensor(by_hand))

    def test_is_the_equation(self, case):
        for mine, row in zip(standardise(case[0]).tolist(), case[0].tolist()):
            assert mine == pytest.approx(z_score(row), rel=1e-10)

    def test_no_score_exceeds_the_bound_and_one_hot_scores_reach_it(self, case):
        bound = 9 / math.sqrt(10)
        assert standardise(case[0]).abs().max() <= bound
        assert standardise(torch.eye(10, dtype=torch.float64)).max().item() == pytest.approx(bound)

    def test_ignores_shift_and_positive_scale_but_not_sign(self, case):
        scores = standardise(case[0])
        torch.testing.assert_close(standardise(3 * case[0] + 5), scores)
        torch.testing.assert_close(standardise(-case[0]), -scores)

    def test_equal_scores_become_zeros_with_a_finite_gradient(self):
        flat = torch.full((2, 5), 3.0, requires_grad=True)
        scores = standardise(flat)
        scores.square().sum().backward()
        assert torch.equal(scores, torch.zeros(2, 5)) and flat.grad.isfinite().all()

    def test_serves_any_loss_on_scores(self, case):
        student, teacher, targets = case
        values = [dkd_loss(standardise(s), standardise(teacher), targets) for s in (student, 0.2 * student + 1)]
        torch.testing.assert_close(values[0], values[1])

    def test_gradients_are_right(self, case):
        assert torch.autograd.gradcheck(standardise, case[0])

    @pytest.mark.parametrize("says", ["logits must have at least 2 classes, got 1"])
    def test_one_class_is_answered_in_a_sentence(self, says):
        with pytest.raises(ValueError, match=says):
            standardise(torch.zeros(4, 1))


class TestLogitStd:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[9.0, 6.0, 3.0]])  # (-1, 0, 1), (1, 0, -1)
        high, low, whole = math.exp(1 / 2), math.exp(-1 / 2), 1 + math.exp(1 / 2) + math.exp(-1 / 2)
        by_hand = 2**2 * (high / whole - low / whole)  # the logarithms of the ratios are 1, 0 and -1
        assert logit_std_loss(student, teacher, temperature=2.0).item() == pytest.approx(by_hand, rel=1e-5)

    @pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
    def test_is_the_equation_of_the_paper(self, pair, temperature):
        each = [
            temperature**2 * divergence([z / temperature for z in z_score(s)], [z / temperature for z in z_score(t)])
            for s, t in zip(pair[0].tolist(), pair[1].tolist())
        ]
        found = logit_std_loss(*pair, temperature=temperature, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-9)

    def test_agrees_with_the_authors_code(self, pair, reference, found, theirs):
        for known in reference("logit-std"):
            large = [1e6 * z for z in pair]
            mine = found(logit_std_loss(*large, **known["settings"]), pair[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_is_distillation_of_standardised_scores(self, pair):
        student, teacher = (standardise(z) for z in pair)
        torch.testing.assert_close(logit_std_loss(*pair), kd_loss(student, teacher, temperature=2.0))

    def test_ignores_shift_and_scale_of_either_network_but_not_the_shape(self, pair):
        student, teacher = pair
        value = logit_std_loss(student, teacher)
        torch.testing.assert_close(logit_std_loss(0.1 * student - 4, teacher), value)
        torch.testing.assert_close(logit_std_loss(student, 30 * teacher + 1), value)
        assert abs(logit_std_loss(student**3, teacher) - value) > 1e-3

    def test_zero_when_scores_agree_up_to_shift_and_scale(self, pair):
        _, teacher = pair
        assert logit_std_loss(0.2 * teacher + 3, teacher).item() == pytest.approx(0, abs=1e-12)
        assert kd_loss(0.2 * teacher + 3, teacher) > 0.1  # plain distillation asks for the scale too

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, r"must have the same shape, got \(8, 10\) and \(1, 10\)"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"reduction": "max"}, "reduction must be 'mean', 'sum' or 'none', got 'max'"),
        ],
    )
    @pytest.mark.parametrize("loss", [logit_std_loss, normkd_loss])
    def test_bad_input_is_answered_in_a_sentence(self, pair, loss, change, says):
        with pytest.raises(ValueError, match=says):
            loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_weighs_as_its_authors_do(self, case, asked):
        method = LogitStd()
        (term,) = method.losses(*asked(*case)).values()
        assert (term.weight, method.task_weight) == (9.0, 0.1)
        assert term.value == logit_std_loss(*case[:2], temperature=2.0)

    def test_method_refuses_settings_out_of_range(self):
        with pytest.raises(Refusal, match="temperature must be above 0, got 0"):
            LogitStd(temperature=0.0)


class TestLogitStdSurvey:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[9.0, 6.0, 3.0]])  # (-1, 0, 1), (1, 0, -1)
        by_hand = 2 * (math.e - 1 / math.e) / (1 + math.e + 1 / math.e)
        assert logit_std_survey_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-5)

    def test_is_the_equation_as_printed(self, pair):
        each = [divergence(z_score(s), z_score(t)) for s, t in zip(pair[0].tolist(), pair[1].tolist())]
        assert logit_std_survey_loss(*pair, reduction="none").tolist() == pytest.approx(each, rel=1e-9)

    def test_is_the_papers_at_base_temperature_one_and_at_no_other(self, pair):
        printed = logit_std_survey_loss(*pair)
        assert printed == logit_std_loss(*pair, temperature=1.0)
        assert abs(printed - logit_std_loss(*pair, temperature=2.0)) > 0.05

    def test_no_answer_can_be_sharper_than_the_bound_allows(self, sines):
        sharpest = standardise(1e3 * torch.eye(10, dtype=torch.float64)).softmax(1).max()
        assert sharpest < 0.75  # a plain softmax of these scores would be certain
        assert (1e3 * torch.eye(10, dtype=torch.float64)).softmax(1).max() == 1

    def test_method_takes_it_where_told(self, case, asked):
        (term,) = LogitStd(printed=True).losses(*asked(*case)).values()
        assert term.value == logit_std_survey_loss(*case[:2])


class TestNormKD:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[9.0, 6.0, 3.0]])  # deviations 1 and 3
        high, low, whole = math.exp(1 / 2), math.exp(-1 / 2), 1 + math.exp(1 / 2) + math.exp(-1 / 2)
        by_hand = (2 * 3) ** 2 * (high / whole - low / whole)
        assert normkd_loss(student, teacher, temperature=2.0).item() == pytest.approx(by_hand, rel=1e-5)

    @pytest.mark.parametrize("temperature", [1.0, 2.0])
    def test_is_the_equation_of_the_paper(self, pair, temperature):
        each = []
        for s, t in zip(pair[0].tolist(), pair[1].tolist()):
            mine, theirs = temperature * statistics.stdev(s), temperature * statistics.stdev(t)
            each.append(theirs**2 * divergence([z / mine for z in s], [z / theirs for z in t]))
        found = normkd_loss(*pair, temperature=temperature, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-9)

    def test_agrees_with_the_authors_code(self, pair, reference, found, theirs):
        for known in reference("normkd"):
            mine = found(normkd_loss(*pair, **known["settings"]), pair[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_is_the_teachers_variance_times_logit_standardisation(self, pair):
        weighed = pair[1].var(1) * logit_std_loss(*pair, reduction="none")
        torch.testing.assert_close(normkd_loss(*pair, reduction="none"), weighed)

    def test_ignores_the_students_scale_and_squares_the_teachers(self, pair):
        student, teacher = pair
        value = normkd_loss(student, teacher)
        torch.testing.assert_close(normkd_loss(5 * student + 1, teacher), value)
        torch.testing.assert_close(normkd_loss(student, 3 * teacher - 2), 9 * value)

    def test_zero_when_scores_agree_up_to_shift_and_scale(self, pair):
        _, teacher = pair
        assert normkd_loss(0.2 * teacher + 3, teacher).item() == pytest.approx(0, abs=1e-12)
        assert normkd_loss(-teacher, teacher) > 1

    def test_equal_scores_give_no_nan_where_the_authors_form_does(self):
        flat = torch.full((2, 5), 3.0, requires_grad=True)
        value = normkd_loss(flat, torch.arange(10.0).view(2, 5))
        value.backward()
        assert value.isfinite() and flat.grad.isfinite().all()

    def test_method_weighs_as_its_authors_do(self, case, asked):
        method = NormKD()
        (term,) = method.losses(*asked(*case)).values()
        assert (term.weight, method.task_weight) == (0.9, 0.1)
        assert term.value == normkd_loss(*case[:2], temperature=2.0)
