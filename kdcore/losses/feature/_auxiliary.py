"""Classifiers at a middle depth: what brings a map down to the network's last size, and reads it there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from kdcore.losses.feature._alignment import Shape
from kdcore.losses.feature._norms import SteadyNorm2d


class SeparableDown(nn.Sequential):
    """Two separable convolutions with norm and ReLU, the first with a stride: from one stage's shape to the next."""

    def __init__(self, inside: Shape, outside: Shape):
        stride = tuple(max(1, mine // theirs) for mine, theirs in zip(inside[1:], outside[1:]))
        super().__init__(*_separable(inside[0], inside[0], stride), *_separable(inside[0], outside[0], (1, 1)))


def _separable(inside: int, outside: int, stride: tuple[int, ...]) -> list[nn.Module]:
    filtering = nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False)
    return [filtering, nn.Conv2d(inside, outside, 1, bias=False), SteadyNorm2d(outside), nn.ReLU()]


class AuxiliaryClassifier(nn.Module):
    """From one stage's map to the last stage's shape, averaged over positions, and a linear classifier.

    Args:
        shapes: of the stage's map and of all maps that follow it.
        classes: number of classes.
    """

    def __init__(self, shapes: Sequence[Shape], classes: int):
        super().__init__()
        self.down = nn.Sequential(*(SeparableDown(a, b) for a, b in pairwise(shapes)))
        self.classifier = nn.Linear(shapes[-1][0], classes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The vector that is classified, and its scores."""
        vector = self.down(maps).mean((2, 3))
        return vector, self.classifier(vector)
