"""What a reader may rely on in a linear-chain random field: everything against plain enumeration."""

import doctest
import math
import sys
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from kdcore.schemes.offline.structure.chain import ChainCRF, chain_nll, log_partition, path_score, viterbi


def sines(*shape: int, speed: float) -> Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return 2 * torch.sin(speed * index + 1)


@pytest.fixture
def case() -> tuple[Tensor, Tensor]:
    """Three sequences of four positions over three labels."""
    return sines(3, 4, 3, speed=0.7).requires_grad_(), sines(3, 3, speed=1.3).requires_grad_()


def paths(scores: Tensor, transitions: Tensor) -> list[dict[tuple[int, ...], float]]:
    """Every label sequence of every example with its score, added up number by number."""
    found = []
    for rows in scores.tolist():
        each = {}
        for path in product(range(len(rows[0])), repeat=len(rows)):
            own = sum(rows[position][label] for position, label in enumerate(path))
            each[path] = own + sum(transitions.tolist()[a][b] for a, b in pairwise(path))
        found.append(each)
    return found


class TestChain:
    def test_the_partition_sums_over_every_path(self, case):
        expected = [math.log(sum(math.exp(score) for score in each.values())) for each in paths(*case)]
        assert log_partition(*case).tolist() == pytest.approx(expected, rel=1e-12)

    def test_a_path_scores_its_labels_and_its_transitions(self, case):
        labels = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 0, 0, 2]])
        expected = [each[tuple(path)] for each, path in zip(paths(*case), labels.tolist())]
        assert path_score(*case, labels).tolist() == pytest.approx(expected, rel=1e-12)

    def test_the_likelihoods_of_all_paths_sum_to_one(self, case):
        every = torch.tensor(list(product(range(3), repeat=4)))
        for example in range(3):
            scores = case[0][example : example + 1].expand(len(every), -1, -1)
            assert (-chain_nll(scores, case[1], every)).exp().sum().item() == pytest.approx(1, rel=1e-10)

    def test_viterbi_finds_the_best_of_all_paths(self, case):
        best = [max(each, key=each.get) for each in paths(*case)]
        assert viterbi(*case).tolist() == [list(path) for path in best]

    def test_the_best_of_each_position_is_not_the_best_path(self):
        scores = torch.tensor([[[0.0, 1.0], [1.2, 0.0], [0.0, 1.0]]])
        assert scores.argmax(2).tolist() == [[1, 0, 1]] and viterbi(scores, 2 * torch.eye(2)).tolist() == [[1, 1, 1]]

    def test_the_gradient_of_the_partition_is_the_chance_of_each_label(self, case):
        (chances,) = torch.autograd.grad(log_partition(*case).sum(), case[0])
        torch.testing.assert_close(chances.sum(2), torch.ones(3, 4, dtype=torch.float64))
        for example, each in enumerate(paths(*case)):
            total = sum(math.exp(score) for score in each.values())
            second = sum(math.exp(score) for path, score in each.items() if path[1] == 2) / total
            assert chances[example, 1, 2].item() == pytest.approx(second, rel=1e-10)

    def test_gradients_are_right(self, case):
        labels = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 0, 0, 2]])
        assert torch.autograd.gradcheck(lambda s, a: chain_nll(s, a, labels), case)

    def test_without_transitions_it_is_independent_classification(self, case):
        labels = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 0, 0, 2]])
        independent = torch.nn.functional.cross_entropy(case[0].mT, labels, reduction="none").sum(1)
        torch.testing.assert_close(chain_nll(case[0], torch.zeros(3, 3, dtype=torch.float64), labels), independent)

    def test_a_shift_of_all_scores_does_not_count(self, case):
        labels = torch.tensor([[0, 1, 2, 0]] * 3)
        shifted = chain_nll(case[0] + 5, case[1] - 2, labels)
        torch.testing.assert_close(shifted, chain_nll(*case, labels))
        assert not torch.allclose(chain_nll(case[0], case[1].mT, labels), chain_nll(*case, labels))  # order counts

    def test_finite_on_hostile_scores(self, case):
        scores, transitions = (value.detach().float().mul(500).requires_grad_() for value in case)
        loss = chain_nll(scores, transitions, torch.zeros(3, 4, dtype=torch.int64)).sum()
        loss.backward()
        assert loss.isfinite() and scores.grad.isfinite().all() and transitions.grad.isfinite().all()

    def test_one_position_has_no_transition(self):
        scores = sines(2, 1, 3, speed=0.7)
        torch.testing.assert_close(log_partition(scores, torch.full((3, 3), 1e9).double()), scores[:, 0].logsumexp(1))
        assert viterbi(scores, torch.zeros(3, 3)).tolist() == scores.argmax(2).tolist()


class TestChainCRF:
    def test_says_its_words_scores_and_where_it_starts(self):
        network = ChainCRF(4, 3)
        with torch.no_grad():
            network.emissions.weight.copy_(torch.arange(12.0).view(4, 3))
            network.starts.copy_(torch.tensor([0.5, 0.0, 0.0]))
        said = network(torch.tensor([[2, 0]]))
        assert said.logits.tolist() == [[[6.5, 7.0, 8.0], [0.0, 1.0, 2.0]]]
        assert said.transitions is network.transitions

    def test_starts_from_even_chances(self):
        said = ChainCRF(4, 3)(torch.tensor([[1, 2, 3]]))
        nll = chain_nll(said.logits, said.transitions, torch.tensor([[0, 1, 2]]))
        assert nll.item() == pytest.approx(3 * math.log(3), rel=1e-6)


def test_the_examples_are_true():
    module = sys.modules["kdcore.schemes.offline.structure.chain"]
    assert doctest.testmod(module).failed == 0
