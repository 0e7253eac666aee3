"""What a reader may rely on in the overhaul of feature distillation, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import fitnet_loss, ofd_loss
from kdcore.losses.feature.overhaul import OFD, Margins, closed_margins, measured_margins
from kdcore.types import Outputs, Refusal


@pytest.fixture
def margins() -> torch.Tensor:
    return torch.tensor([-2.0, -0.5, -1.0, 0.0, -3.0, -0.1], dtype=torch.float64)


@pytest.fixture
def norm(sines) -> nn.BatchNorm2d:
    """As the reference numbers were made: one channel that is hardly ever negative."""
    norm = nn.BatchNorm2d(6).double()
    with torch.no_grad():
        norm.weight.copy_(sines(6, speed=0.9))
        norm.bias.copy_(sines(6, speed=1.7) / 2)
        norm.weight[3], norm.bias[3] = 0.1, 3.0
    return norm


class TestOFD:
    def test_value_worked_by_hand(self):
        student = torch.tensor([-3.0, 0.0, -0.2, 1.0, -1.0]).view(1, 1, 1, 5)
        teacher = torch.tensor([-2.0, -2.0, -0.5, 3.0, 3.0]).view(1, 1, 1, 5)
        value = ofd_loss(student, teacher, torch.tensor([-1.0]))  # targets -1, -1, -0.5, 3, 3
        assert value.item() == pytest.approx(0 + 1 + 0.3**2 + 4 + 16)

    def test_is_the_equation_case_by_case(self, maps, margins):
        each = []
        for s, t in zip(*(m.flatten(2).tolist() for m in maps)):
            total = 0.0
            for mine, theirs, margin in zip(s, t, margins.tolist()):
                for a, b in zip(mine, theirs):
                    target = max(b, margin)
                    total += 0.0 if a <= target <= 0 else (a - target) ** 2
            each.append(total)
        assert ofd_loss(*maps, margins, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_and_other_peoples_code(self, maps, norm, reference, found, theirs):
        for known in reference("ofd"):
            margins = closed_margins(norm.weight, norm.bias)
            assert margins.tolist() == pytest.approx(known["margins"], rel=1e-6)  # theirs are in single precision
            mine = found(ofd_loss(*maps, torch.tensor(known["margins"]).to(maps[0])), maps[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_leaves_a_student_alone_that_is_below_where_the_teacher_is_silent(self, maps, margins):
        student, teacher = maps
        (gradient,) = torch.autograd.grad(ofd_loss(student, teacher, margins), student)
        target = torch.maximum(teacher, margins[:, None, None])
        silent = (student <= target) & (target <= 0)
        moved = ~silent & (student != target)
        assert silent.any() and gradient[silent].abs().max() == 0 and (gradient[moved] != 0).all()

    def test_is_a_plain_hint_where_the_teacher_is_above_zero(self, maps, margins):
        student, teacher = maps
        value = ofd_loss(student, teacher.abs() + 0.1, margins)
        torch.testing.assert_close(value, 2 * fitnet_loss(student, teacher.abs() + 0.1))

    def test_nothing_of_the_teacher_below_the_margin_is_seen(self, maps, margins):
        student, teacher = maps
        deeper = torch.where(teacher < margins[:, None, None], 10 * teacher, teacher)
        torch.testing.assert_close(ofd_loss(student, deeper, margins), ofd_loss(student, teacher, margins))
        assert ofd_loss(student, teacher, 3 * margins) != ofd_loss(student, teacher, margins)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"margins": torch.zeros(5)}, r"margins must have shape \(6,\), one a channel, got \(5,\)"),
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, "same number of channels, got 6 and 5"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, margins, change, says):
        names = ("student_features", "teacher_features", "margins")
        with pytest.raises(ValueError, match=says):
            ofd_loss(**dict(zip(names, (*maps, margins))) | change)

    def test_closed_margins_are_the_mean_of_what_lies_below_zero(self):
        scale, shift = torch.tensor([1.0, -2.0, 0.5, 3.0]).double(), torch.tensor([0.0, 1.0, -1.0, -20.0]).double()
        grid = torch.linspace(-60, 0, 600_001, dtype=torch.float64)[:, None]
        density = (-((grid - shift) / scale).square() / 2).exp()
        wanted = (grid * density).sum(0) / density.sum(0)
        torch.testing.assert_close(closed_margins(scale, shift), wanted, rtol=1e-4, atol=1e-4)

    def test_closed_margins_stay_finite_for_channels_that_never_or_always_fall_below(self):
        scale, shift = torch.tensor([0.1, 0.1, 0.0, 0.0]), torch.tensor([3.0, -300.0, -2.0, 2.0])
        margins = closed_margins(scale, shift)
        assert margins.tolist() == pytest.approx([-0.3, -300.0, -2.0, 0.0], abs=1e-3)

    def test_measured_margins_are_means_over_a_batch(self, maps):
        margins = measured_margins(maps[1])
        for channel in range(6):
            below = [value for value in maps[1][:, channel].flatten().tolist() if value < 0]
            assert margins[channel].item() == pytest.approx(sum(below) / len(below))
        assert measured_margins(maps[1].abs()).abs().max() == 0

    def test_margins_come_from_the_norms_that_the_teacher_ends_its_stages_with(self, small, trained):
        _, teacher, _ = small
        (method,) = trained(OFD.build, steps=2).scheme.methods
        for number, norm in enumerate(teacher.norms):
            wanted = closed_margins(norm.weight, norm.bias)
            assert torch.equal(method.margins(number, torch.zeros(1, len(wanted), 1, 1)), wanted)

    def test_without_norms_every_batch_is_measured(self, maps, batch):
        method = OFD(((6, 6),), ((0, 0),)).double()
        student, teacher = (Outputs(m[:, :, 0, 0], (m,), (m,)) for m in maps)
        (term,) = method.losses(student, teacher, batch).values()
        wanted = ofd_loss(method.connectors[0](maps[0]), maps[1], measured_margins(maps[1]))
        torch.testing.assert_close(term.value, wanted)

    def test_deeper_stages_count_twice_as_much_each(self, layers, batch):
        method = OFD(((6, 6),) * 3).double()
        method.margins = Margins([6, 6, 6])
        student, teacher = (
            Outputs(torch.zeros(8, 10), (), tuple(layers(8, [(6, 4, 4)] * 3, speed))) for speed in (0.7, 1.3)
        )
        (term,) = method.losses(student, teacher, batch).values()
        pairs = zip(method.connectors, student.preactivations, teacher.preactivations)
        one, two, three = (ofd_loss(connect(s), t, measured_margins(t)) for connect, s, t in pairs)
        torch.testing.assert_close(term.value, one / 4 + two / 2 + three)
        assert term.weight == 0.001

    def test_an_interruption_changes_nothing(self, trained):
        whole, part, rest = (trained(OFD.build, steps=4, stop=stop) for stop in (None, 2, 0))
        rest.restore(part.state())
        while rest.active:
            rest.advance()
        ends = (run.scheme.state_dict() for run in (whole, rest))
        assert all(torch.equal(one, other) for one, other in zip(*(end.values() for end in ends)))

    def test_method_averages_a_larger_map_down(self, layers, batch):
        method = OFD(((4, 6),), ((0, 0),)).double()
        (mine,), (theirs,) = layers(8, [(4, 4, 4)], 0.7), layers(8, [(6, 8, 8)], 1.3)
        answers = [Outputs(torch.zeros(8, 10), (m,), (m,)) for m in (mine, theirs)]
        (term,) = method.losses(*answers, batch).values()
        small = F.avg_pool2d(theirs, 2)
        torch.testing.assert_close(term.value, ofd_loss(method.connectors[0](mine), small, measured_margins(theirs)))

    def test_method_refuses_networks_without_pre_activations(self, sized):
        with pytest.raises(Refusal, match="matched before its ReLU, and the student names no pre-activations"):
            OFD.build(sized([(4, 8, 8)], [(4, 8, 8)]))

    def test_connectors_start_as_the_authors_start_them(self):
        (connector,) = OFD(((64, 100),), ((0, 0),)).connectors
        assert connector[0].weight.std().item() == pytest.approx(math.sqrt(2 / 100), rel=0.05)
