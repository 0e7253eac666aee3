"""What a reader may rely on in networks whose weights another network writes."""

import math

import pytest
import torch
from torch import nn

from kdcore.randomness import generator, seeded
from kdcore.schemes.offline.compression.tabular import Perceptron
from kdcore.schemes.offline.posterior import Chain, Generator, Posterior, flat, unflat


@pytest.fixture
def body():
    return seeded(lambda: Perceptron(6, 3, hidden=4), 0)


@pytest.fixture
def source(body):
    """Five networks around the body's own weights."""
    chain = Chain(5, flat(body).numel(), burn_in=0.0)
    noise = torch.randn(chain.samples.shape, generator=generator("chain"))
    chain.samples.copy_(flat(body) + 0.5 * noise)
    return chain


@pytest.fixture
def inputs():
    return torch.rand(7, 6, generator=generator("inputs"))


class TestFlat:
    def test_a_network_comes_back_from_its_row(self, body):
        weights = dict(body.named_parameters())
        again = unflat(flat(body)[None], body)
        assert again.keys() == weights.keys()
        assert all(torch.equal(again[name][0], weight) for name, weight in weights.items())

    def test_rows_keep_their_order(self, body):
        rows = torch.arange(2.0 * flat(body).numel()).view(2, -1)
        found = unflat(rows, body)
        assert torch.equal(torch.cat([found[name][1].flatten() for name in sorted(found)]), rows[1])


class TestGenerator:
    def test_draws_are_the_streams_and_differ(self):
        network = seeded(lambda: Generator(5, 8, 11), 0)
        rows = network.draw(4, generator("any"))
        assert rows.shape == (4, 11) and torch.equal(rows, network.draw(4, generator("any")))
        assert len(rows.unique(dim=0)) == 4

    def test_has_three_hidden_layers(self):
        sizes = [layer.out_features for layer in Generator(5, 8, 11).layers if isinstance(layer, nn.Linear)]
        assert sizes == [8, 8, 8, 11]


class TestPosterior:
    def test_answers_with_the_mean_of_the_networks_probabilities(self, body, source, inputs):
        drawn = source.draw(3, generator("posterior"))
        each = []
        for row in drawn:
            own = seeded(lambda: Perceptron(6, 3, hidden=4), 1)
            own.load_state_dict({name: stack[0] for name, stack in unflat(row[None], body).items()})
            each.append(own(inputs).logits.softmax(1))
        torch.testing.assert_close(Posterior(body, source, 3)(inputs).logits.exp(), sum(each) / 3)

    def test_a_judgement_can_be_repeated_and_the_body_is_not_moved(self, body, source, inputs):
        network, before = Posterior(body, source, 4), flat(body)
        assert torch.equal(network(inputs).logits, network(inputs).logits) and torch.equal(flat(body), before)

    def test_the_body_is_no_part_of_its_state(self, body, source):
        assert set(Posterior(body, source, 4).state_dict()) == {"source.samples"}

    def test_doubt_is_what_the_networks_disagree_about(self, body, source, inputs):
        network = Posterior(body, source, 4)
        each = network.each(inputs).exp().double()
        entropy = lambda p: -(p * p.log()).sum(-1)
        torch.testing.assert_close(network.doubt(inputs).double(), entropy(each.mean(0)) - entropy(each).mean(0))
        assert (network.doubt(inputs) > 0).all()
        alone = Posterior(body, source, 1)
        assert alone.doubt(inputs).abs().max() < 1e-6

    def test_doubt_is_at_most_the_logarithm_of_the_classes_and_finite_for_sure_networks(self, body, source, inputs):
        source.samples.mul_(1e3)
        doubt = Posterior(body, source, 5).doubt(inputs)
        assert doubt.isfinite().all() and (doubt <= math.log(3) + 1e-6).all()
