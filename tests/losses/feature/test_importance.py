"""What a reader may rely on in DELTA, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses import delta_loss, fitnet_loss
from kdcore.losses.feature.importance import DELTA, ENTRIES, measured_increases
from kdcore.types import Batch, Clock, Outputs, Refusal


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


@pytest.fixture
def increases(sines) -> torch.Tensor:
    return sines(6, speed=1.9)


class TestDELTA:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[[[1.0, 2.0]], [[1.0, 1.0]]]]), torch.zeros(1, 2, 1, 2)
        value = delta_loss(student, teacher, torch.tensor([3.0, 1.0]).log())
        assert value.item() == pytest.approx(0.75 * 5 + 0.25 * 2, rel=1e-6)

    @pytest.mark.parametrize("form", ["penalty", "released"])
    def test_is_the_equation(self, maps, increases, form):
        raw, scale = increases.tolist(), 1.0
        if form == "released":
            centre = sum(raw) / 6
            spread = math.sqrt(sum((value - centre) ** 2 for value in raw) / 6)
            raw, scale = [(value - centre) / spread / 5 for value in raw], 6 / (2 * 16)
        weights, each = softmax(raw), []
        for s, t in zip(*(m.flatten(2).tolist() for m in maps)):
            apart = [sum((a - b) ** 2 for a, b in zip(mine, theirs)) for mine, theirs in zip(s, t)]
            each.append(scale * sum(w * a for w, a in zip(weights, apart)))
        found = delta_loss(*maps, increases, form=form, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_code(self, maps, increases, reference, found, theirs):
        for known in reference("delta"):
            value = delta_loss(*maps, increases, **known["settings"])
            mine = found(value, maps[0], known["gradient_at"], known["factor"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_equal_increases_are_a_plain_hint(self, maps):
        value = delta_loss(*maps, torch.full((6,), 0.3))
        torch.testing.assert_close(value, fitnet_loss(*maps) * 2 / 6)

    def test_only_differences_of_increases_count_and_the_released_form_forgets_their_scale(self, maps, increases):
        torch.testing.assert_close(delta_loss(*maps, increases + 3), delta_loss(*maps, increases))
        released = delta_loss(*maps, increases, form="released")
        torch.testing.assert_close(delta_loss(*maps, 7 * increases, form="released"), released)
        assert abs(delta_loss(*maps, 7 * increases) - delta_loss(*maps, increases)) > 0.1

    def test_a_channel_that_nothing_is_lost_without_weighs_least(self, maps, increases):
        (gradient,) = torch.autograd.grad(delta_loss(*maps, increases), maps[0])
        per_channel = gradient.square().sum((0, 2, 3)) / (maps[0] - maps[1]).square().sum((0, 2, 3))
        assert per_channel.argsort().equal(increases.argsort())

    def test_increases_are_a_constant(self, maps, increases):
        increases.requires_grad_()
        delta_loss(*maps, increases).backward()
        assert increases.grad is None

    def test_equal_increases_have_no_spread_to_be_divided_by(self, maps):
        assert delta_loss(*maps, torch.zeros(6), form="released").isfinite()

    def test_larger_maps_are_averaged_down_to_the_smaller(self, maps, increases, sines):
        large = sines(4, 6, 8, 8, speed=1.3)
        small = delta_loss(maps[0], F.avg_pool2d(large, 2), increases)
        torch.testing.assert_close(delta_loss(maps[0], large, increases), small)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"loss_increases": torch.zeros(5)}, r"loss_increases must have shape \(6,\), one a channel, got \(5,\)"),
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, "same number of channels, got 6 and 5"),
            ({"form": "code"}, "form must be 'penalty' or 'released', got 'code'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, increases, change, says):
        names = ("student_features", "teacher_features", "loss_increases")
        with pytest.raises(ValueError, match=says):
            delta_loss(**dict(zip(names, (*maps, increases))) | change)

    def test_increases_are_measured_by_setting_each_channel_to_zero(self, small):
        _, teacher, data = small
        batch = Batch(data, torch.arange(0, 16, 2), 0, Clock(0, 10, 2))
        images, targets = data.inputs[::2], data.targets[::2]
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        low = teacher(images).features[0]
        wanted = []
        for channel in range(5):
            kept = low.clone()
            kept[:, channel] = 0
            high = teacher.norms[1](teacher.high(kept)).relu().mean((2, 3))
            wanted.append(
                F.cross_entropy(teacher.head(high), targets) - F.cross_entropy(teacher(images).logits, targets)
            )
        torch.testing.assert_close(measured_increases(teacher, batch, 0), torch.stack(wanted), rtol=1e-4, atol=1e-6)
        assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
        deepest = measured_increases(teacher, batch, 1)
        assert deepest.shape == (10,) and deepest.abs().max() > 1e-4

    def test_measuring_is_not_narrowed_by_autocast(self, small):
        _, teacher, data = small
        batch = Batch(data, torch.arange(16), 0, Clock(0, 10, 2))
        with torch.autocast("cpu", torch.bfloat16):
            inside = measured_increases(teacher, batch, 0)
        assert inside.dtype == torch.float32 and torch.equal(inside, measured_increases(teacher, batch, 0))

    def test_method_measures_once_at_the_first_step(self, trained):
        run = trained(DELTA.build, steps=4, stop=1)
        (method,) = run.scheme.methods
        first = [method.increases0.clone(), method.increases1.clone()]
        while run.active:
            run.advance()
        assert all(each.abs().max() > 0 for each in first)
        assert torch.equal(first[0], method.increases0) and torch.equal(first[1], method.increases1)

    def test_a_student_comes_nearer_once_the_weights_are_measured(self, trained):
        run = trained(DELTA.build, steps=60, stop=1)
        first = run.watch.read("main")["student/delta"]
        while run.active:
            run.advance()
        assert run.failed is None and run.curve[-1]["terms"]["student/delta"] < 0.8 * first

    def test_what_was_measured_survives_an_interruption(self, trained):
        whole, part = trained(DELTA.build, steps=4), trained(DELTA.build, steps=4, stop=2)
        rest = trained(DELTA.build, steps=4, stop=0)
        rest.restore(part.state())
        while rest.active:
            rest.advance()
        ends = (run.scheme.state_dict() for run in (whole, rest))
        assert all(torch.equal(one, other) for one, other in zip(*(end.values() for end in ends)))

    def test_method_brings_channels_together_where_they_differ_and_only_there(self, sized, layers, batch):
        method = DELTA.build(sized([(4, 8, 8), (6, 4, 4)], [(4, 8, 8), (9, 2, 2)])).double()
        assert [sum(p.numel() for p in c.parameters()) for c in method.connectors] == [0, 54]
        student = Outputs(torch.zeros(8, 10), tuple(layers(8, [(4, 8, 8), (6, 4, 4)], 0.7)))
        teacher = Outputs(torch.zeros(8, 10), tuple(layers(8, [(4, 8, 8), (9, 2, 2)], 1.3)))
        (term,) = method.losses(student, teacher, batch).values()
        first = delta_loss(student.features[0], teacher.features[0], torch.zeros(4), form="released")
        second = delta_loss(
            method.connectors[1](student.features[1]), teacher.features[1], torch.zeros(9), form="released"
        )
        torch.testing.assert_close(term.value, first + second)
        assert term.weight == 0.64 and not method.zero_at_agreement

    def test_the_surveys_entry_takes_the_plain_penalty(self):
        settings = {entry.key: entry.settings for entry in ENTRIES}["delta-huang2022"]
        assert DELTA(((4, 4),), ((0, 0),), **settings).form == "penalty"

    @pytest.mark.parametrize(
        ("settings", "says"),
        [({"images": 0}, "images must be above 0, got 0"), ({"form": "code"}, "form must be 'penalty' or 'released'")],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            DELTA(((4, 4),), ((0, 0),), **settings)
