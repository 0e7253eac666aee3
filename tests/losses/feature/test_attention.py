"""What a reader may rely on in attention transfer, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap
from torch.testing import assert_close

from kdcore.losses import at_loss, at_survey_loss
from kdcore.losses.feature.attention import AT, _MeanSquare
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


def attention(maps: list, power: float, root: bool) -> list[float]:
    """One example's map, position by position: the sum over channels, or the mean's root."""
    height, width = len(maps[0]), len(maps[0][0])
    found = [sum(abs(channel[i][j]) ** power for channel in maps) for i in range(height) for j in range(width)]
    return [(a / len(maps)) ** (1 / power) for a in found] if root else found


def normalised(attention_map: list[float], by_sum: bool) -> list[float]:
    whole = sum(attention_map) if by_sum else math.sqrt(sum(a * a for a in attention_map))
    return [a / whole for a in attention_map]


def setting(student: tuple, teacher: tuple) -> Setting:
    def outputs(features):
        return Outputs(torch.empty(2, 10, device="meta"), tuple(torch.empty(f, device="meta") for f in features))

    return Setting(outputs(student), outputs(teacher), classes=10, samples=100, teacher_network=nn.Identity())


class TestMeanSquare:
    """Over channels, with a gradient that is written by hand."""

    def test_value_and_gradients_are_those_of_the_plain_operations(self, maps):
        weight = torch.arange(64, dtype=torch.float64).view(4, 4, 4).sin()
        ours, plain = _MeanSquare.apply(maps[0]), maps[0].square().mean(1)
        assert torch.equal(ours, plain)
        given = [torch.autograd.grad((weight * made).sum(), maps[0])[0] for made in (ours, plain)]
        assert_close(*given, rtol=1e-12, atol=1e-12)

    def test_second_differences_agree(self):
        few = torch.arange(24, dtype=torch.float64).sin().view(2, 3, 2, 2).requires_grad_()
        assert gradcheck(_MeanSquare.apply, few) and gradgradcheck(_MeanSquare.apply, few)

    def test_examples_may_be_asked_one_by_one(self, maps):
        each = lambda one: _MeanSquare.apply(one[None]).sum()
        slopes = vmap(grad(each))(maps[0].detach())
        assert_close(slopes, maps[0].detach() / 3, rtol=1e-12, atol=1e-12)  # twice the value over six channels


class TestAT:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[1.0, 0.0]], [[1.0, 1.0]]]])  # squares summed over channels: (2, 1)
        teacher = torch.tensor([[[[0.0, 2.0]]]])  # (0, 4), of one channel
        apart = 2 - 2 / math.sqrt(5)  # the squared distance of (2, 1) / sqrt(5) and (0, 1)
        assert at_loss(student, teacher).item() == pytest.approx(math.sqrt(apart) / 2, rel=1e-6)
        assert at_loss(student, teacher, form="mean-square").item() == pytest.approx(apart / 2, rel=1e-6)

    @pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
    @pytest.mark.parametrize("form", ["norm", "mean-square"])
    def test_is_the_equation_of_the_paper(self, maps, power, form):
        each = []
        for s, t in zip(*(m.tolist() for m in maps)):
            q, p = (normalised(attention(m, power, root=False), by_sum=False) for m in (s, t))
            apart = sum((a - b) ** 2 for a, b in zip(q, p))
            each.append(math.sqrt(apart) / 2 if form == "norm" else apart / 16)
        found = at_loss(*maps, power=power, form=form, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-9)

    def test_agrees_with_the_authors_and_other_peoples_code(self, maps, sines, reference, found, theirs):
        for known in reference("at"):
            value = at_loss(maps[0], sines(*known["teacher"], speed=1.3), **known["settings"])
            mine = found(value, maps[0], known["gradient_at"], known.get("factor", 1.0))
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    @pytest.mark.parametrize("form", ["norm", "mean-square"])
    def test_zero_when_equal_up_to_a_factor_for_each_example_and_only_then(self, maps, form):
        _, teacher = maps
        louder = teacher * torch.tensor([1.0, 2.0, 0.1, 7.0])[:, None, None, None]
        assert at_loss(louder, teacher, form=form).item() == pytest.approx(0, abs=1e-7)
        assert at_loss(teacher + 1, teacher, form=form) > 1e-6

    def test_does_not_care_for_channels_or_signs_but_for_positions(self, maps):
        student, teacher = maps
        value = at_loss(student, teacher)
        torch.testing.assert_close(at_loss(-student[:, [3, 0, 5, 1, 2, 4]], teacher), value)
        torch.testing.assert_close(at_loss(student.repeat(1, 3, 1, 1), teacher), value)
        assert abs(at_loss(student.flip(2), teacher) - value) > 1e-4
        torch.testing.assert_close(at_loss(student.flip(2), teacher.flip(2)), value)

    def test_larger_maps_are_averaged_down_to_the_smaller(self, maps, sines):
        student, _ = maps
        large = sines(4, 3, 8, 8, speed=1.3)
        torch.testing.assert_close(at_loss(student, large), at_loss(student, F.avg_pool2d(large, 2)))
        torch.testing.assert_close(at_loss(large, student.detach()), at_loss(F.avg_pool2d(large, 2), student.detach()))

    def test_dead_maps_cost_something_and_stay_finite(self, maps):
        dead = torch.zeros(4, 6, 4, 4, dtype=torch.float64, requires_grad=True)
        for power in (1.0, 2.0, 3.0):
            value = at_loss(dead, maps[1], power=power)
            assert value > 0 and torch.autograd.grad(value, dead)[0].isfinite().all()
        assert at_loss(dead, dead.detach()) == 0

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_features": torch.zeros(3, 6, 4, 4)}, ValueError, "must hold the same examples, got 4 and 3"),
            (
                {"student_features": torch.zeros(4, 6)},
                ValueError,
                r"student_features must have shape \(batch, channels",
            ),
            ({"power": 0.5}, ValueError, "power must be at least 1, got 0.5"),
            ({"teacher_features": torch.zeros(4, 6, 4, 4).int()}, TypeError, "teacher_features must hold floating"),
        ],
    )
    @pytest.mark.parametrize("loss", [at_loss, at_survey_loss])
    def test_bad_input_is_answered_in_a_sentence(self, maps, loss, change, error, says):
        with pytest.raises(error, match=says):
            loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    @pytest.mark.parametrize("says", ["form must be 'norm' or 'mean-square', got 'code'"])
    def test_unknown_form_is_answered_in_a_sentence(self, maps, says):
        with pytest.raises(ValueError, match=says):
            at_loss(*maps, form="code")

    def test_method_sums_the_stages_in_the_form_of_the_tables(self, maps, sines):
        student, teacher = (Outputs(m[:, :, 0, 0], (m, m[:, :2], 2 + m)) for m in maps)
        (term,) = AT().losses(student, teacher, batch_of(4)).values()
        one = [at_loss(s, t, form="mean-square") for s, t in zip(student.features, teacher.features)]
        assert term.weight == 1000 and term.value.item() == pytest.approx(sum(one).item())

    def test_method_takes_the_named_pairs(self, maps):
        student, teacher = (Outputs(m[:, :, 0, 0], (m, m[:, :2], 2 + m)) for m in maps)
        method = AT.build(setting(((2, 4, 8, 8),) * 3, ((2, 6, 8, 8),) * 3), pairs=[[0, 2]], form="norm")
        (term,) = method.losses(student, teacher, batch_of(4)).values()
        assert term.value == at_loss(student.features[0], teacher.features[2])

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (((2, 4, 8, 8),), ((2, 4, 8, 8),) * 2, {}, "the student has 1 stages and the teacher 2: name the pairs"),
            ((), (), {}, "matched stage by stage, and these networks name no stage"),
            (((2, 4, 8, 8),), ((2, 4, 8, 8),), {"pairs": [[0, 3]]}, "the teacher has stages 0 .. 0, got 3"),
            (((2, 4),), ((2, 4, 8, 8),), {}, r"stage 0 of the student must be a map .* got \(2, 4\)"),
            (((2, 4, 8, 8),), ((2, 4, 8, 8),), {"weight": -1.0}, "weight must be at least 0, got -1"),
            (((2, 4, 8, 8),), ((2, 4, 8, 8),), {"form": "code"}, "form must be 'mean-square', 'norm' or 'survey'"),
        ],
    )
    def test_method_refuses_an_impossible_pair(self, student, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            AT.build(setting(student, teacher), **settings)


class TestATSurvey:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[3.0, 0.0]], [[4.0, 5.0]]]])  # mean squares 12.5, 12.5: shares 1/2, 1/2
        teacher = torch.tensor([[[[1.0, 3.0]]]])  # shares 1/4, 3/4
        assert at_survey_loss(student, teacher).item() == pytest.approx((1 / 16 + 1 / 16) / 2, rel=1e-6)

    @pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
    def test_is_the_equation_as_printed(self, maps, power):
        each = []
        for s, t in zip(*(m.tolist() for m in maps)):
            q, p = (normalised(attention(m, power, root=True), by_sum=True) for m in (s, t))
            each.append(sum((a - b) ** 2 for a, b in zip(q, p)) / 16)
        assert at_survey_loss(*maps, power=power, reduction="none").tolist() == pytest.approx(each, rel=1e-9)

    def test_zero_when_equal_up_to_a_factor_for_each_example(self, maps):
        _, teacher = maps
        louder = teacher * torch.tensor([1.0, 2.0, 0.1, 7.0])[:, None, None, None]
        assert at_survey_loss(louder, teacher).item() == pytest.approx(0, abs=1e-15)
        assert at_survey_loss(teacher + 1, teacher) > 1e-6

    def test_is_not_the_papers_by_a_mere_factor(self):
        student = torch.ones(2, 1, 2, 2)
        teacher = torch.tensor([[1.0, 0.0, 0.0, 0.0], [2.0, 1.0, 1.0, 1.0]]).view(2, 1, 2, 2)
        printed = at_survey_loss(student, teacher, reduction="none")
        papers = at_loss(student, teacher, form="mean-square", reduction="none")
        far, near = (printed / papers).tolist()  # the root and the sum change the maps themselves (errata Z-06, Z-07)
        assert far == pytest.approx(3 / 4, rel=1e-5) and near < 0.1

    def test_dead_maps_stay_finite(self, maps):
        dead = torch.zeros(4, 6, 4, 4, dtype=torch.float64, requires_grad=True)
        value = at_survey_loss(dead, maps[1])
        assert value > 0 and torch.autograd.grad(value, dead)[0].isfinite().all()

    @pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
    def test_a_position_where_nothing_is_active_gets_no_gradient_and_spoils_no_other(self, maps, power):
        holed = maps[0].detach().clone()
        holed[:, :, 1, 2] = 0
        slope = torch.autograd.grad(at_survey_loss(holed.requires_grad_(), maps[1], power=power), holed)[0]
        assert slope.isfinite().all() and not slope[:, :, 1, 2].any() and (slope[:, :, 0, 0] != 0).all()

    def test_method_takes_it_where_told(self, maps):
        student, teacher = (Outputs(m[:, :, 0, 0], (m,)) for m in maps)
        (term,) = AT([(0, 0)], form="survey").losses(student, teacher, batch_of(4)).values()
        assert term.value == at_survey_loss(*maps)


def batch_of(count: int) -> Batch:
    data = Data(torch.zeros(count, 1), torch.zeros(count, dtype=torch.long), Task(), {})
    return Batch(data, torch.arange(count), 0, Clock(0, 100, 10))
