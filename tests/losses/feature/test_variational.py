"""What a reader may rely on in variational information distillation, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses import fitnet_loss, vid_loss
from kdcore.losses.feature.variational import VID
from kdcore.types import Outputs, Refusal


@pytest.fixture
def logits(sines) -> torch.Tensor:
    return sines(6, speed=1.9).requires_grad_()


def logit_of(variance: float, count: int) -> torch.Tensor:
    return torch.full((count,), math.log(math.expm1(variance - 1e-5)), dtype=torch.float64)


class TestVID:
    def test_value_worked_by_hand(self):
        student, teacher = torch.zeros(1, 2, 1, 2).double(), torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]]).double()
        value = vid_loss(student, teacher, torch.cat([logit_of(1.0, 1), logit_of(4.0, 1)]))
        assert value.item() == pytest.approx(((5 / 1 + 0) + (4 / 4 + math.log(4))) / 4, rel=1e-9)

    def test_is_the_equation(self, maps, logits):
        variances = [math.log(1 + math.exp(a)) + 1e-5 for a in logits.tolist()]
        each = []
        for s, t in zip(*(m.flatten(2).tolist() for m in maps)):
            terms = [((a - b) ** 2 / v + math.log(v)) / 2 for x, y, v in zip(s, t, variances) for a, b in zip(x, y)]
            each.append(sum(terms) / len(terms))
        assert vid_loss(*maps, logits, reduction="none").tolist() == pytest.approx(each, rel=1e-9)

    def test_agrees_with_other_peoples_code(self, maps, logits, sines, reference, found, theirs):
        for known in reference("vid"):
            value = vid_loss(maps[0], sines(*known["teacher"], speed=1.3), logits)
            assert found(value, maps[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_gradients_of_the_variances_are_right(self, maps, logits):
        assert torch.autograd.gradcheck(lambda a: vid_loss(maps[0].detach(), maps[1], a), [logits])

    def test_at_variance_one_it_is_half_the_mean_square(self, maps):
        value = vid_loss(*maps, logit_of(1.0, 6))
        torch.testing.assert_close(value, fitnet_loss(*maps, form="mean") / 2)

    def test_the_best_variance_is_the_mean_square_of_a_channel(self, maps):
        student, teacher = maps
        best = (student - teacher).square().mean((0, 2, 3)).detach()
        logits = (best - 1e-5).expm1().log().requires_grad_()
        (gradient,) = torch.autograd.grad(vid_loss(student, teacher, logits), logits)
        assert gradient.abs().max() < 1e-12
        for other in (logits + 0.1, logits - 0.1):
            assert vid_loss(student, teacher, other) > vid_loss(student, teacher, logits)

    def test_has_any_sign_and_a_floor(self, maps):
        _, teacher = maps
        lowest = vid_loss(teacher, teacher, torch.full((6,), -1e4))
        assert lowest.item() == pytest.approx(math.log(1e-5) / 2)
        assert vid_loss(teacher, teacher, torch.full((6,), 1e4)) > 1

    def test_larger_maps_are_averaged_down_to_the_smaller(self, maps, logits, sines):
        large = sines(4, 6, 8, 8, speed=1.3)
        small = vid_loss(maps[0], F.avg_pool2d(large, 2), logits)
        torch.testing.assert_close(vid_loss(maps[0], large, logits), small)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"variance_logits": torch.zeros(5)}, r"variance_logits must have shape \(6,\), one a channel, got \(5,\)"),
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, "same number of channels, got 6 and 5"),
            ({"floor": 0.0}, "floor must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, logits, change, says):
        names = ("student_features", "teacher_features", "variance_logits")
        with pytest.raises(ValueError, match=says):
            vid_loss(**dict(zip(names, (*maps, logits))) | change)

    def test_variances_start_where_told_and_reach_the_optimiser(self, trained):
        fresh = VID(((4, 6),), ((0, 0),))
        (regression,) = fresh.regressions
        started = F.softplus(regression.variance_logits) + 1e-5
        torch.testing.assert_close(started, torch.full((6,), 5.0))
        assert any(p is regression.variance_logits for module in fresh.adapters() for p in module.parameters())
        (method,) = trained(VID.build, steps=6).scheme.methods
        moved = [regression.variance_logits - regression.variance_logits[0] for regression in method.regressions]
        assert all(each[1:].abs().max() > 0 for each in moved)  # channels that differ have left the common start

    def test_method_sums_stages_and_averages_a_larger_student_before_its_regression(self, layers, sized, batch):
        shapes = [(4, 8, 8), (6, 4, 4)], [(5, 4, 4), (9, 4, 4)]
        method = VID.build(sized(*shapes)).double()
        student, teacher = (
            Outputs(torch.zeros(8, 10), tuple(layers(8, each, speed))) for each, speed in zip(shapes, (0.7, 1.3))
        )
        (term,) = method.losses(student, teacher, batch).values()
        brought = F.avg_pool2d(student.features[0], 2), student.features[1]
        values = [
            vid_loss(regression(mine), theirs, regression.variance_logits)
            for regression, mine, theirs in zip(method.regressions, brought, teacher.features)
        ]
        torch.testing.assert_close(term.value, sum(values))
        assert term.weight == 1

    @pytest.mark.parametrize(
        ("settings", "says"),
        [({"variance": 0.0}, "variance must be above 0"), ({"weight": -1.0}, "weight must be at least 0, got -1")],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            VID(((4, 6),), ((0, 0),), **settings)
