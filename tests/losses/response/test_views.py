"""What a reader may rely on in distillation across views, one claim a test."""

import math
from dataclasses import replace

import pytest
import torch

from kdcore.losses import ce_ground_truth_loss, crld_loss, kd_loss
from kdcore.losses.response.views import CRLD
from kdcore.types import Refusal


@pytest.fixture
def views(sines):
    """Student weak, teacher weak, student strong, teacher strong."""
    student = sines(8, 10, speed=0.7).requires_grad_()
    return student, sines(8, 10, speed=1.3), sines(8, 10, speed=1.9), sines(8, 10, speed=2.3)


def naive(views, temperature, confidence, strong_confidence, within_weight, cross_weight) -> list[float]:
    """The equation, example by example."""

    def softened(row, t):
        powers = [math.exp(z / t) for z in row]
        return [power / sum(powers) for power in powers]

    def divergence(teacher, student):
        p, q = softened(teacher, temperature), softened(student, temperature)
        return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q))

    each = []
    for sw, tw, ss, ts in zip(*(view.tolist() for view in views)):
        value = 0.0
        if max(softened(tw, 1.0)) >= confidence:
            value += within_weight * (divergence(tw, sw) + divergence(ts, ss))
        if max(softened(ts, 1.0)) >= strong_confidence:
            value += cross_weight * (divergence(tw, ss) + divergence(ts, sw))
        each.append(value)
    return each


class TestCRLD:
    def test_value_worked_by_hand(self):
        sure, unsure = [math.log(19.0), 0.0], [0.0, 0.0]  # (0.95, 0.05) and (0.5, 0.5)
        student = torch.tensor([unsure])
        value = crld_loss(student, torch.tensor([sure]), student, torch.tensor([unsure]), temperature=1.0)
        divergence = 0.95 * math.log(1.9) + 0.05 * math.log(0.1)
        assert value.item() == pytest.approx((2.0 + 0.5) * divergence, rel=1e-5)

    @pytest.mark.parametrize(
        "settings",
        [
            (4.0, 0.0, 0.0, 2.0, 0.5),
            (4.0, 0.42, 0.455, 2.0, 0.5),
            (1.0, 0.42, 1.0, 1.0, 3.0),
            (2.0, 1.0, 1.0, 1.0, 1.0),
        ],
    )
    def test_is_the_equation(self, views, settings):
        names = ("temperature", "confidence", "strong_confidence", "within_weight", "cross_weight")
        found = crld_loss(*views, **dict(zip(names, settings)), reduction="none")
        assert found.tolist() == pytest.approx(naive(views, *settings), rel=1e-10)

    def test_agrees_with_other_peoples_code(self, views, reference, found, theirs):
        for known in reference("crld"):
            mine = found(crld_loss(*views, **known["settings"]), views[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_equal_views_without_thresholds_are_five_times_distillation(self, views):
        student, teacher, *_ = views
        value = crld_loss(student, teacher, student, teacher, confidence=0.0, strong_confidence=0.0)
        torch.testing.assert_close(value, 2 * (2.0 + 0.5) * kd_loss(student, teacher))

    def test_zero_where_all_answers_agree_and_only_there(self, views):
        _, teacher, strong, _ = views
        open_to_all = {"confidence": 0.0, "strong_confidence": 0.0}
        assert crld_loss(teacher, teacher, teacher, teacher, **open_to_all).item() == pytest.approx(0, abs=1e-12)
        assert crld_loss(teacher, teacher, strong, strong, **open_to_all) > 0.1  # a net that sees views differently

    def test_an_unsure_teacher_is_not_heard(self, views):
        student, teacher, *strong = views
        value = crld_loss(student, 0 * teacher, *strong, cross_weight=0.0)
        assert value == 0 and crld_loss(student, 9 * teacher, *strong, cross_weight=0.0) > 1

    def test_raising_a_threshold_never_raises_the_loss(self, views):
        values = [crld_loss(*views, confidence=c).item() for c in (0.0, 0.4, 0.42, 0.46, 1.0)]
        assert values == sorted(values, reverse=True) and values[0] > values[2] > values[-1]

    def test_views_do_not_play_the_same_part(self, views):
        student, teacher, strong, strong_teacher = views
        swapped = crld_loss(strong, strong_teacher, student, teacher, confidence=0.42, strong_confidence=0.455)
        assert abs(swapped - crld_loss(*views, confidence=0.42, strong_confidence=0.455)) > 1

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"strong_teacher_logits": torch.zeros(8, 9)}, r"strong_student_logits and strong_teacher_logits must"),
            (
                {"strong_student_logits": torch.zeros(4, 10), "strong_teacher_logits": torch.zeros(4, 10)},
                r"student_logits and strong_student_logits must have the same shape, got \(8, 10\) and \(4, 10\)",
            ),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"confidence": -0.1}, "confidence must be at least 0, got -0.1"),
            ({"cross_weight": -1.0}, "cross_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, views, change, says):
        names = ("student_logits", "teacher_logits", "strong_student_logits", "strong_teacher_logits")
        with pytest.raises(ValueError, match=says):
            crld_loss(**dict(zip(names, views)) | change)

    def test_method_asks_both_networks_about_both_views(self, views, asked):
        targets = torch.arange(8)
        student, teacher, batch = asked(*views[:2], targets)
        other = dict(zip(("student", "teacher"), asked(*views[2:], targets)))
        student = replace(student, view={"strong": other["student"]}.__getitem__)
        teacher = replace(teacher, view={"strong": other["teacher"]}.__getitem__)
        terms = CRLD().losses(student, teacher, batch)
        matched = sum(terms[name].value * terms[name].weight for name in ("crld_within", "crld_cross"))
        torch.testing.assert_close(matched, crld_loss(*views))
        labels = ce_ground_truth_loss(views[2], targets)
        torch.testing.assert_close(terms["crld_strong_task"].value, labels.float())

    def test_method_refuses_settings_out_of_range(self):
        with pytest.raises(Refusal, match="within_weight must be at least 0, got -2"):
            CRLD(within_weight=-2.0)
