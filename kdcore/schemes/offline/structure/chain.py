"""Linear-chain conditional random fields: sums and maxima over all label sequences, in log space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from kdcore._typing import Float, Int, Tensor
from kdcore.types import Outputs


@dataclass
class ChainOutputs(Outputs):
    """What a chain says: `logits` are the labels' own scores at each position.

    Attributes:
        transitions: score of each label after each other, ``(labels before, labels after)``, the same everywhere.
    """

    transitions: Tensor | None = None


def log_partition(
    scores: Float[Tensor, "batch length labels"], transitions: Float[Tensor, "labels labels"]
) -> Float[Tensor, " batch"]:
    r"""Logarithm of the sum over all label sequences of their exponentiated scores, by the forward recursion.

    .. math::
        \alpha_1 = s_1, \quad \alpha_t(j) = s_t(j) + \ln \sum_i e^{\alpha_{t-1}(i) + A_{ij}}, \quad
        \ln Z = \ln \sum_j e^{\alpha_L(j)}

    Example:
        >>> zeros = torch.zeros(1, 3, 2)
        >>> round(log_partition(zeros, torch.zeros(2, 2)).exp().item(), 4)  # two labels, three positions
        8.0
    """
    alpha = scores[:, 0]
    for position in range(1, scores.shape[1]):
        alpha = scores[:, position] + (alpha[:, :, None] + transitions).logsumexp(1)
    return alpha.logsumexp(1)


def path_score(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    labels: Int[Tensor, "batch length"],
) -> Float[Tensor, " batch"]:
    """Score of one label sequence: its labels' own scores and those of its transitions."""
    own = scores.gather(2, labels[:, :, None])[:, :, 0].sum(1)
    return own + transitions[labels[:, :-1], labels[:, 1:]].sum(1)


def chain_nll(
    scores: Float[Tensor, "batch length labels"],
    transitions: Float[Tensor, "labels labels"],
    labels: Int[Tensor, "batch length"],
) -> Float[Tensor, " batch"]:
    """Negative log-likelihood of a label sequence among all of its length; at least 0."""
    return log_partition(scores, transitions) - path_score(scores, transitions, labels)


@torch.no_grad()
def viterbi(
    scores: Float[Tensor, "batch length labels"], transitions: Float[Tensor, "labels labels"]
) -> Int[Tensor, "batch length"]:
    """The label sequence with the highest score.

    Example:
        >>> scores = torch.tensor([[[0.0, 1.0], [1.2, 0.0], [0.0, 1.0]]])
        >>> viterbi(scores, torch.zeros(2, 2)).tolist(), viterbi(scores, torch.eye(2)).tolist()
        ([[1, 0, 1]], [[1, 1, 1]])
    """
    best, came_from = scores[:, 0], []
    for position in range(1, scores.shape[1]):
        value, before = (best[:, :, None] + transitions).max(1)
        came_from.append(before)
        best = scores[:, position] + value
    labels = [best.argmax(1)]
    for before in reversed(came_from):
        labels.append(before.gather(1, labels[-1][:, None])[:, 0])
    return torch.stack(labels[::-1], 1)


class ChainCRF(nn.Module):
    """Scores of every label for each word, and of every label after each other: nothing but that.

    Args:
        words: size of the vocabulary.
        labels: number of labels.
    """

    def __init__(self, words: int, labels: int):
        super().__init__()
        self.emissions = nn.Embedding(words, labels)
        self.starts = nn.Parameter(torch.zeros(labels))
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        nn.init.zeros_(self.emissions.weight)  # the likelihood is concave: every start leads to the same optimum

    def forward(self, words: Int[Tensor, "batch length"]) -> ChainOutputs:
        scores = self.emissions(words)
        first = scores[:, :1] + self.starts
        return ChainOutputs(torch.cat([first, scores[:, 1:]], 1), transitions=self.transitions)
