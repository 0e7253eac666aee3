"""ShuffleNet V1 and V2 for 32 x 32 images: a 1 x 1 stem of 24 channels at full size, then three stages that halve."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models._parts import Architecture, Chain, ConvNorm, StagedNetwork, shuffle_channels

STEM = 24


class GroupedBlock(nn.Module):
    """Version 1: grouped 1 x 1 convolutions with a shuffle between; a halving block appends its pooled input."""

    def __init__(self, inside: int, outside: int, stride: int, groups: int):
        super().__init__()
        made = outside - inside if stride == 2 else outside
        middle = made // 4
        self.groups = 1 if inside == STEM else groups
        self.narrow = ConvNorm(inside, middle, 1, groups=self.groups)
        self.filter = ConvNorm(middle, middle, 3, stride, groups=middle)
        self.widen = ConvNorm(middle, made, 1, groups=groups)
        self.halves = stride == 2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = shuffle_channels(F.relu(self.narrow(x)), self.groups)
        out = self.widen(F.relu(self.filter(out)))
        before = torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1) if self.halves else out + x
        return before, F.relu(before)


class ShuffleNetV1(StagedNetwork):
    """ShuffleNet V1 of the given widths and depths.

    Args:
        classes: number of classes.
        widths: channels of the three stages.
        blocks: blocks of the three stages.
        groups: groups of the 1 x 1 convolutions, the first excepted.
        normalisation: which data set's constants the network carries.
    """

    def __init__(
        self,
        classes: int,
        *,
        widths: tuple[int, ...] = (240, 480, 960),
        blocks: tuple[int, ...] = (4, 8, 4),
        groups: int = 3,
        normalisation: str = "cifar100",
    ):
        super().__init__(normalisation)
        self.stem = ConvNorm(3, STEM, 1)
        self.stages = nn.ModuleList(
            Chain(*(GroupedBlock(outside if n else inside, outside, 1 if n else 2, groups) for n in range(count)))
            for inside, outside, count in zip((STEM, *widths), widths, blocks)
        )
        self.classifier = nn.Linear(widths[-1], classes)


class SplitBlock(nn.Module):
    """Version 2, same size: half the channels pass, half are filtered, then both are shuffled.

    The pre-activation is shuffled as the activation is, so the one's positive part is the other's filtered half.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.first = ConvNorm(half, half, 1)
        self.filter = ConvNorm(half, half, groups=half)
        self.last = ConvNorm(half, half, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, x = x.chunk(2, 1)
        before = self.last(self.filter(F.relu(self.first(x))))
        return tuple(shuffle_channels(torch.cat([kept, half], 1), 2) for half in (before, F.relu(before)))


class HalvingBlock(nn.Module):
    """Version 2, half the size: two filtered branches side by side, then shuffled."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        half = outside // 2
        self.left = nn.Sequential(ConvNorm(inside, inside, 3, 2, groups=inside), ConvNorm(inside, half, 1))
        self.first = ConvNorm(inside, half, 1)
        self.right = nn.Sequential(ConvNorm(half, half, 3, 2, groups=half), ConvNorm(half, half, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = torch.cat([self.left(x), self.right(F.relu(self.first(x)))], 1)
        before = shuffle_channels(before, 2)
        return before, F.relu(before)


class ShuffleNetV2(StagedNetwork):
    """ShuffleNet V2 of the given widths and depths; every stage has a halving block before its `blocks`.

    Args:
        classes: number of classes.
        widths: channels of the three stages.
        blocks: blocks of the three stages, the halving ones not counted.
        embedding: channels of the last 1 x 1 convolution.
        normalisation: which data set's constants the network carries.
    """

    def __init__(
        self,
        classes: int,
        *,
        widths: tuple[int, ...] = (116, 232, 464),
        blocks: tuple[int, ...] = (3, 7, 3),
        embedding: int = 1024,
        normalisation: str = "cifar100",
    ):
        super().__init__(normalisation)
        self.stem = ConvNorm(3, STEM, 1)
        self.stages = nn.ModuleList(
            Chain(HalvingBlock(inside, outside), *(SplitBlock(outside) for _ in range(count)))
            for inside, outside, count in zip((STEM, *widths), widths, blocks)
        )
        self.head = ConvNorm(widths[-1], embedding, 1)
        self.classifier = nn.Linear(embedding, classes)

    def top(self, x: Tensor) -> Tensor:
        return F.relu(self.head(x))


ARCHITECTURES = (
    Architecture("shufflenetv1", ShuffleNetV1, {}, "240, 480, 960 channels, three groups"),
    Architecture("shufflenetv2", ShuffleNetV2, {}, "116, 232, 464 channels"),
)
