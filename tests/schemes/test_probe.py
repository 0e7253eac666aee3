"""What a scheme may find out about networks before it trains them."""

import pytest
import torch
from torch import nn

from kdcore.schemes._probe import answer, blocks, last_map, reached
from kdcore.types import Outputs, Refusal


@pytest.fixture
def sample(toy):
    return toy.patterns().inputs[:2]


class TestProbe:
    def test_an_answer_leaves_the_network_as_it_was(self, toy, sample):
        network = toy.network().train().requires_grad_(False)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        assert not answer(network, sample).logits.requires_grad
        reached(network, sample, lambda said: said.logits)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert network.training and network.dropout.training
        assert not any(weight.requires_grad for weight in network.parameters())

    def test_the_last_map_gives_its_shape(self, toy, sample):
        assert last_map(toy.network(width=5), sample, "peer") == (10, 3, 3)

    def test_layers_above_a_map_are_not_reached(self, toy, sample):
        network = toy.network()
        below = reached(network, sample, lambda said: said.features[0])
        assert below == {"first.weight", "first.bias", "first_norm.weight", "first_norm.bias"}
        everything = {name for name, _ in network.named_parameters()}
        assert reached(network, sample, lambda said: said.logits) == everything

    def test_blocks_are_the_layers_from_one_map_to_the_next_and_the_rest(self, toy, sample):
        network = toy.network()
        one, two, top = blocks(network, sample)
        assert one == [network.first, network.first_norm] and two == [network.second, network.second_norm]
        assert top == [network.head]

    @pytest.mark.parametrize("says", ["trained block by block, and Mixed mixes its own with others"])
    def test_layers_that_cannot_be_told_apart_are_refused(self, sample, says):
        class Mixed(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner, self.scale = nn.Conv2d(1, 2, 1), nn.Parameter(torch.ones(()))

            def forward(self, images):
                maps = self.scale * self.inner(images)
                return Outputs(maps.mean((2, 3)), (maps,))

        with pytest.raises(Refusal, match=says):
            blocks(Mixed(), sample)

    @pytest.mark.parametrize("says", [r"read feature maps \(batch, channels, height, width\), and peer names none"])
    def test_a_network_without_maps_is_refused(self, sample, says):
        class Flat(nn.Module):
            def forward(self, images):
                return Outputs(images.flatten(1))

        with pytest.raises(Refusal, match=says):
            last_map(Flat(), sample, "peer")
