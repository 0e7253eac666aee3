"""What a reader may rely on in channel distillation, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import channel_distillation_loss, guided_kd_loss, kd_loss
from kdcore.losses.feature.channels import ENTRIES, ChannelDistillation
from kdcore.types import Outputs, Refusal

SHAPES = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
WIDER = ((5, 8, 8), (9, 4, 4), (12, 2, 2))


def mean(rows: list[list[float]]) -> float:
    values = [value for row in rows for value in row]
    return sum(values) / len(values)


class TestChannelDistillation:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[2.0, 4.0]], [[0.0, 0.0]]]])  # means 3 and 0
        teacher = torch.tensor([[[[1.0]], [[-1.0]]]])  # means 1 and -1
        assert channel_distillation_loss(student, teacher).item() == (2**2 + 1**2) / 2

    def test_is_the_mean_of_squared_differences_of_channel_means(self, maps):
        each = []
        for s, t in zip(*(m.tolist() for m in maps)):
            each.append(sum((mean(a) - mean(b)) ** 2 for a, b in zip(s, t)) / 6)
        assert channel_distillation_loss(*maps, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_code(self, maps, sines, reference, found, theirs):
        for known in reference("channel-distillation"):
            if known.get("part") != "guided":
                value = channel_distillation_loss(maps[0], sines(*known["teacher"], speed=1.3))
                assert found(value, maps[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_does_not_care_where_a_channel_answers_but_which_channel(self, maps):
        student, teacher = maps
        value = channel_distillation_loss(student, teacher)
        torch.testing.assert_close(channel_distillation_loss(student.flip(2), teacher), value)
        order = [3, 0, 5, 1, 2, 4]
        torch.testing.assert_close(channel_distillation_loss(student[:, order], teacher[:, order]), value)
        assert abs(channel_distillation_loss(student[:, order], teacher) - value) > 1e-3

    def test_zero_where_means_agree_whatever_the_maps(self, maps):
        _, teacher = maps
        assert channel_distillation_loss(teacher.flip(3), teacher).item() == pytest.approx(0, abs=1e-30)
        assert channel_distillation_loss(2 * teacher, teacher) > 1e-3

    def test_takes_gates_as_maps_of_one_position(self, sines):
        gates, theirs = sines(4, 6, speed=0.7), sines(4, 6, speed=1.3)
        value = channel_distillation_loss(gates[:, :, None, None], theirs[:, :, None, None])
        torch.testing.assert_close(value, (gates - theirs).square().mean())

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, ValueError, "same number of channels, got 6 and 5"),
            ({"teacher_features": torch.zeros(3, 6, 4, 4)}, ValueError, "must hold the same examples, got 4 and 3"),
            (
                {"student_features": torch.zeros(4, 6)},
                ValueError,
                r"student_features must have shape \(batch, channels",
            ),
            ({"student_features": torch.zeros(4, 6, 4, 4).int()}, TypeError, "student_features must hold floating"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, error, says):
        with pytest.raises(error, match=says):
            channel_distillation_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    def test_method_sums_stages_behind_connectors_beside_the_guided_answers(self, sized, layers, sines, batch):
        method = ChannelDistillation.build(sized(SHAPES, WIDER)).double()
        student, teacher = (
            Outputs(sines(8, 10, speed=speed), tuple(layers(8, shapes, speed)))
            for shapes, speed in ((SHAPES, 0.7), (WIDER, 1.3))
        )
        terms = method.losses(student, teacher, batch)
        by_stage = [
            channel_distillation_loss(connector(mine), theirs)
            for connector, mine, theirs in zip(method.connectors, student.features, teacher.features)
        ]
        torch.testing.assert_close(terms["channels"].value, sum(by_stage))
        assert terms["guided_kd"].value == guided_kd_loss(student.logits, teacher.logits, batch.targets)

    def test_early_decay_is_the_authors(self):
        method = ChannelDistillation(((4, 4),) * 3)
        weights = [method.weight_at(epoch / 200) for epoch in (0, 59, 60, 159, 160, 199)]
        assert weights == pytest.approx([6, 6, 5.4, 5.4, 4.86, 4.86])
        assert [method.guided_weight_at(epoch / 200) for epoch in (0, 59, 60, 199)] == [0, 0, 0.1, 0.1]

    def test_alone_it_is_one_loss_at_a_constant_weight(self):
        settings = {entry.key: entry.settings for entry in ENTRIES}["channel-distillation-alone"]
        method = ChannelDistillation(((4, 4),) * 3, **settings)
        assert {method.weight_at(p) for p in (0.0, 0.5, 0.99)} == {6.0}
        assert {method.guided_weight_at(p) for p in (0.0, 0.5, 0.99)} == {0.0}

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (SHAPES, WIDER[:2], {}, "the student has 3 stages and the teacher 2: name the pairs"),
            (SHAPES, WIDER, {"weight": -1.0}, "weight must be at least 0, got -1"),
            (SHAPES, WIDER, {"temperature": 0.0}, "temperature must be above 0, got 0"),
        ],
    )
    def test_method_refuses_what_cannot_be(self, sized, student, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            ChannelDistillation.build(sized(student, teacher), **settings)

    def test_channels_need_their_numbers(self):
        with pytest.raises(Refusal, match="each of the 3 pairs needs its numbers of channels, got 1"):
            ChannelDistillation(((4, 4),))


class TestGuidedKD:
    def test_value_worked_by_hand(self):
        teacher = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.75, 0.25]]).log()
        student = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]).log()
        right = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)  # of the first two; the third is wrong
        assert guided_kd_loss(student, teacher, torch.tensor([0, 1, 1])).item() == pytest.approx(right, rel=1e-6)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_is_the_mean_of_distillation_over_what_the_teacher_has_right(self, case, temperature):
        student, teacher, targets = case
        targets = torch.where(torch.arange(8) % 3 == 0, (teacher.argmax(1) + 1) % 10, teacher.argmax(1))
        each = kd_loss(student, teacher, temperature=temperature, reduction="none").tolist()
        right = [value for number, value in enumerate(each) if number % 3]
        found = guided_kd_loss(student, teacher, targets, temperature=temperature)
        assert found.item() == pytest.approx(sum(right) / len(right), rel=1e-12)

    def test_agrees_with_the_authors_code(self, pair, reference, found, theirs):
        student, teacher = pair
        choice = teacher.argmax(1)
        targets = torch.where(torch.arange(8) % 3 == 0, (choice + 1) % 10, choice)
        cases = [known for known in reference("channel-distillation") if known.get("part") == "guided"]
        assert len(cases) == 2
        for known in cases:
            value = guided_kd_loss(student, teacher, targets, **known["settings"])
            assert found(value, student, known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_examples_that_the_teacher_has_wrong_get_no_gradient(self, pair):
        student, teacher = pair
        targets = (teacher.argmax(1) + (torch.arange(8) == 5)) % 10
        (gradient,) = torch.autograd.grad(guided_kd_loss(student, teacher, targets), student)
        assert gradient[5].abs().max() == 0 and (gradient[torch.arange(8) != 5].abs().amax(1) > 0).all()

    def test_is_plain_distillation_where_the_teacher_is_right_and_zero_where_it_never_is(self, pair):
        student, teacher = pair
        right = teacher.argmax(1)
        torch.testing.assert_close(guided_kd_loss(student, teacher, right), kd_loss(student, teacher, temperature=1.0))
        value = guided_kd_loss(student, teacher, (right + 1) % 10)
        assert value == 0 and torch.autograd.grad(value, student)[0].abs().max() == 0

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"targets": torch.full((8,), 10)}, "targets must lie in 0 .. 9, got 10"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"teacher_logits": torch.zeros(1, 10)}, r"student_logits and teacher_logits .* \(8, 10\) and \(1, 10\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, says):
        with pytest.raises(ValueError, match=says):
            guided_kd_loss(**dict(zip(("student_logits", "teacher_logits", "targets"), case)) | change)
