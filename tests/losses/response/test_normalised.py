"""What a reader may rely on in normalised distillation, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import dkd_loss, nkd_loss
from kdcore.losses.response.normalised import NKD
from kdcore.types import Refusal


def softened(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def naive(student, teacher, targets, gamma: float, temperature: float) -> float:
    """The equation, number by number."""
    total = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), targets.tolist()):
        without = [softened([z for j, z in enumerate(row) if j != y], temperature) for row in (t, s)]
        total -= softened(t)[y] * math.log(softened(s)[y])
        total -= gamma * temperature**2 * sum(a * math.log(b) for a, b in zip(*without))
    return total / len(targets)


class TestNKD:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.5, 0.4, 0.1]]).log()
        value = nkd_loss(student, teacher, torch.tensor([0]), gamma=2.0)
        others = 0.75 * math.log(0.8) + 0.25 * math.log(0.2)  # (3/4, 1/4) against (4/5, 1/5)
        assert value.item() == pytest.approx(-0.6 * math.log(0.5) - 2 * others, rel=1e-5)

    @pytest.mark.parametrize(("gamma", "temperature"), [(1.5, 1.0), (3.5, 3.0), (0.0, 1.0)])
    def test_is_the_equation(self, case, gamma, temperature):
        value = nkd_loss(*case, gamma=gamma, temperature=temperature)
        assert value.item() == pytest.approx(naive(*case, gamma, temperature), rel=1e-10)

    def test_agrees_with_the_authors_code(self, case, reference, found, theirs):
        for known in reference("nkd"):
            mine = found(nkd_loss(*case, **known["settings"]), case[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_ranking_of_the_others_pulls_as_in_decoupled_distillation(self, case):
        student = case[0]
        only_rest = nkd_loss(*case, gamma=2.0, temperature=3.0) - nkd_loss(*case, gamma=0.0, temperature=3.0)
        decoupled = dkd_loss(*case, alpha=0.0, beta=2.0, temperature=3.0)
        pulls = [torch.autograd.grad(value, student, retain_graph=True)[0] for value in (only_rest, decoupled)]
        torch.testing.assert_close(*pulls)

    def test_true_class_is_the_label_weighed_by_the_teacher_s_belief(self, case):
        student, teacher, targets = case
        each = nkd_loss(*case, gamma=0.0, reduction="none")
        belief = teacher.softmax(1).gather(1, targets[:, None])[:, 0]
        labels = torch.nn.functional.cross_entropy(student, targets, reduction="none")
        torch.testing.assert_close(each, belief * labels)

    def test_does_not_rest_where_both_agree(self, case):
        teacher, targets = case[1].clone().requires_grad_(), case[2]
        (gradient,) = torch.autograd.grad(nkd_loss(teacher, case[1], targets), teacher)
        assert gradient.abs().max() > 1e-3

    def test_ignores_a_shift_and_the_numbering_of_other_classes_but_not_the_scale(self, case):
        student, teacher, targets = case
        order = torch.tensor([3, 0, 6, 9, 2, 5, 8, 1, 4, 7])  # where each class goes
        moved = [torch.empty_like(x).index_copy(1, order, x.detach()) for x in (student, teacher)]
        torch.testing.assert_close(nkd_loss(*moved, order[targets]), nkd_loss(*case))
        torch.testing.assert_close(nkd_loss(student + 2, teacher - 5, targets), nkd_loss(*case))
        assert abs(nkd_loss(2 * student, teacher, targets) - nkd_loss(*case)) > 0.1

    def test_two_classes_leave_nothing_to_rank(self, sines):
        student, teacher = sines(4, 2, speed=0.7), sines(4, 2, speed=1.3)
        targets = torch.tensor([0, 1, 0, 1])
        assert nkd_loss(student, teacher, targets) == nkd_loss(student, teacher, targets, gamma=0.0)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, r"must have the same shape, got \(8, 10\) and \(1, 10\)"),
            ({"targets": torch.full((8,), 10)}, "targets must lie in 0 .. 9, got 10"),
            ({"gamma": -1.0}, "gamma must be at least 0, got -1"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, says):
        with pytest.raises(ValueError, match=says):
            nkd_loss(**dict(zip(("student_logits", "teacher_logits", "targets"), case)) | change)

    def test_method_has_the_authors_weights_for_cifar_100(self, case, asked):
        (term,) = NKD().losses(*asked(*case)).values()
        torch.testing.assert_close(term.value, nkd_loss(*case, gamma=3.5, temperature=3.0))
        assert term.weight == 1
        with pytest.raises(Refusal, match="gamma must be at least 0, got -2"):
            NKD(gamma=-2.0)
