"""What is found by watching a network is what its author would have named."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kdcore.engine import at_rest
from kdcore.losses.feature._tracing import Masked, call_of, norms_before
from kdcore.models import build
from kdcore.types import Outputs

NORMS = {
    "digits-teacher": ["stages.0.layers.1.norm", "stages.1.layers.1.norm"],
    "resnet20": [f"stages.{stage}.2.second.norm" for stage in range(3)],
    "resnet8": [f"stages.{stage}.0.second.norm" for stage in range(3)],  # beside a shortcut with a norm of its own
    "wrn-16-1": ["stages.1.0.norm", "stages.2.0.norm", "norm"],  # the next stage's first
    "shufflenetv2": [None] * 3,  # half of the channels pass by
}


def images(name: str) -> torch.Tensor:
    return (
        torch.linspace(0, 1, 2 * 192).view(2, 3, 8, 8).repeat(1, 1, 4, 4)
        if "digits" not in name
        else torch.linspace(0, 1, 128).view(2, 1, 8, 8)
    )


class TestNormsBefore:
    @pytest.mark.parametrize("name", NORMS)
    def test_are_those_that_end_the_main_path(self, name):
        network = build(name, classes=10, seed=0).eval()
        known = {id(module): path for path, module in network.named_modules()}
        found = norms_before(network, images(name))
        assert [None if norm is None else known[id(norm)] for norm in found] == NORMS[name]

    @pytest.mark.parametrize("name", ["digits-teacher", "resnet8"])
    def test_are_found_with_their_numbers_after_they_were_folded_away(self, name):
        network = build(name, classes=10, seed=0).train()
        with torch.no_grad():
            network(images(name))
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.bias.copy_(torch.linspace(-1, 1, len(module.bias)))
        whole = norms_before(network.eval(), images(name))
        folded = norms_before(at_rest(network, "bfloat16", images(name)), images(name))
        assert not any(isinstance(norm, nn.BatchNorm2d) for norm in folded)
        for one, other in zip(whole, folded):
            assert torch.equal(one.bias, other.bias) and torch.equal(one.weight, other.weight)

    def test_nothing_stays_behind(self, small):
        _, teacher, data = small
        norms_before(teacher, data.inputs[:1])
        assert all(not module._forward_hooks for module in teacher.modules())


class Convolutions(TorchDispatchMode):
    """Counts those that are carried out."""

    number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += func is torch.ops.aten.convolution.default
        return func(*args, **(kwargs or {}))


class TestMasked:
    def test_is_the_answer_with_that_channel_of_that_map_at_zero(self, small):
        _, teacher, data = small
        call = call_of(teacher, data.inputs[:1], 0)
        mask = torch.ones(5)
        mask[2] = 0
        said = Masked(teacher, data.inputs, call)(mask)
        low = teacher(data.inputs).features[0] * mask[:, None, None]
        torch.testing.assert_close(said.features[0], low)
        torch.testing.assert_close(said.features[1], teacher.norms[1](teacher.high(low)).relu())

    @pytest.mark.parametrize("name", ["digits-teacher", "resnet8", "wrn-16-1", "shufflenetv2"])
    def test_a_full_mask_changes_nothing_and_an_empty_one_does(self, name):
        network = build(name, classes=10, seed=0).eval()
        inputs, whole = images(name), network(images(name))
        for stage, maps in enumerate(whole.features):
            call = call_of(network, inputs[:1], stage)
            ones, masked = torch.ones(maps.shape[1]), Masked(network, inputs, call)
            for _ in range(2):
                assert torch.equal(masked(ones).logits, whole.logits)
                assert masked(0 * ones).features[stage].abs().max() == 0

    def test_what_comes_before_is_asked_once(self, small):
        _, teacher, data = small
        masked = Masked(teacher, data.inputs, call_of(teacher, data.inputs[:1], 1))
        with Convolutions() as whole:
            teacher(data.inputs)
        with Convolutions() as above:
            masked(torch.ones(10))
        assert whole.number == 2 and above.number == 0

    def test_networks_that_write_in_place_answer_as_they_would(self):
        class InPlace(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 1)

            def forward(self, images):
                low = self.first(images).relu_()
                middle = self.second(low).relu_()
                low.mul_(0.5).add_(middle)  # what came before the map is written over after it
                return Outputs(low.mean((2, 3)), (middle,))

        torch.manual_seed(0)
        network, inputs = InPlace().eval(), torch.rand(4, 1, 5, 5)
        masked = Masked(network, inputs, call_of(network, inputs[:1], 0))
        whole, empty = network(inputs).logits.detach(), network.first(inputs).relu().mul(0.5).mean((2, 3)).detach()
        for _ in range(2):
            torch.testing.assert_close(masked(torch.ones(3)).logits, whole)
            torch.testing.assert_close(masked(torch.zeros(3)).logits, empty)

    def test_a_map_that_no_operation_returns_is_said(self):
        class Constant(nn.Module):
            def forward(self, images):
                return Outputs(images.flatten(1), (self.kept,))

        network = Constant()
        network.kept = torch.zeros(1, 2, 4, 4)
        with pytest.raises(ValueError, match="no operation of Constant returns the map of its stage 0"):
            call_of(network, torch.zeros(1, 1, 8, 8), 0)
