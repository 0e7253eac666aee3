"""What a reader may rely on in weighted soft labels, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import ce_soft_loss, wsld_loss
from kdcore.losses.response.weighted import WSLD, label_weights
from kdcore.types import Refusal


def softened(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def naive(student, teacher, targets, temperature: float) -> list[float]:
    """The equation, number by number, with the 1e-7 that the code adds below the line."""
    each = []
    for s, t, y in zip(student.tolist(), teacher.tolist(), targets.tolist()):
        mine, theirs = (-math.log(softened(row)[y]) for row in (s, t))
        weight = 1 - math.exp(-mine / (theirs + 1e-7))
        soft = -sum(a * math.log(b) for a, b in zip(softened(t, temperature), softened(s, temperature)))
        each.append(temperature**2 * weight * soft)
    return each


class TestWSLD:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
        value = wsld_loss(student, teacher, torch.tensor([0]), temperature=1.0)  # losses ln 4 and ln 2: weight 1 - e^-2
        soft = -0.5 * (math.log(0.25) + math.log(0.75))
        assert value.item() == pytest.approx((1 - math.exp(-2)) * soft, rel=1e-5)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_is_the_equation(self, case, temperature):
        each = wsld_loss(*case, temperature=temperature, reduction="none")
        assert each.tolist() == pytest.approx(naive(*case, temperature), rel=1e-10)

    def test_agrees_with_other_peoples_code(self, case, reference, found, theirs):
        for known in reference("wsld"):
            mine = found(wsld_loss(*case, **known["settings"]), case[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_is_soft_cross_entropy_with_a_weight_that_is_a_constant(self, case):
        student, teacher, _ = case
        weights = label_weights(*case)
        each = weights * 16 * ce_soft_loss(student, teacher, temperature=4.0, reduction="none")
        torch.testing.assert_close(wsld_loss(*case, reduction="none"), each)
        pulls = [torch.autograd.grad(value.mean(), student, retain_graph=True)[0] for value in (wsld_loss(*case), each)]
        torch.testing.assert_close(*pulls)

    def test_without_weights_it_is_soft_cross_entropy(self, case):
        plain = 16 * ce_soft_loss(*case[:2], temperature=4.0)
        torch.testing.assert_close(wsld_loss(*case, weighted=False), plain)

    def test_the_better_the_student_knows_the_label_the_less_it_is_taught(self, case):
        student, teacher, targets = case
        louder = [student.detach().scatter_add(1, targets[:, None], student.new_full((8, 1), c)) for c in (0, 2, 9, 99)]
        weights = torch.stack([label_weights(scores, teacher, targets) for scores in louder])
        assert (weights.diff(dim=0) <= 0).all() and (weights[-1] < 1e-6).all() and weights[0].max() <= 1

    def test_equal_losses_weigh_all_but_one_in_e(self, case):
        _, teacher, targets = case
        weights = label_weights(teacher, teacher, targets)
        assert weights.tolist() == pytest.approx([1 - 1 / math.e] * 8, abs=1e-5)

    def test_ignores_a_shift_but_not_the_scale(self, case):
        student, teacher, targets = case
        torch.testing.assert_close(wsld_loss(student + 3, teacher - 1, targets), wsld_loss(*case))
        assert abs(wsld_loss(2 * student, teacher, targets) - wsld_loss(*case)) > 1

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(8, 9)}, r"must have the same shape, got \(8, 10\) and \(8, 9\)"),
            ({"targets": torch.zeros(8, 1).long()}, r"targets must have shape \(8,\), one class an example"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, says):
        with pytest.raises(ValueError, match=says):
            wsld_loss(**dict(zip(("student_logits", "teacher_logits", "targets"), case)) | change)

    def test_method_stands_beside_the_labels(self, case, asked):
        (term,) = WSLD().losses(*asked(*case)).values()
        assert term.value == wsld_loss(*case) and term.weight == 2.25
        with pytest.raises(Refusal, match="weight must be at least 0, got -1"):
            WSLD(weight=-1.0)
