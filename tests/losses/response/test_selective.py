"""What a reader may rely on where the teacher is wrong, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import adjust_knowledge, ce_ground_truth_loss, ce_soft_loss, conditional_ts_loss
from kdcore.losses.response.selective import ConditionalTS


def naive(student, teacher, targets) -> list[float]:
    each = []
    for s, t, y in zip(student.tolist(), teacher.tolist(), targets.tolist()):
        whole = math.log(sum(math.exp(z) for z in s))
        powers = [math.exp(z) for z in t]
        label = [p / sum(powers) for p in powers] if t.index(max(t)) == y else [float(j == y) for j in range(len(t))]
        each.append(-sum(q * (z - whole) for q, z in zip(label, s)))
    return each


class TestConditionalTS:
    def test_value_worked_by_hand(self):
        teacher = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]]).log()
        student = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
        value = conditional_ts_loss(student, teacher, torch.tensor([0, 2]))  # right, then wrong
        by_hand = ((0.6 * math.log(2) + 0.4 * math.log(4)) + math.log(4)) / 2
        assert value.item() == pytest.approx(by_hand, rel=1e-6)

    def test_is_the_equation(self, case):
        student, teacher, _ = case
        targets = torch.where(torch.arange(8) % 2 == 0, teacher.argmax(1), (teacher.argmax(1) + 1) % 10)
        found = conditional_ts_loss(student, teacher, targets, reduction="none")
        assert found.tolist() == pytest.approx(naive(student, teacher, targets), rel=1e-10)

    def test_a_teacher_who_is_always_right_is_always_heard(self, case):
        student, teacher, _ = case
        value = conditional_ts_loss(student, teacher, teacher.argmax(1))
        torch.testing.assert_close(value, ce_soft_loss(student, teacher))

    def test_a_teacher_who_is_always_wrong_is_never_heard(self, case):
        student, teacher, _ = case
        targets = (teacher.argmax(1) + 3) % 10
        value = conditional_ts_loss(student, teacher, targets)
        torch.testing.assert_close(value, ce_ground_truth_loss(student, targets))
        other = conditional_ts_loss(student, 7 * teacher, targets)  # however sure of its mistake
        torch.testing.assert_close(other, value)

    def test_is_no_blend_of_both(self, case):
        student, teacher, targets = case
        each = conditional_ts_loss(*case, reduction="none")
        soft, hard = (
            ce_soft_loss(student, teacher, reduction="none"),
            ce_ground_truth_loss(student, targets, reduction="none"),
        )
        assert (torch.isclose(each, soft) | torch.isclose(each, hard)).all()

    def test_where_the_teacher_is_right_agreement_is_a_resting_place(self, case):
        student = case[1].clone().requires_grad_()
        value = conditional_ts_loss(student, case[1], case[1].argmax(1))
        assert torch.autograd.grad(value, student)[0].norm() < 1e-12
        torch.testing.assert_close(conditional_ts_loss(student + 2, case[1], case[1].argmax(1)), value)

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_logits": torch.zeros(8, 9)}, ValueError, r"same shape, got \(8, 10\) and \(8, 9\)"),
            ({"targets": torch.full((8,), 12)}, ValueError, "targets must lie in 0 .. 9, got 12"),
            ({"targets": torch.ones(8)}, TypeError, "targets must hold whole numbers"),
            ({"reduction": "average"}, ValueError, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, error, says):
        with pytest.raises(error, match=says):
            conditional_ts_loss(**dict(zip(("student_logits", "teacher_logits", "targets"), case)) | change)

    def test_method_holds_the_labels_itself(self, case, asked):
        (term,) = ConditionalTS().losses(*asked(*case)).values()
        assert ConditionalTS().task_weight == 0 and term.value == conditional_ts_loss(*case)


class TestAdjustKnowledge:
    def test_exchange_worked_by_hand(self):
        scores = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
        adjusted = adjust_knowledge(scores, torch.tensor([1, 1]))  # wrong, then right
        assert adjusted.tolist() == [[1.0, 3.0, 2.0], [0.0, 5.0, 1.0]]

    def test_exchanges_probabilities_at_every_temperature(self, case):
        _, teacher, targets = case
        for temperature in (1.0, 4.0):
            before, after = ((z / temperature).softmax(1) for z in (teacher, adjust_knowledge(teacher, targets)))
            torch.testing.assert_close(after.sort(1).values, before.sort(1).values)
            torch.testing.assert_close(after.gather(1, targets[:, None])[:, 0], before.amax(1))

    def test_leaves_the_other_classes_and_its_input_alone(self, case):
        _, teacher, targets = case
        before = teacher.clone()
        adjusted = adjust_knowledge(teacher, targets)
        moved = (adjusted != teacher).sum(1)
        assert torch.equal(moved, 2 * (teacher.argmax(1) != targets)) and torch.equal(teacher, before)
