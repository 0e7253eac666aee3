"""What a reader may rely on in attentive feature distillation, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses import afds_loss
from kdcore.losses.feature.attentive import AFDS, Predictor
from kdcore.types import Outputs, Refusal


@pytest.fixture
def scores(sines) -> torch.Tensor:
    return sines(4, 6, speed=1.9).requires_grad_()


class TestAFDS:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[3.0, 4.0]], [[2.0, 0.0]]]])  # (0.6, 0.8) and (1, 0)
        teacher = torch.tensor([[[[1.0, 0.0]], [[-5.0, 0.0]]]])  # (1, 0) and (-1, 0)
        value = afds_loss(student, teacher, torch.tensor([[3.0, 1.0]]).log())
        assert value.item() == pytest.approx(0.75 * (0.4**2 + 0.8**2) + 0.25 * 4, rel=1e-6)

    def test_is_the_weighted_sum_over_channels(self, maps, scores):
        each = []
        for s, t, row in zip(*(m.flatten(2).tolist() for m in maps), scores.tolist()):
            whole, total = sum(math.exp(value) for value in row), 0.0
            for mine, theirs, value in zip(s, t, row):
                long, other = (math.sqrt(sum(x * x for x in channel)) for channel in (mine, theirs))
                apart = sum((a / long - b / other) ** 2 for a, b in zip(mine, theirs))
                total += math.exp(value) / whole * apart
            each.append(total)
        assert afds_loss(*maps, scores, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_distance(self, maps, sines, reference, found, theirs):
        for known in reference("afds"):
            scores = F.logsigmoid(sines(6, speed=1.9)).expand(4, 6)  # its softmax is the sigmoids brought to sum one
            value = afds_loss(*maps, scores, **known["settings"])
            mine = found(value, maps[0], known["gradient_at"], known["factor"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_does_not_care_how_loud_a_channel_is_but_for_its_sign(self, maps, scores):
        student, teacher = maps
        value = afds_loss(student, teacher, scores)
        louder = student * torch.tensor([1.0, 2.0, 0.1, 7.0, 3.0, 0.5], dtype=torch.float64)[:, None, None]
        torch.testing.assert_close(afds_loss(louder, teacher, scores), value)
        torch.testing.assert_close(afds_loss(-teacher, teacher, scores).item(), 4.0)
        assert afds_loss(3 * teacher, teacher, scores).item() == pytest.approx(0, abs=1e-15)

    def test_scores_get_right_gradients_and_flee_from_distance(self, maps, scores):
        student, teacher = maps[0].detach(), maps[1]
        assert torch.autograd.gradcheck(lambda values: afds_loss(student, teacher, values), [scores])
        alone = [afds_loss(student[:, [c]], teacher[:, [c]], torch.zeros(4, 1), reduction="none") for c in range(6)]
        apart, equal = torch.stack(alone, 1), torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(afds_loss(student, teacher, equal, reduction="sum"), equal)
        torch.testing.assert_close(gradient, (apart - apart.mean(1, keepdim=True)) / 6)

    def test_a_dead_channel_costs_one_and_its_gradient_stays_small(self, maps, scores):
        dead = torch.zeros(4, 6, 4, 4, dtype=torch.float64, requires_grad=True)
        value = afds_loss(dead, maps[1], scores)
        (gradient,) = torch.autograd.grad(value, dead)
        assert value.item() == pytest.approx(1) and gradient.abs().max() < 2

    def test_larger_maps_are_averaged_down_to_the_smaller(self, maps, scores, sines):
        large = sines(4, 6, 8, 8, speed=1.3)
        small = afds_loss(maps[0], F.avg_pool2d(large, 2), scores)
        torch.testing.assert_close(afds_loss(maps[0], large, scores), small)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"channel_scores": torch.zeros(4, 5)}, r"channel_scores must have shape \(4, 6\), got \(4, 5\)"),
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, "same number of channels, got 6 and 5"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, scores, change, says):
        names = ("student_features", "teacher_features", "channel_scores")
        with pytest.raises(ValueError, match=says):
            afds_loss(**dict(zip(names, (*maps, scores))) | change)

    def test_predictor_treats_channels_alike_but_for_the_last_bias(self, sines):
        predictor = Predictor((6, 4, 4)).double()
        maps = sines(4, 6, 4, 4, speed=1.3)
        order = [3, 0, 5, 1, 2, 4]
        torch.testing.assert_close(predictor(maps[:, order]), predictor(maps)[:, order])
        with torch.no_grad():
            predictor.bias[2] += 5
        assert (predictor(maps).softmax(1).argmax(1) == 2).sum() >= 1
        assert predictor.hidden.weight.shape == (4, 16) and predictor.score.weight.shape == (1, 4)

    def test_method_predicts_from_the_teachers_map_and_learns_to(self, sized, layers, batch):
        method = AFDS.build(sized([(4, 8, 8), (6, 4, 4)], [(4, 8, 8), (9, 2, 2)])).double()
        student = Outputs(torch.zeros(8, 10), tuple(layers(8, [(4, 8, 8), (6, 4, 4)], 0.7)))
        teacher = Outputs(torch.zeros(8, 10), tuple(layers(8, [(4, 8, 8), (9, 2, 2)], 1.3)))
        (term,) = method.losses(student, teacher, batch).values()
        brought = [connector(maps) for connector, maps in zip(method.connectors, student.features)]
        predicted = [predictor(maps) for predictor, maps in zip(method.predictors, teacher.features)]
        torch.testing.assert_close(term.value, sum(map(afds_loss, brought, teacher.features, predicted)))
        term.value.backward()
        assert all(p.grad is not None for p in method.parameters()) and term.weight == 1

    def test_method_refuses_a_negative_weight(self):
        with pytest.raises(Refusal, match="weight must be at least 0, got -1"):
            AFDS((((4, 4, 4), (4, 4, 4)),), ((0, 0),), weight=-1.0)
