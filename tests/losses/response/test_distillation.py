"""What a reader may rely on in the divergence of softened answers, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses import dkd_loss, kd_loss, output_distribution_kl_loss, softened_softmax
from kdcore.losses.response.distillation import ENTRIES, KD, OutputDistributionKL
from kdcore.types import Refusal


def softened(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def naive(student, teacher, temperature: float) -> list[float]:
    """The equation, number by number."""
    each = []
    for s, t in zip(student.tolist(), teacher.tolist()):
        p, q = softened(t, temperature), softened(s, temperature)
        each.append(temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q)))
    return each


class TestSoftenedSoftmax:
    def test_value_worked_by_hand(self):
        scores = torch.tensor([[0.0, 3 * math.log(2.0), 3 * math.log(5.0)]])
        assert softened_softmax(scores, temperature=3.0)[0].tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
    def test_is_the_equation(self, case, temperature):
        probabilities = softened_softmax(case[0], temperature=temperature)
        for row, scores in zip(probabilities.tolist(), case[0].tolist()):
            assert row == pytest.approx(softened(scores, temperature), rel=1e-12)

    def test_at_temperature_one_it_is_the_usual_softmax(self, case):
        torch.testing.assert_close(softened_softmax(case[0], temperature=1.0), case[0].softmax(1))

    def test_a_high_temperature_gives_equal_shares_and_not_the_scores(self, case):
        probabilities = softened_softmax(case[0], temperature=1e6)
        torch.testing.assert_close(probabilities, torch.full_like(probabilities, 0.1), rtol=1e-4, atol=0)

    def test_a_low_temperature_gives_everything_to_the_largest(self, case):
        best = F.one_hot(case[0].argmax(1), 10).double()
        torch.testing.assert_close(softened_softmax(case[0], temperature=1e-3), best, rtol=0, atol=1e-4)

    def test_keeps_the_order_and_flattens_it(self, case):
        warm, hot = (softened_softmax(case[0], temperature=t) for t in (1.0, 4.0))
        assert torch.equal(warm.argsort(1), hot.argsort(1))
        assert (hot.amax(1) < warm.amax(1)).all() and (hot.amin(1) > warm.amin(1)).all()

    def test_ignores_a_shift_but_not_a_factor(self, case):
        probabilities = softened_softmax(case[0])
        torch.testing.assert_close(softened_softmax(case[0] + 7), probabilities)
        assert (softened_softmax(2 * case[0]) - probabilities).abs().max() > 0.05

    def test_gradients_are_right(self, case):
        assert torch.autograd.gradcheck(lambda z: softened_softmax(z, temperature=2.0), case[0])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_finite_and_summing_to_one_on_hostile_scores(self, sines, dtype):
        probabilities = softened_softmax(500 * sines(8, 10, speed=0.7, dtype=dtype), temperature=1.0)
        assert probabilities.dtype == torch.float32
        torch.testing.assert_close(probabilities.sum(1), torch.ones(8))

    @pytest.mark.parametrize(
        ("logits", "temperature", "error", "says"),
        [
            (torch.zeros(3), 1.0, ValueError, r"logits must have shape \(batch, classes\), .* got \(3,\)"),
            (torch.zeros(0, 3), 1.0, ValueError, r"logits must have shape .* none of them 0, got \(0, 3\)"),
            (torch.zeros(2, 3, dtype=torch.long), 1.0, TypeError, "logits must hold floating-point .* torch.int64"),
            ([[0.0, 1.0]], 1.0, TypeError, "logits must be a tensor, got list"),
            (torch.zeros(2, 3), 0.0, ValueError, "temperature must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, logits, temperature, error, says):
        with pytest.raises(error, match=says):
            softened_softmax(logits, temperature=temperature)


class TestKD:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log(), torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
        first = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
        second = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
        value = kd_loss(student, teacher, temperature=1.0)
        assert value.item() == pytest.approx((first + second) / 2, rel=1e-6)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
    def test_is_the_equation_of_the_survey(self, pair, temperature):
        each = kd_loss(*pair, temperature=temperature, reduction="none")
        assert each.tolist() == pytest.approx(naive(*pair, temperature), rel=1e-10)

    def test_agrees_with_other_peoples_code(self, pair, reference, found, theirs):
        for case in reference("kd"):
            mine = found(kd_loss(*pair, **case["settings"]), pair[0], case["gradient_at"])
            assert mine == pytest.approx(theirs(case), rel=1e-10)

    def test_parts_of_decoupled_distillation_add_up_to_it(self, case):
        student, teacher, targets = case
        part = lambda alpha, beta: dkd_loss(*case, alpha=alpha, beta=beta, temperature=1.0, reduction="none")
        p_y = teacher.softmax(1).gather(1, targets[:, None])[:, 0]
        whole = kd_loss(student, teacher, temperature=1.0, reduction="none")
        torch.testing.assert_close(part(1.0, 0.0) + (1 - p_y) * part(0.0, 1.0), whole)

    def test_high_temperature_limit_is_logit_matching_of_centred_scores(self, pair):
        student, teacher = pair[0], pair[1] + 2
        (gradient,) = torch.autograd.grad(kd_loss(student, teacher, temperature=1e4, reduction="sum"), student)
        centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
        torch.testing.assert_close(gradient, centred.detach() / 10, rtol=1e-2, atol=1e-3)
        only_student = (student - student.mean(1, keepdim=True) - teacher).detach() / 10
        assert (gradient - only_student).abs().max() > 0.05  # huang2022 centres the student's alone (errata H-03)

    def test_squared_temperature_keeps_the_size_of_the_gradient(self, pair):
        def size(temperature: float) -> float:
            (gradient,) = torch.autograd.grad(kd_loss(*pair, temperature=temperature), pair[0])
            return gradient.norm().item()

        assert size(64.0) == pytest.approx(size(16.0), rel=0.15)
        assert size(64.0) / 64**2 < size(16.0) / 16**2 / 10  # what would be left without it (errata H-05)

    def test_zero_when_equal_up_to_a_shift_and_only_then(self, pair):
        _, teacher = pair
        assert kd_loss(teacher + 3, teacher).item() == pytest.approx(0, abs=1e-12)
        assert kd_loss(1.1 * teacher, teacher) > 1e-3  # it is not invariant to the scale

    def test_does_not_care_how_classes_are_numbered_but_which_network_is_which(self, pair):
        student, teacher = pair
        order = torch.arange(10) * 3 % 10
        torch.testing.assert_close(kd_loss(student[:, order], teacher[:, order]), kd_loss(student, teacher))
        assert abs(kd_loss(teacher, student.detach()) - kd_loss(student, teacher)) > 0.05

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, ValueError, r"student_logits and teacher_logits .* \(8, 10\) and"),
            ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
            ({"temperature": float("nan")}, ValueError, "temperature must be above 0, got nan"),
            ({"reduction": "average"}, ValueError, "reduction must be 'mean', 'sum' or 'none', got 'average'"),
            ({"student_logits": torch.ones(8, 10).long()}, TypeError, "student_logits must hold floating-point"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, error, says):
        with pytest.raises(error, match=says):
            kd_loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_weighs_as_repdistiller_does(self, case, asked):
        (term,) = KD().losses(*asked(*case)).values()
        assert (term.weight, KD().task_weight) == (0.9, 0.1)
        torch.testing.assert_close(term.value, kd_loss(*case[:2], temperature=4.0))

    def test_method_takes_every_position_of_a_text_for_an_example(self, sines, asked):
        student, teacher = sines(2, 3, 5, speed=0.7), sines(2, 3, 5, speed=1.3)
        (term,) = KD().losses(*asked(student, teacher, torch.zeros(2, dtype=torch.long))).values()
        torch.testing.assert_close(term.value, kd_loss(student.view(6, 5), teacher.view(6, 5)))

    def test_weights_of_the_hinton_note_leave_the_squared_temperature_out(self, case, asked):
        settings = {entry.key: entry.settings for entry in ENTRIES}["kd-note-hinton"]
        method = KD(**settings)
        (term,) = method.losses(*asked(*case)).values()
        plain = sum(naive(*case[:2], 4.0)) / 8 / 4.0**2
        assert (term.weight * term.value).item() == pytest.approx(0.5 * plain, rel=1e-10)
        assert method.task_weight == 0.5

    @pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"weight": -0.1}, {"task_weight": float("nan")}])
    def test_method_refuses_settings_out_of_range(self, wrong):
        with pytest.raises(Refusal, match=f"{next(iter(wrong))} must be"):
            KD(**wrong)


class TestOutputDistributionKL:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([[0.25, 0.25, 0.5]]).log()
        value = output_distribution_kl_loss(student, teacher)
        by_hand = 0.5 * math.log(2) + 0.3 * math.log(1.2) + 0.2 * math.log(0.4)
        assert value.item() == pytest.approx(by_hand, rel=1e-6)

    def test_is_the_equation(self, pair):
        each = output_distribution_kl_loss(*pair, reduction="none")
        assert each.tolist() == pytest.approx(naive(*pair, 1.0), rel=1e-10)

    def test_is_distillation_at_temperature_one_and_no_other(self, pair):
        value = output_distribution_kl_loss(*pair)
        torch.testing.assert_close(value, kd_loss(*pair, temperature=1.0), rtol=0, atol=0)
        assert abs(value - kd_loss(*pair, temperature=2.0)) > 0.1

    def test_gradient_is_the_difference_of_probabilities(self, pair):
        student, teacher = pair
        (gradient,) = torch.autograd.grad(output_distribution_kl_loss(*pair, reduction="sum"), student)
        torch.testing.assert_close(gradient, (student.softmax(1) - teacher.softmax(1)).detach())

    def test_zero_when_equal_up_to_a_shift_and_only_then(self, pair):
        _, teacher = pair
        assert output_distribution_kl_loss(teacher - 2, teacher).item() == pytest.approx(0, abs=1e-12)
        assert output_distribution_kl_loss(0.9 * teacher, teacher) > 1e-3

    @pytest.mark.parametrize(
        ("teacher", "says"),
        [
            (
                torch.zeros(8, 9),
                r"student_logits and teacher_logits must have the same shape, got \(8, 10\) and \(8, 9\)",
            ),
            (torch.zeros(8, 10, dtype=torch.bool), "teacher_logits must hold floating-point numbers, got torch.bool"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, teacher, says):
        with pytest.raises((ValueError, TypeError), match=says):
            output_distribution_kl_loss(pair[0], teacher)

    def test_method_asks_for_no_labels(self, case, asked):
        method = OutputDistributionKL()
        others = (case[2] + 1) % 10
        (term,) = method.losses(*asked(*case[:2], others)).values()
        assert method.task_weight == 0 and term.value == output_distribution_kl_loss(*case[:2])
