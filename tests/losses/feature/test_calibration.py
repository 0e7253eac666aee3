"""What a reader may rely on in semantic calibration, one claim a test."""

import math

import pytest
import torch
from torch import nn

from kdcore.losses import kd_loss, semckd_loss
from kdcore.losses.feature.calibration import SemCKD
from kdcore.types import Outputs, Refusal

STUDENT, TEACHER = [(4, 8, 8), (6, 4, 4)], [(5, 8, 8), (9, 4, 4), (12, 2, 2)]


@pytest.fixture
def given(sines):
    """Distances of two layers from three, and how well they fit."""
    return sines(4, 2, 3, speed=0.7).abs().requires_grad_(), sines(4, 2, 3, speed=1.3).requires_grad_()


class TestSemCKD:
    def test_value_worked_by_hand(self):
        fit = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0]]])  # shares 3/4 and 1/4, then halves
        value = semckd_loss(torch.tensor([[[1.0, 5.0], [2.0, 4.0]]]), fit)
        assert value.item() == pytest.approx(((3 / 4 + 5 / 4) + 3) / 2)

    def test_is_the_equation_of_the_paper(self, given):
        each = []
        for distances, fit in zip(*(x.tolist() for x in given)):
            total = 0.0
            for d, a in zip(distances, fit):
                powers = [math.exp(value) for value in a]
                total += sum(p / sum(powers) * value for p, value in zip(powers, d))
            each.append(total / len(fit))
        assert semckd_loss(*given, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_lies_between_the_nearest_and_the_farthest_layer(self, given):
        distances, fit = given
        low, high = distances.amin(2).mean(1), distances.amax(2).mean(1)
        value = semckd_loss(distances, fit, reduction="none")
        assert (low <= value).all() and (value <= high).all()
        torch.testing.assert_close(semckd_loss(distances, -1000 * distances.detach(), reduction="none"), low)

    def test_does_not_care_for_a_shift_of_a_layers_fit_nor_how_teachers_are_numbered(self, given, sines):
        distances, fit = given
        value = semckd_loss(*given)
        torch.testing.assert_close(semckd_loss(distances, fit + sines(4, 2, 1, speed=0.4)), value)
        order = [2, 0, 1]
        torch.testing.assert_close(semckd_loss(distances[:, :, order], fit[:, :, order]), value)
        assert abs(semckd_loss(distances, fit[:, :, order]) - value) > 1e-2

    def test_the_fit_moves_towards_the_near_layers(self, given):
        distances, fit = given
        (slope,) = torch.autograd.grad(semckd_loss(*given), fit)
        torch.testing.assert_close(slope.sum(2), torch.zeros(4, 2, dtype=torch.float64), atol=1e-12, rtol=0)
        nearest = distances.argmin(2, keepdim=True)
        assert (slope.gather(2, nearest) < 0).all()

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            (
                {"fit": torch.zeros(4, 3, 2)},
                ValueError,
                r"student_distances and fit .* got \(4, 2, 3\) and \(4, 3, 2\)",
            ),
            ({"fit": torch.zeros(4, 2, 3).long()}, TypeError, "fit must hold floating"),
            ({"reduction": "average"}, ValueError, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, given, change, error, says):
        with pytest.raises(error, match=says):
            semckd_loss(**dict(zip(("student_distances", "fit"), given)) | change)


class TestSemCKDMethod:
    @pytest.fixture
    def made(self, filled):
        """The method between two layers of the student and three of the teacher, for batches of eight."""
        stages = (range(2), range(3))
        return filled(SemCKD([c for c, *_ in STUDENT], [c for c, *_ in TEACHER], stages, anchors=8))

    @pytest.fixture
    def answers(self, layers, sines):
        def make(batch: int) -> tuple[Outputs, Outputs]:
            student, teacher = layers(batch, STUDENT, 0.7), layers(batch, TEACHER, 1.3)
            logits = sines(batch, 4, speed=0.7), sines(batch, 4, speed=1.3)
            mine = Outputs(logits[0].requires_grad_(), tuple(maps.requires_grad_() for maps in student))
            return mine, Outputs(logits[1], tuple(teacher))

        return make

    def test_agrees_with_the_authors_code(self, made, answers, batch, reference, found, theirs):
        for known in reference("semckd"):
            student, teacher = answers(8)
            value = made.losses(student, teacher, batch)["semckd"].value
            mine = found(value, student.features[known["layer"]], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_distils_plainly_beside_it(self, made, answers, batch):
        student, teacher = answers(8)
        terms = made.losses(student, teacher, batch)
        assert terms["semckd_kd"].value == kd_loss(student.logits, teacher.logits)
        assert [term.weight for term in terms.values()] == [400.0, 1.0]

    @pytest.mark.parametrize("count", [1, 3, 20])
    def test_serves_batches_of_another_size(self, made, answers, batch, count):
        student, teacher = answers(count)
        value = made.losses(student, teacher, batch)["semckd"].value
        assert value.isfinite() and torch.autograd.grad(value, student.features[0])[0].isfinite().all()

    def test_an_example_is_described_by_the_first_ones_of_its_batch(self, made, sines):
        maps = sines(20, 4, 8, 8, speed=0.7)
        rows = maps.flatten(1)
        torch.testing.assert_close(made._similarities(maps), rows @ rows[:8].T)
        few = made._similarities(maps[:3])
        torch.testing.assert_close(few[:, :3], rows[:3] @ rows[:3].T)
        assert few.shape == (3, 8) and few[:, 3:].eq(0).all()

    def test_what_both_networks_find_alike_they_mean_alike(self, made, answers, batch):
        """The same reader for query and key, and the same maps: the fit of a layer with itself is 1, the highest."""
        student, _ = answers(8)
        made.offered[0].load_state_dict(made.asked[0].state_dict())
        query, key = (made._meanings(readers[:1], [student.features[0]]) for readers in (made.asked, made.offered))
        torch.testing.assert_close((query * key).sum(2), torch.ones(8, 1, dtype=torch.float64))

    def test_the_teachers_maps_stay_constants_while_keys_learn(self, made, answers, batch):
        student, teacher = answers(8)
        for maps in teacher.features:
            maps.requires_grad_()
        made.losses(student, teacher, batch)["semckd"].value.backward()
        assert all(maps.grad is None for maps in teacher.features)
        assert all(weight.grad is not None for weight in made.offered.parameters())

    def test_is_built_from_shapes_that_differ_in_every_size(self, sized):
        student, teacher = [(116, 16, 16), (232, 8, 8)], [(64, 32, 32), (128, 16, 16)]
        method = SemCKD.build(sized(student, teacher), student_stages=[1])
        assert len(method.asked) == 1 and len(method.offered) == 2
        assert [project[-1].out_channels for project in method.projections[0]] == [64, 128]
        assert isinstance(method.asked[0].first, nn.Linear) and method.asked[0].first.in_features == 64

    @pytest.mark.parametrize(
        ("teacher", "settings", "says"),
        [
            ([], {}, "maps are matched stage by stage, and the teacher names no stage"),
            (TEACHER, {"student_stages": [2]}, "the student has stages 0 .. 1, got 2"),
            (TEACHER, {"anchors": 0}, "anchors must be above 0, got 0"),
        ],
    )
    def test_refuses_an_impossible_pair(self, sized, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            SemCKD.build(sized(STUDENT, teacher), **settings)
