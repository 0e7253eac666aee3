"""What a reader may rely on in the regression of scores, one claim a test."""

import pytest
import torch

from kdcore.losses import kd_loss, logit_mse_loss
from kdcore.losses.response.regression import LogitMSE
from kdcore.types import Refusal


class TestLogitMSE:
    def test_value_worked_by_hand(self):
        student, teacher = (
            torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]),
            torch.tensor([[0.0, 4.0, 1.0], [3.0, 0.0, 0.0]]),
        )
        assert logit_mse_loss(student, teacher).item() == pytest.approx((6 / 3 + 9 / 3) / 2)
        assert logit_mse_loss(student, teacher, form="half-sum").item() == pytest.approx((6 / 2 + 9 / 2) / 2)

    @pytest.mark.parametrize(("form", "factor"), [("mean", 1 / 10), ("half-sum", 1 / 2)])
    def test_is_the_equation(self, pair, form, factor):
        each = [factor * sum((a - b) ** 2 for a, b in zip(s, t)) for s, t in zip(pair[0].tolist(), pair[1].tolist())]
        assert logit_mse_loss(*pair, form=form, reduction="none").tolist() == pytest.approx(each, rel=1e-12)

    def test_agrees_with_other_peoples_code(self, pair, reference, found, theirs):
        for case in reference("logit-mse"):
            mine = found(logit_mse_loss(*pair), pair[0], case["gradient_at"])
            assert mine == pytest.approx(theirs(case), rel=1e-12)

    def test_zero_only_when_equal(self, pair):
        _, teacher = pair
        assert logit_mse_loss(teacher, teacher) == 0
        assert logit_mse_loss(teacher + 1, teacher).item() == pytest.approx(1)  # unlike all losses on probabilities

    def test_is_symmetric_and_moves_with_both_networks(self, pair):
        student, teacher = pair
        value = logit_mse_loss(student, teacher)
        torch.testing.assert_close(logit_mse_loss(teacher, student), value)
        torch.testing.assert_close(logit_mse_loss(student + 5, teacher + 5), value)
        torch.testing.assert_close(logit_mse_loss(2 * student, 2 * teacher), 4 * value)

    def test_is_the_limit_of_distillation_for_centred_scores(self, pair):
        student, teacher = (z.detach() - z.detach().mean(1, keepdim=True) for z in pair)
        student.requires_grad_()
        hot = torch.autograd.grad(kd_loss(student, teacher, temperature=1e4), student)[0]
        half = torch.autograd.grad(logit_mse_loss(student, teacher) / 2, student)[0]
        torch.testing.assert_close(hot, half, rtol=1e-2, atol=1e-4)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, r"must have the same shape, got \(8, 10\) and \(1, 10\)"),
            ({"form": "sum"}, "form must be 'mean' or 'half-sum', got 'sum'"),
            ({"reduction": "total"}, "reduction must be 'mean', 'sum' or 'none', got 'total'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, says):
        with pytest.raises(ValueError, match=says):
            logit_mse_loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_trains_on_scores_alone(self, case, asked):
        method = LogitMSE(form="half-sum")
        (term,) = method.losses(*asked(*case)).values()
        assert (method.task_weight, term.weight) == (0, 1)
        assert term.value == logit_mse_loss(*case[:2], form="half-sum")

    @pytest.mark.parametrize("says", ["form must be 'mean' or 'half-sum', got 'sum'"])
    def test_method_refuses_an_unknown_form(self, says):
        with pytest.raises(Refusal, match=says):
            LogitMSE(form="sum")
