"""What a reader may rely on in attention-based feature matching, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import afd_attention_matching_loss, at_loss, kd_loss, semckd_loss
from kdcore.losses.feature.matching import AFDAttentionMatching, distances
from kdcore.types import Outputs, Refusal

STUDENT, TEACHER = [(4, 8, 8), (6, 4, 4)], [(5, 8, 8), (9, 4, 4), (12, 4, 4)]


@pytest.fixture
def given(sines):
    """Distances of two layers from three, and how well they fit."""
    return sines(4, 2, 3, speed=0.7).abs().requires_grad_(), sines(4, 2, 3, speed=1.3).requires_grad_()


class TestAFDAttentionMatching:
    def test_value_worked_by_hand(self):
        fit = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0]]])  # first teacher: 3/4 and 1/4; second: halves
        value = afd_attention_matching_loss(torch.tensor([[[1.0, 2.0], [5.0, 4.0]]]), fit)
        assert value.item() == pytest.approx((3 / 4 + 5 / 4) + 3)

    def test_is_the_equation_of_the_paper(self, given):
        each = []
        for d, a in zip(*(x.tolist() for x in given)):
            total = 0.0
            for teacher in range(3):
                powers = [math.exp(row[teacher]) for row in a]
                total += sum(p / sum(powers) * row[teacher] for p, row in zip(powers, d))
            each.append(total)
        assert afd_attention_matching_loss(*given, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_is_semantic_calibration_with_the_roles_exchanged_and_summed(self, given):
        other = semckd_loss(*(x.transpose(1, 2) for x in given))
        torch.testing.assert_close(afd_attention_matching_loss(*given), 3 * other)

    def test_every_teacher_finds_some_student_while_some_students_may_be_left(self, given):
        distances_, _ = given
        fit = torch.tensor([100.0, 0.0], dtype=torch.float64)[None, :, None].expand(4, 2, 3)
        torch.testing.assert_close(afd_attention_matching_loss(distances_, fit), distances_[:, 0].sum(1).mean())

    def test_does_not_care_for_a_shift_of_a_teachers_fit(self, given, sines):
        moved = given[1] + sines(4, 1, 3, speed=0.4)
        torch.testing.assert_close(afd_attention_matching_loss(given[0], moved), afd_attention_matching_loss(*given))
        assert abs(afd_attention_matching_loss(given[0], 2 * given[1]) - afd_attention_matching_loss(*given)) > 1e-2

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            (
                {"fit": torch.zeros(4, 3, 2)},
                ValueError,
                r"student_distances and fit .* got \(4, 2, 3\) and \(4, 3, 2\)",
            ),
            ({"student_distances": torch.zeros(4, 2, 3).long()}, TypeError, "student_distances must hold floating"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, given, change, error, says):
        with pytest.raises(error, match=says):
            afd_attention_matching_loss(**dict(zip(("student_distances", "fit"), given)) | change)


class TestDistances:
    def test_are_those_of_attention_transfer_as_released(self, layers):
        student, teacher = layers(4, [(4, 8, 8)], 0.7), layers(4, [(5, 8, 8)], 1.3)
        each = at_loss(student[0], teacher[0], form="mean-square", reduction="none")
        torch.testing.assert_close(distances(student, teacher)[:, 0, 0], each)

    def test_maps_are_averaged_down_or_repeated_up_to_the_teachers_size(self, layers):
        small, large = layers(4, [(4, 4, 4)], 0.7)[0], layers(4, [(5, 8, 8)], 1.3)[0]
        repeated = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(distances([small], [large]), distances([repeated], [large]))
        energy = torch.nn.functional.avg_pool2d(large.square().mean(1, keepdim=True), 2).sqrt()
        torch.testing.assert_close(distances([large], [small]), distances([energy], [small]))

    def test_dead_maps_stay_finite(self, layers):
        dead = torch.zeros(4, 3, 8, 8, dtype=torch.float64, requires_grad=True)
        value = distances([dead], layers(4, [(5, 8, 8)], 1.3)).sum()
        assert value > 0 and torch.autograd.grad(value, dead)[0].isfinite().all()


class TestAFDAttentionMatchingMethod:
    @pytest.fixture
    def made(self, filled):
        stages = (range(2), range(3))
        channels = [[c for c, *_ in shapes] for shapes in (STUDENT, TEACHER)]
        return filled(AFDAttentionMatching(*channels, stages, size=16))

    @pytest.fixture
    def answers(self, layers, sines):
        student, teacher = layers(8, STUDENT, 0.7), layers(8, TEACHER, 1.3)
        logits = sines(8, 4, speed=0.7), sines(8, 4, speed=1.3)
        mine = Outputs(logits[0].requires_grad_(), tuple(maps.requires_grad_() for maps in student))
        return mine, Outputs(logits[1], tuple(teacher))

    def test_agrees_with_the_authors_code(self, made, answers, batch, reference, found, theirs):
        student, teacher = answers
        for known in reference("afd-attention-matching"):
            value = made.losses(student, teacher, batch)["afd"].value
            mine = found(value, student.features[known["layer"]], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_distils_plainly_beside_it(self, made, answers, batch):
        terms = made.losses(*answers, batch)
        assert terms["afd_kd"].value == kd_loss(answers[0].logits, answers[1].logits)
        assert [term.weight for term in terms.values()] == [200.0, 0.9]

    def test_queries_keys_and_positions_learn_and_the_teacher_does_not(self, made, answers, batch):
        student, teacher = answers
        for maps in teacher.features:
            maps.requires_grad_()
        made.losses(student, teacher, batch)["afd"].value.backward()
        assert all(maps.grad is None for maps in teacher.features)
        assert all(weight.grad is not None for weight in made.parameters())
        owned = {id(weight) for adapter in made.adapters() for weight in adapter.parameters()}
        assert owned == {id(weight) for weight in made.parameters()}

    def test_is_built_from_shapes_that_differ_in_every_size(self, sized):
        student, teacher = [(116, 16, 16), (232, 8, 8), (464, 4, 4)], [(64, 32, 32), (128, 16, 16)]
        method = AFDAttentionMatching.build(sized(student, teacher))
        assert (len(method.known), len(method.asked)) == (3, 2)
        assert method.answer[0].out_features == 2 * 128

    @pytest.mark.parametrize(
        ("student", "settings", "says"),
        [
            ([], {}, "maps are matched stage by stage, and the student names no stage"),
            (STUDENT, {"teacher_stages": [5]}, "the teacher has stages 0 .. 2, got 5"),
            (STUDENT, {"temperature": 0.0}, "temperature must be above 0, got 0"),
        ],
    )
    def test_refuses_an_impossible_pair(self, sized, student, settings, says):
        with pytest.raises(Refusal, match=says):
            AFDAttentionMatching.build(sized(student, TEACHER), **settings)
