"""What a reader may rely on in samples that support the boundary, one claim a test."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from kdcore.losses import bss_loss, kd_loss
from kdcore.losses.adversarial.boundary import BSS, boundary_supporting_samples, other_class
from kdcore.randomness import generator, seeded
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task

W, V = (5, 12), (5, 5)


@pytest.fixture
def network(sines):
    """The network of the reference numbers: smooth, on inputs of 1 x 3 x 4."""
    first, second = sines(*W, speed=0.9) / 4, sines(*V, speed=0.5) / 4
    return lambda x: 3 * torch.tanh(x.flatten(1) @ first.T) @ second.T


@pytest.fixture
def inputs(sines):
    return sines(6, 1, 3, 4, speed=0.37) / 4


class Net(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body, self.head = nn.Linear(12, width), nn.Linear(width, 5)

    def forward(self, images):
        return Outputs(self.head(torch.tanh(self.body(images.flatten(1)))))


@pytest.fixture
def asked():
    """A student, a resting teacher that is right about all, and both asked about a batch of twelve images."""
    student, teacher = (seeded(lambda width=width: Net(width), width) for width in (6, 8))
    images = torch.rand(12, 1, 3, 4, generator=generator("images"))
    targets = teacher(images).logits.argmax(1).detach()
    data = Data(images, targets, Task(), {"weak": lambda x, random: x}, classes=5)
    batch = Batch(data, torch.arange(12), 0, Clock(0, 100, 10))
    return batch.outputs(student), batch.outputs(teacher.requires_grad_(False)), batch, student, teacher


class TestBSS:
    def test_value_worked_by_hand(self):
        student, teacher = torch.zeros(1, 2), torch.tensor([[0.75, 0.25]]).log()
        by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        assert bss_loss(student, teacher, temperature=1.0).item() == pytest.approx(by_hand, rel=1e-6)

    def test_is_the_equation(self, pair):
        student, teacher = ([[z / 3 for z in row] for row in one.tolist()] for one in pair)
        log = lambda row: [z - math.log(sum(map(math.exp, row))) for z in row]
        each = [sum(math.exp(p) * (p - q) for p, q in zip(log(t), log(s))) for s, t in zip(student, teacher)]
        assert bss_loss(*pair, reduction="none").tolist() == pytest.approx(each, rel=1e-9)

    def test_agrees_with_other_peoples_code(self, pair, reference, found, theirs):
        cases = [known for known in reference("bss") if "settings" in known]
        assert len(cases) == 2
        for known in cases:
            mine = found(bss_loss(*pair, **known["settings"]), pair[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_is_distillation_without_the_squared_temperature(self, pair):
        for temperature in (1.0, 3.0, 8.0):
            scaled = temperature**2 * bss_loss(*pair, temperature=temperature)
            torch.testing.assert_close(scaled, kd_loss(*pair, temperature=temperature))

    def test_only_what_counts_is_averaged(self, pair):
        mask = torch.tensor([True, False, True] + 5 * [False])
        each = bss_loss(*pair, reduction="none")
        torch.testing.assert_close(bss_loss(*pair, mask), (each[0] + each[2]) / 2)
        torch.testing.assert_close(bss_loss(*pair, mask, reduction="none"), each * mask)
        slope = torch.autograd.grad(bss_loss(*pair, mask), pair[0])[0]
        assert slope[0].any() and not slope[1].any()

    def test_is_zero_with_no_slope_where_none_counts(self, pair):
        value = bss_loss(*pair, torch.zeros(8, dtype=torch.bool))
        assert value == 0 and not torch.autograd.grad(value, pair[0])[0].any()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"teacher_logits": torch.zeros(8, 9)}, r"same shape, got \(8, 10\) and \(8, 9\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, says):
        with pytest.raises(ValueError, match=says):
            bss_loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_weights_fall_as_in_the_authors_code(self):
        """Their epoch of 80: max(3 (1 - e / 80), 0) + 1, and max(2 (1 - 4 / 3 e / 80), 0)."""
        method = BSS()
        for epoch in (0, 20, 60, 70, 80):
            plain, attacked = max(3 * (1 - epoch / 80), 0) + 1, max(2 * (1 - 4 / 3 * epoch / 80), 0)
            assert method.kd_weight_at(epoch / 80) == pytest.approx(plain)
            assert method.weight_at(epoch / 80) == pytest.approx(attacked, abs=1e-12)

    def test_method_distils_the_batch_and_the_moved_samples(self, asked):
        said, taught, batch, student, teacher = asked
        method = BSS(samples=4)
        terms = method.losses(said, taught, batch)
        chosen, counted = method._chosen(said, taught, batch)
        images = method._moved(taught, batch, chosen)
        torch.testing.assert_close(terms["bss_kd"].value, bss_loss(said.logits, taught.logits))
        expected = bss_loss(student(images).logits, teacher(images).logits, counted)
        torch.testing.assert_close(terms["bss"].value, expected)

    def test_those_are_attacked_that_both_know_and_see_most_differently(self, asked):
        said, taught, batch, *_ = asked
        chosen, counted = BSS(samples=4)._chosen(said, taught, batch)
        p, q, y = said.logits.softmax(1), taught.logits.softmax(1), batch.targets
        apart = {}
        for at in range(12):
            if p[at].argmax() == q[at].argmax() == y[at]:
                apart[at] = sum((p[at, c] - q[at, c]).item() ** 2 for c in range(5) if c != y[at])
        best = sorted(apart, key=apart.get, reverse=True)[:4]
        assert chosen[counted].tolist() == best and counted.sum() == len(best)

    def test_nobody_counts_where_the_student_knows_nothing(self, asked):
        said, taught, batch, *_ = asked
        wrong = replace(said, logits=-said.logits.detach() * 0 - torch.nn.functional.one_hot(batch.targets, 5) * 1.0)
        wrong = replace(wrong, ask=said.ask)
        term = BSS().losses(wrong, taught, batch)["bss"]
        assert term.value == 0

    def test_gradient_reaches_the_student_and_never_the_teacher(self, asked):
        said, taught, batch, student, teacher = asked
        terms = BSS().losses(said, taught, batch)
        terms["bss"].value.backward()
        assert student.head.weight.grad.norm() > 0
        assert all(weight.grad is None and not weight.requires_grad for weight in teacher.parameters())
        assert batch.inputs.grad is None and batch.inputs._version == 0

    def test_same_step_same_samples_and_works_without_gradients(self, asked):
        said, taught, batch, *_ = asked
        first = BSS().losses(said, taught, batch)["bss"].value
        with torch.no_grad():
            torch.testing.assert_close(BSS().losses(said, taught, batch)["bss"].value, first)

    def test_images_kept_as_bytes_are_moved_as_numbers(self, asked):
        _, taught, batch, *_ = asked
        data = replace(batch.data, inputs=(255 * batch.data.inputs).round().byte())
        moved = BSS()._moved(taught, Batch(data, batch.index, 0, batch.clock), torch.arange(3))
        assert moved.is_floating_point() and moved.min() >= 0 and moved.max() <= 1
        assert (moved - batch.data.inputs[:3]).abs().max() < 0.5

    @pytest.mark.parametrize(
        ("shape", "settings", "says"),
        [
            ((2, 4, 7), {}, r"one answer an image, got logits of \(2, 4, 7\)"),
            ((2, 1), {}, "bss needs at least 2 classes, got 1"),
            ((2, 7), {"steps": 0}, "steps must be above 0, got 0"),
        ],
    )
    def test_refuses_what_cannot_be_attacked(self, shape, settings, says):
        outputs = Outputs(torch.empty(shape, device="meta"))
        with pytest.raises(Refusal, match=says):
            BSS.build(Setting(outputs, outputs, shape[-1], 100, nn.Identity()), **settings)


class TestAttack:
    def test_agrees_with_the_authors_code(self, network, inputs, reference):
        targets = torch.tensor([3, 1, 1, 1, 0, 0])
        cases = [known for known in reference("bss") if "attack" in known]
        assert len(cases) == 2
        for known in cases:
            moved = boundary_supporting_samples(network, inputs, targets, low=-2.5, high=2.5, **known["attack"])
            apart = moved - inputs
            mine = moved.sum().item(), apart.norm().item(), apart[tuple(known["gradient_at"])].item()
            assert mine == pytest.approx((known["value"], known["gradient_norm"], known["gradient"]), rel=1e-10)

    def test_ends_just_behind_the_boundary(self, network, inputs):
        base = network(inputs).argmax(1)
        moved = boundary_supporting_samples(network, inputs, (base + 1) % 5, step=0.01, steps=600, low=-3.0, high=3.0)
        best, second = network(moved).softmax(1).topk(2, dim=1).values.unbind(1)
        assert (network(moved).argmax(1) != base).all() and (best - second).max() < 0.02

    def test_one_step_is_the_formula(self, network, inputs):
        base, targets = network(inputs).argmax(1), torch.zeros(6, dtype=torch.long)
        moved = boundary_supporting_samples(network, inputs, targets, step=0.5, steps=1, low=-9.0, high=9.0)
        for at in range(6):
            x = inputs[at : at + 1].clone().requires_grad_()
            z = network(x)[0]
            ahead = z[base[at]] - z[0]
            (slope,) = torch.autograd.grad(ahead, x)
            length = slope.norm()
            step = 0.5 * (ahead + 1e-4) * slope / length if length else torch.zeros_like(slope)
            torch.testing.assert_close(moved[at : at + 1], (x - step).detach())

    def test_what_has_crossed_stays(self, network, inputs):
        targets = (network(inputs).argmax(1) + 1) % 5
        settings = {"step": 0.3, "low": -3.0, "high": 3.0}
        moved = boundary_supporting_samples(network, inputs, targets, steps=60, **settings)
        assert torch.equal(boundary_supporting_samples(network, inputs, targets, steps=80, **settings), moved)

    def test_keeps_to_the_range_of_inputs(self, network):
        inputs = torch.rand(6, 1, 3, 4, generator=generator("range"), dtype=torch.float64)
        moved = boundary_supporting_samples(network, inputs, torch.arange(6) % 5, step=99.0)
        assert moved.min() >= 0 and moved.max() <= 1

    def test_a_network_that_does_not_look_moves_nothing(self, inputs):
        blind = lambda x: 0 * x.flatten(1)[:, :5] + torch.arange(5.0)
        assert torch.equal(
            boundary_supporting_samples(blind, inputs.clamp(0, 1), torch.zeros(6).long()), inputs.clamp(0, 1)
        )


class TestOtherClass:
    def test_is_drawn_in_proportion_and_never_the_best(self):
        probabilities = torch.tensor([0.6, 0.3, 0.1])
        drawn = other_class(probabilities.log().expand(20000, 3), generator("classes"))
        shares = drawn.bincount(minlength=3) / 20000
        assert shares[0] == 0 and shares[1].item() == pytest.approx(0.75, abs=0.02)

    def test_of_two_classes_it_is_the_other_one(self, sines):
        logits = sines(9, 2, speed=0.7)
        assert torch.equal(other_class(logits, generator("two")), logits.argmin(1))
