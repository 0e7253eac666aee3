"""What a reader may rely on in triplets of answers, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import output_distribution_kl_loss, triplet_kd_loss
from kdcore.losses.response.triplet import TripletKD, other_class
from kdcore.types import Refusal


@pytest.fixture
def triplet(pair, sines):
    return (*pair, sines(8, 10, speed=1.9))


class TestTripletKD:
    def test_value_worked_by_hand(self):
        anchor, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0]])
        assert triplet_kd_loss(near, anchor, far, margin=7.0).item() == pytest.approx(5 - 10 + 7)
        assert triplet_kd_loss(near, anchor, far, margin=4.0) == 0

    @pytest.mark.parametrize("margin", [0.0, 1.0, 5.0])
    def test_is_the_equation(self, triplet, margin):
        each = [max(0.0, math.dist(t, s) - math.dist(t, n) + margin) for s, t, n in zip(*(z.tolist() for z in triplet))]
        found = triplet_kd_loss(*triplet, margin=margin, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_loss_that_the_authors_call(self, triplet, reference, found, theirs):
        for known in reference("triplet-kd"):
            value = triplet_kd_loss(*(1e6 * z for z in triplet), **known["settings"])
            mine = found(value, triplet[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_pulls_the_positive_and_pushes_the_negative(self, triplet):
        student, teacher, negative = triplet[0], triplet[1], triplet[2].requires_grad_()
        pull, push = torch.autograd.grad(triplet_kd_loss(student, teacher, negative, margin=99.0), (student, negative))
        toward = (pull * (student - teacher)).sum(1)
        away = (push * (negative - teacher)).sum(1)
        assert (toward > 0).all() and (away < 0).all()

    def test_ignores_a_common_shift_and_rotation_but_not_the_scale(self, triplet, sines):
        value = triplet_kd_loss(*triplet)
        turn, _ = torch.linalg.qr(sines(10, 10, speed=0.37))
        torch.testing.assert_close(triplet_kd_loss(*(z @ turn + 3 for z in triplet)), value)
        assert abs(triplet_kd_loss(*(2 * z for z in triplet)) - value) > 1e-3

    def test_zero_at_agreement_only_where_the_negative_is_far(self, triplet):
        _, teacher, negative = triplet
        near, far = teacher + 1e-3, 9 * negative
        assert triplet_kd_loss(teacher, teacher, far) == 0
        assert triplet_kd_loss(teacher, teacher, near).item() == pytest.approx(5.0, abs=0.01)

    def test_equal_answers_give_a_finite_gradient(self, triplet):
        student = triplet[1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(triplet_kd_loss(student, triplet[1], triplet[1]), student)
        assert gradient.isfinite().all()

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, ValueError, r"student_logits and teacher_logits .* \(8, 10\) and"),
            ({"negative_logits": torch.zeros(1, 10)}, ValueError, r"student_logits and negative_logits .* \(1, 10\)"),
            ({"negative_logits": torch.zeros(8, 10).long()}, TypeError, "negative_logits must hold floating-point"),
            ({"margin": -1.0}, ValueError, "margin must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, triplet, change, error, says):
        with pytest.raises(error, match=says):
            triplet_kd_loss(**dict(zip(("student_logits", "teacher_logits", "negative_logits"), triplet)) | change)

    def test_negatives_are_of_another_class_and_all_of_them_come_up(self):
        targets = torch.tensor([0, 0, 1, 2])
        drawn = [other_class(targets, torch.Generator().manual_seed(seed))[0] for seed in range(60)]
        assert all((targets[index] != targets).all() for index in drawn)
        assert {index[0].item() for index in drawn} == {2, 3} and {index[2].item() for index in drawn} == {0, 1, 3}

    def test_method_leaves_out_who_has_no_negative(self, case, asked):
        student, teacher, _ = case
        terms = TripletKD().losses(*asked(student, teacher, torch.zeros(8, dtype=torch.long)))
        assert terms["triplet"].value == 0
        torch.testing.assert_close(terms["triplet_soft"].value, output_distribution_kl_loss(student, teacher))

    def test_method_draws_from_the_step_and_weighs_as_its_authors_do(self, case, asked):
        student, teacher, batch = asked(*case)
        terms = TripletKD().losses(student, teacher, batch)
        index, exists = other_class(case[2], batch.generator("triplet-kd"))
        expected = triplet_kd_loss(case[0], case[1], case[0][index])
        assert exists.all() and terms["triplet"].value == expected
        assert (terms["triplet"].weight, terms["triplet_soft"].weight) == (2.0, 1.0)

    def test_method_refuses_settings_out_of_range(self):
        with pytest.raises(Refusal, match="margin must be at least 0, got -5"):
            TripletKD(margin=-5.0)
