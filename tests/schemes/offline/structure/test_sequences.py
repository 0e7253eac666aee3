"""The labelling task, its data, and the labeller that looks at a window."""

import math

import pytest
import torch

from kdcore.engine import evaluate
from kdcore.schemes.offline.structure.chain import ChainCRF, chain_nll
from kdcore.schemes.offline.structure.sequences import (
    LABELS,
    WORDS,
    SequenceLabelling,
    WindowLogistic,
    chances,
    hidden_chain,
)
from kdcore.types import Clock, Outputs, Refusal


class TestHiddenChain:
    def test_has_its_parts_and_withholds_the_labels_of_one(self):
        data = hidden_chain(7, 30, 11, length=5)
        assert (len(data), len(data.splits["unlabelled"]), len(data.splits["test"])) == (7, 30, 11)
        assert data.inputs.shape == data.targets.shape == (7, 5) and data.classes == LABELS
        assert data.splits["unlabelled"].targets.eq(-1).all()
        assert data.inputs.max() < WORDS and data.targets.min() >= 0 and data.targets.max() < LABELS

    def test_labels_follow_and_words_hint_as_the_chances_say(self):
        follow, speak = chances()
        torch.testing.assert_close(follow.sum(1), torch.ones(LABELS))
        torch.testing.assert_close(speak.sum(1), torch.ones(WORDS)[:LABELS])
        test = hidden_chain(1, 1, 3000, length=10).splits["test"]
        before, after = test.targets[:, :-1].flatten(), test.targets[:, 1:].flatten()
        counted = torch.zeros(LABELS, LABELS).index_put((before, after), torch.ones(len(before)), accumulate=True)
        torch.testing.assert_close(counted / counted.sum(1, keepdim=True), follow, atol=0.02, rtol=0)
        spoken = torch.zeros(LABELS, WORDS)
        spoken.index_put_((test.targets.flatten(), test.inputs.flatten()), torch.ones(30_000), accumulate=True)
        torch.testing.assert_close(spoken / spoken.sum(1, keepdim=True), speak, atol=0.02, rtol=0)

    def test_a_seed_gives_its_sequences_and_no_others(self):
        one, again, other = hidden_chain(seed=1), hidden_chain(seed=1), hidden_chain(seed=2)
        assert torch.equal(one.inputs, again.inputs) and one.digest == again.digest != other.digest

    @pytest.mark.parametrize("wrong", [{"labelled": 0}, {"unlabelled": 0}, {"tested": 0}, {"length": 1}])
    def test_an_empty_part_is_refused(self, wrong):
        with pytest.raises(Refusal, match="every part needs at least 1 sequence of at least 2 words"):
            hidden_chain(**wrong)


class TestWindowLogistic:
    def test_is_linear_in_the_words_around_and_in_pairs_of_neighbours(self):
        network, words = WindowLogistic(4, 3, window=1), torch.tensor([[2, 0, 3]])
        with torch.no_grad():
            network.weights.weight.copy_(torch.sin(torch.arange(3.0 * len(network.weights.weight))).view(-1, 3))
            network.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
        w, outside = network.weights.weight, 4
        padded = [outside, 2, 0, 3, outside]
        for position in range(3):
            before, here, after = padded[position : position + 3]
            expected = network.bias + w[before] + w[5 + here] + w[10 + after]
            expected = expected + w[15 + 5 * before + here] + w[15 + 25 + 5 * here + after]
            torch.testing.assert_close(network(words).logits[0, position], expected)

    def test_sees_nothing_beyond_its_window(self):
        network = WindowLogistic(4, 3, window=2)
        torch.nn.init.normal_(network.weights.weight, generator=torch.Generator().manual_seed(0))
        words = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
        changed = words.clone()
        changed[0, 7] = 0
        differs = (network(words).logits != network(changed).logits).any(2)[0]
        assert differs.tolist() == [False] * 5 + [True] * 3

    def test_without_pairs_it_has_only_the_words(self):
        assert WindowLogistic(4, 3, window=1, pairs=False).weights.weight.shape == (15, 3)
        assert WindowLogistic(4, 3, window=0).weights.weight.shape == (5, 3)

    def test_a_negative_window_is_refused(self):
        with pytest.raises(Refusal, match="window must be at least 0, got -1"):
            WindowLogistic(4, 3, window=-1)


class Says(torch.nn.Module):
    """Always the same scores."""

    def __init__(self, scores: list[list[float]]):
        super().__init__()
        self.scores = torch.tensor([scores])

    def forward(self, words):
        return Outputs(self.scores.expand(len(words), -1, -1))


class TestSequenceLabelling:
    def test_an_independent_network_pays_for_every_position(self):
        data = hidden_chain(4, 1, 1, length=3)
        batch, scores = (
            data.batch(0, Clock(0, 1, 1), 4),
            torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)),
        )
        each = [scores[i, t].log_softmax(0)[batch.targets[i, t]].item() for i in range(4) for t in range(3)]
        assert data.task.loss(Outputs(scores), batch).item() == pytest.approx(-sum(each) / 12, rel=1e-5)

    def test_a_chain_pays_for_the_whole_sequence(self):
        data, network = hidden_chain(4, 1, 1, length=3), ChainCRF(WORDS, LABELS)
        torch.nn.init.normal_(network.transitions, generator=torch.Generator().manual_seed(0))
        batch = data.batch(0, Clock(0, 1, 1), 4)
        said = network(batch.inputs)
        expected = chain_nll(said.logits, network.transitions, batch.targets).mean() / 3
        torch.testing.assert_close(data.task.loss(said, batch), expected)

    def test_judges_positions_and_whole_sequences(self):
        test = hidden_chain(1, 1, 50, length=2).splits["test"]
        test.targets.copy_(torch.tensor([[1, 1], [1, 0], [0, 0], [1, 1], [0, 1]]).repeat(10, 1))
        numbers = evaluate(Says([[0.0, 9.0, 0.0, 0.0, 0.0]] * 2), test)
        assert numbers["accuracy"] == pytest.approx(0.6) and numbers["sequences"] == pytest.approx(0.4)
        z = math.log(4 + math.exp(9))
        assert numbers["cross_entropy"] == pytest.approx(0.6 * (z - 9) + 0.4 * z)

    def test_decodes_a_chain_as_a_whole(self):
        data, network = hidden_chain(3, 1, 1, length=4), ChainCRF(WORDS, LABELS)
        with torch.no_grad():
            network.transitions.copy_(9 * torch.eye(LABELS))
            network.starts[2] = 1.0
        assert SequenceLabelling().decode(network(data.inputs)).eq(2).all()
