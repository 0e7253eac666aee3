"""Networks at rest say what they said before."""

import copy
import logging

import pytest
import torch
from proof import bits
from torch import nn
from zoo import net
from zoo.data import stripes
from zoo.networks import Net, finished

from kdcore.data import load
from kdcore.engine import at_rest
from kdcore.models import build, names, pretrained
from kdcore.randomness import generator
from kdcore.tokens import TokenOutputs
from kdcore.types import Outputs

IMAGES = stripes().inputs
SMALL = ("resnet8", "resnet20-a", "wrn-16-1", "vgg8", "mobilenetv2", "shufflenetv2", "digits-teacher", "text-student")
LARGE = tuple(name for name in names() if name not in SMALL)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def tensors(said: Outputs) -> list[torch.Tensor]:
    found = []
    said.map(lambda value: found.append(value) or value)
    return found


def seasoned(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A network whose norms have seen images, and four inputs for it."""
    random = generator(0, "inputs")
    if name.startswith("text"):
        return build(name, 10).eval(), torch.randint(0, 10, (4, 12), generator=random)
    size = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
    network, images = build(name, 10).train(), torch.rand(4, *size, generator=random)
    with torch.no_grad():
        for _ in range(2):
            network(images)
    return network.eval(), images


class TestAtRest:
    def test_is_a_frozen_copy_in_eval_mode(self):
        learning = net(0)
        resting = at_rest(learning)
        assert not any(module.training for module in resting.modules())
        assert not any(parameter.requires_grad for parameter in resting.parameters())
        assert learning.training and all(parameter.requires_grad for parameter in learning.parameters())
        assert bits(resting.state_dict()) == bits(learning.state_dict())

    def test_in_single_precision_every_bit_of_the_answer_stays(self):
        teacher = finished()
        assert bits(tensors(at_rest(teacher, sample=IMAGES)(IMAGES))) == bits(tensors(teacher(IMAGES)))

    def test_without_a_sample_nothing_is_folded(self):
        assert norms(at_rest(finished(), "bfloat16")) == 2

    def test_folding_leaves_every_answer_as_it_was(self):
        teacher = finished()
        folded = at_rest(teacher, "bfloat16", IMAGES[:8])
        assert norms(folded) == 0 and norms(teacher) == 2
        for one, other in zip(tensors(folded(IMAGES)), tensors(teacher(IMAGES)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    def test_a_norm_that_was_folded_away_keeps_its_scale_and_shift_readable(self):
        teacher = finished()
        folded = at_rest(teacher, "bfloat16", IMAGES[:8])
        for path, norm in teacher.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                kept = folded.get_submodule(path)
                assert torch.equal(kept.weight, norm.weight) and torch.equal(kept.bias, norm.bias)
                assert kept(IMAGES) is IMAGES and not list(kept.parameters())

    @pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
    def test_folding_leaves_the_answers_of_every_network_of_ours(self, name):
        network, inputs = seasoned(name)
        folded = at_rest(network, "bfloat16", inputs)
        with torch.no_grad():
            for one, other in zip(tensors(folded(inputs)), tensors(network(inputs)), strict=True):
                assert (one.double() - other.double()).abs().max() <= 1e-4 * other.double().abs().max()
        # A wide residual block adds before it normalises, so half of its norms read no convolution.
        assert norms(folded) == ((norms(network) + 1) // 2 if name.startswith("wrn") else 0)

    @pytest.mark.parametrize("name", ["resnet8", "wrn-16-1", "vgg8", "digits-teacher"])
    def test_half_precision_moves_answers_by_no_more_than_its_own_rounding(self, name):
        network, inputs = seasoned(name)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            half = at_rest(network, "bfloat16", inputs)(inputs).logits.float()
        whole = network(inputs).logits.detach()
        assert 0 < (half - whole).abs().max() <= 0.05 * whole.abs().max()

    @pytest.mark.slow
    def test_folding_a_trained_network_changes_no_choice_and_half_precision_hardly_any(self, stored):
        stored("cifar10"), stored("resnet20-a-cifar10")
        network = pretrained("resnet20-a-cifar10").eval()
        images = load("cifar10").splits["test"].inputs[:1000]
        folded = at_rest(network, "bfloat16", images[:8])
        with torch.no_grad():
            whole, still = network(images).logits, folded(images).logits
            with torch.autocast("cpu", torch.bfloat16):
                half = folded(images).logits
        assert norms(folded) == 0 and torch.equal(still.argmax(1), whole.argmax(1))
        torch.testing.assert_close(still, whole, rtol=1e-3, atol=1e-3)
        assert (half.argmax(1) == whole.argmax(1)).double().mean() > 0.98

    def test_in_half_precision_its_answers_are_those_of_weights_kept_in_half_precision(self):
        """Weights that autocast rounds at every step and weights rounded once: nothing is lost by keeping the first."""
        network, inputs = seasoned("resnet8")
        folded = at_rest(network, "bfloat16", inputs)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            said = folded(inputs)
        with torch.no_grad():
            kept = copy.deepcopy(folded).to(torch.bfloat16)(inputs)
        assert bits(tensors(said)) == bits(tensors(kept))

    def test_answers_that_are_no_numbers_are_not_compared(self):
        class Masked(Net):
            """Says which of its inputs count."""

            def forward(self, images):
                said = super().forward(images)
                return TokenOutputs(said.logits, said.features, mask=torch.ones(len(images), 2, dtype=torch.bool))

        folded = at_rest(Masked().eval(), "bfloat16", IMAGES[:8])
        assert norms(folded) == 0 and folded(IMAGES).mask.all()

    def test_a_convolution_that_something_else_reads_is_left_alone(self):
        class Nosy(Net):
            """Shows what the convolution said before the norm: folding would change that."""

            def forward(self, images):
                raw = self.low(images)
                low = self.low_norm(raw).relu()
                high = self.high_norm(self.high(low)).relu()
                return Outputs(self.late(high.mean((2, 3))), (raw, high))

        nosy = Nosy().train()
        nosy(IMAGES)
        folded = at_rest(nosy, "bfloat16", IMAGES[:8])
        assert isinstance(folded.low_norm, nn.BatchNorm2d) and isinstance(folded.high_norm, nn.Identity)
        for one, other in zip(tensors(folded(IMAGES)), tensors(nosy.eval()(IMAGES)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    def test_a_convolution_that_is_used_twice_is_left_alone(self):
        class Twice(Net):
            def forward(self, images):
                one, two = self.low_norm(self.low(images)), self.low_norm(self.low(images.flip(3)).abs())
                return Outputs(self.early((one + two).relu().mean((2, 3))))

        twice = Twice().train()
        twice(IMAGES)
        folded = at_rest(twice, "bfloat16", IMAGES[:8])
        torch.testing.assert_close(folded(IMAGES).logits, twice.eval()(IMAGES).logits)

    def test_a_norm_without_running_statistics_is_left_alone(self):
        teacher = finished()
        teacher.low_norm = nn.BatchNorm2d(6, track_running_stats=False)
        folded = at_rest(teacher, "bfloat16", IMAGES[:8])
        assert norms(folded) == 1
        torch.testing.assert_close(folded(IMAGES).logits, teacher.eval()(IMAGES).logits, rtol=1e-4, atol=1e-5)

    def test_folding_leaves_no_hooks_and_draws_no_numbers(self):
        teacher, before = finished(), torch.random.get_rng_state()
        folded = at_rest(teacher, "bfloat16", IMAGES[:8])
        assert torch.equal(torch.random.get_rng_state(), before)
        assert not any(module._forward_hooks for network in (teacher, folded) for module in network.modules())


class TestWarnings:
    def test_what_cannot_be_folded_is_not_worth_a_warning_where_nothing_changes(self, caplog):
        with caplog.at_level(logging.WARNING):
            at_rest(finished(), "bfloat16", IMAGES[:8])
        assert not caplog.records
