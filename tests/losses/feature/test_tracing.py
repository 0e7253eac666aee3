"""What is found by watching a network is what its author would have named."""

import pytest
import torch
from torch import nn

from kdcore.engine import at_rest
from kdcore.losses.feature._tracing import call_of, norms_before, without_channel
from kdcore.models import build

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


class TestWithoutChannel:
    def test_is_the_answer_with_that_channel_of_that_map_at_zero(self, small):
        _, teacher, data = small
        call = call_of(teacher, data.inputs[:1], 0)
        mask = torch.ones(5)
        mask[2] = 0
        said = without_channel(teacher, data.inputs, call, mask)
        low = teacher(data.inputs).features[0] * mask[:, None, None]
        torch.testing.assert_close(said.features[0], low)
        torch.testing.assert_close(said.features[1], teacher.norms[1](teacher.high(low)).relu())

    @pytest.mark.parametrize("name", ["digits-teacher", "resnet8", "wrn-16-1", "shufflenetv2"])
    def test_a_full_mask_changes_nothing_and_an_empty_one_does(self, name):
        network = build(name, classes=10, seed=0).eval()
        inputs, whole = images(name), network(images(name))
        for stage, maps in enumerate(whole.features):
            call = call_of(network, inputs[:1], stage)
            ones = torch.ones(maps.shape[1])
            assert torch.equal(without_channel(network, inputs, call, ones).logits, whole.logits)
            assert without_channel(network, inputs, call, 0 * ones).features[stage].abs().max() == 0

    def test_a_map_that_no_operation_returns_is_said(self):
        class Constant(nn.Module):
            def forward(self, images):
                from kdcore.types import Outputs

                return Outputs(images.flatten(1), (self.kept,))

        network = Constant()
        network.kept = torch.zeros(1, 2, 4, 4)
        with pytest.raises(ValueError, match="no operation of Constant returns the map of its stage 0"):
            call_of(network, torch.zeros(1, 1, 8, 8), 0)
