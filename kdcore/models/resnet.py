"""Residual networks for 32 x 32 images: three stages of basic blocks, the shortcut a convolution or a padding."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models._parts import Architecture, Chain, ConvNorm, StagedNetwork, kaiming_fan_out
from kdcore.types import Refusal


class PaddedShortcut(nn.Module):
    """Option A: every second position, and empty channels on both sides; no parameters."""

    def __init__(self, extra: int, stride: int):
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        sides = self.extra // 2, self.extra - self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *sides))


class Block(nn.Module):
    """Two convolutions beside a shortcut; the ReLU comes after the sum."""

    def __init__(self, inside: int, outside: int, stride: int, option: Literal["A", "B"]):
        super().__init__()
        self.first = ConvNorm(inside, outside, 3, stride)
        self.second = ConvNorm(outside, outside)
        if stride == 1 and inside == outside:
            self.shortcut: nn.Module = nn.Identity()
        elif option == "A":
            self.shortcut = PaddedShortcut(outside - inside, stride)
        else:
            self.shortcut = ConvNorm(inside, outside, 1, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = self.second(F.relu(self.first(x))) + self.shortcut(x)
        return before, F.relu(before)


class ResNet(StagedNetwork):
    """A residual network of 6 n + 2 layers.

    Args:
        classes: number of classes.
        depth: number of layers with weights, shortcuts aside.
        widths: channels of the stem and of the three stages.
        option: shortcuts between stages, ``A`` zero padding (the original CIFAR-10 networks), ``B`` convolutions.
        normalisation: which data set's constants the network carries.
    """

    def __init__(
        self,
        classes: int,
        *,
        depth: int,
        widths: tuple[int, ...] = (16, 16, 32, 64),
        option: Literal["A", "B"] = "B",
        normalisation: str = "cifar100",
    ):
        super().__init__(normalisation)
        blocks, rest = divmod(depth - 2, 6)
        if blocks < 1 or rest:
            raise Refusal(f"depth of a residual network must be 6 n + 2 with n at least 1, got {depth}")
        self.stem = ConvNorm(3, widths[0])
        self.stages = nn.ModuleList(
            Chain(*(Block(outside if n else inside, outside, 1 if n else stride, option) for n in range(blocks)))
            for inside, outside, stride in zip(widths, widths[1:], (1, 2, 2))
        )
        self.classifier = nn.Linear(widths[-1], classes)
        kaiming_fan_out(self)


FOURFOLD = (32, 64, 128, 256)
DEPTHS = (8, 14, 20, 32, 44, 56, 110)
ARCHITECTURES = (
    *(Architecture(f"resnet{n}", ResNet, {"depth": n}, f"{n} layers, shortcuts of convolutions") for n in DEPTHS),
    *(
        Architecture(f"resnet{n}-a", ResNet, {"depth": n, "option": "A"}, f"{n} layers, shortcuts padded with zeros")
        for n in DEPTHS
    ),
    Architecture("resnet8x4", ResNet, {"depth": 8, "widths": FOURFOLD}, "8 layers, four times as wide"),
    Architecture("resnet32x4", ResNet, {"depth": 32, "widths": FOURFOLD}, "32 layers, four times as wide"),
)
