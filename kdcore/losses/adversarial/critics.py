"""The networks that judge: each scores an answer, high for what it takes to be the teacher's.

None of them normalises over the batch, so that an example's score does not depend on its company.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from kdcore._typing import Float, Tensor

LEAK = 0.2  # slope below zero, so that a critic that is sure still has a gradient


def perceptron(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with a leaky ReLU between each two.

    Example:
        >>> perceptron(5, 8, 1)(torch.zeros(3, 5)).shape
        torch.Size([3, 1])
    """
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers[:-1])


class Critic(nn.Module):
    """Scores vectors: logits, probabilities, embeddings, weights of a network."""

    def __init__(self, size: int, *hidden: int):
        super().__init__()
        self.layers = perceptron(size, *hidden, 1)

    def forward(self, vectors: Float[Tensor, "batch size"]) -> Float[Tensor, " batch"]:
        return self.layers(vectors)[:, 0]


class ClassCritic(nn.Module):
    """Scores vectors and says, from the same layers, which class each is an answer to."""

    def __init__(self, size: int, classes: int, hidden: int):
        super().__init__()
        self.layers = perceptron(size, hidden, hidden, 1 + classes)

    def forward(
        self, vectors: Float[Tensor, "batch size"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch classes"]]:
        said = self.layers(vectors)
        return said[:, 0], said[:, 1:]


class MapCritic(nn.Module):
    """Scores maps of any height and width: two convolutions, the mean over positions, one number."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, 1, 1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(hidden, hidden, 3, 2, 1),
            nn.LeakyReLU(LEAK),
        )
        self.score = nn.Linear(hidden, 1)

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, " batch"]:
        return self.score(self.layers(maps).mean((2, 3)))[:, 0]


def judged_apart(critic: nn.Module, mine: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of both sides from one pass of the critic; neither side gets a gradient.

    Example:
        >>> first, second = judged_apart(Critic(4, 8, 8), torch.zeros(3, 4), torch.ones(2, 4))
        >>> first.shape, second.shape
        (torch.Size([3]), torch.Size([2]))
    """
    scores = critic(torch.cat([mine.detach(), theirs.detach()]))
    return scores[: len(mine)], scores[len(mine) :]
