"""VGG for 32 x 32 images: plain convolutions with batch norm, one linear layer."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models._parts import Architecture, ConvNorm, StagedNetwork, kaiming_fan_out, small_classifier

WIDTHS = (64, 128, 256, 512, 512)


class Plain(nn.Module):
    """Convolutions in a row, the map halved before them where asked."""

    def __init__(self, inside: int, outside: int, convolutions: int, halve: bool):
        super().__init__()
        sizes = [inside] + [outside] * convolutions
        self.layers = nn.ModuleList(ConvNorm(a, b, bias=True) for a, b in pairwise(sizes))
        self.halve = halve

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = x = F.max_pool2d(x, 2) if self.halve else x
        for layer in self.layers:
            before = layer(x)
            x = F.relu(before)
        return before, x


class Stem(Plain):
    """The first block, at full size; it gives its pre-activation alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


class VGG(StagedNetwork):
    """Five blocks; the first, at full size, counts as the stem. The last pooling is left out, as images are small.

    Args:
        classes: number of classes.
        convolutions: how many in each block.
        normalisation: which data set's constants the network carries.
    """

    def __init__(self, classes: int, *, convolutions: int, normalisation: str = "cifar100"):
        super().__init__(normalisation)
        self.stem = Stem(3, WIDTHS[0], convolutions, halve=False)
        self.stages = nn.ModuleList(
            Plain(inside, outside, convolutions, halve=number < 3)
            for number, (inside, outside) in enumerate(pairwise(WIDTHS))
        )
        self.classifier = nn.Linear(WIDTHS[-1], classes)
        kaiming_fan_out(self)
        small_classifier(self)


ARCHITECTURES = (
    Architecture("vgg8", VGG, {"convolutions": 1}, "one convolution a block, batch norm"),
    Architecture("vgg13", VGG, {"convolutions": 2}, "two convolutions a block, batch norm"),
)
