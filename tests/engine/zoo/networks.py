"""Networks with everything that can carry state past a step: batch norm, dropout, heads that nobody may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.randomness import seeded
from kdcore.types import Outputs
from zoo.data import CLASSES, VOCABULARY

Network = TypeVar("Network", bound=nn.Module)


class Net(nn.Module):
    """Two stages, an early exit after the first, dropout before the classifier."""

    def __init__(self, width: int = 4, classes: int = CLASSES, dropout: float = 0.1):
        super().__init__()
        self.low, self.low_norm = nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width)
        self.high, self.high_norm = nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width)
        self.early, self.late = nn.Linear(width, classes), nn.Linear(2 * width, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Outputs:
        before_low = self.low_norm(self.low(images))
        low = F.relu(before_low)
        before_high = self.high_norm(self.high(low))
        high = F.relu(before_high)
        embedding = self.dropout(high.mean((2, 3)))
        exits = (self.early(low.mean((2, 3))),)
        return Outputs(self.late(embedding), (low, high), (before_low, before_high), embedding, exits)


class Speaker(nn.Module):
    """Reads numbers and says the next one at every place."""

    def __init__(self, width: int = 6, vocabulary: int = VOCABULARY):
        super().__init__()
        self.tokens, self.memory = nn.Embedding(vocabulary, width), nn.GRU(width, width, batch_first=True)
        self.dropout, self.scores = nn.Dropout(0.1), nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Outputs:
        hidden = self.dropout(self.memory(self.tokens(tokens))[0])
        return Outputs(self.scores(hidden), (hidden,))


class Inventor(nn.Module):
    """Makes images from noise."""

    def __init__(self, size: int = 6):
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(nn.Linear(size, 64), nn.BatchNorm1d(64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise)


def fresh(make: Callable[[], Network], role: str, seed: int = 0) -> Network:
    return seeded(make, seed, "init", role)


def finished(width: int = 6) -> Net:
    """A teacher that has learned nothing but has seen images, so that its batch norms are not trivial."""
    from zoo.data import stripes

    teacher = fresh(lambda: Net(width), "teacher").train()
    for _ in range(3):
        teacher(stripes().inputs)
    return teacher.eval().requires_grad_(False)
