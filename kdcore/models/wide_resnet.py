"""Wide residual networks for 32 x 32 images, whose norms and ReLUs come before the convolutions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models._parts import Architecture, ConvNorm, ImageOutputs, Normalise, kaiming_fan_out
from kdcore.types import Refusal


class Block(nn.Module):
    """Norm, ReLU, convolution, twice, beside a shortcut; gives its first norm's answer too, made only once."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(inside)
        self.first = ConvNorm(inside, outside, 3, stride)
        self.second = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.shortcut = None if inside == outside else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = self.norm(x)
        activation = F.relu(before)
        skipped = x if self.shortcut is None else self.shortcut(activation)
        return before, skipped + self.second(F.relu(self.first(activation)))


class WideResNet(nn.Module):
    """A wide residual network of 6 n + 4 layers.

    A stage ends in a sum that no ReLU follows: `features` holds those sums, as attention transfer and the later
    comparisons take them, and `preactivations` what the next norm makes of them. `stem` is the first convolution
    alone.

    Args:
        classes: number of classes.
        depth: number of layers with weights.
        width: how many times wider than 16, 32 and 64 channels.
        normalisation: which data set's constants the network carries.
    """

    def __init__(self, classes: int, *, depth: int, width: int, normalisation: str = "cifar100"):
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if blocks < 1 or rest:
            raise Refusal(f"depth of a wide residual network must be 6 n + 4 with n at least 1, got {depth}")
        widths = (16, 16 * width, 32 * width, 64 * width)
        self.normalise = Normalise.named(normalisation)
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(outside if n else inside, outside, 1 if n else stride) for n in range(blocks))
            for inside, outside, stride in zip(widths, widths[1:], (1, 2, 2))
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.classifier = nn.Linear(widths[-1], classes)
        kaiming_fan_out(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> ImageOutputs:
        x = stem = self.stem(self.normalise(images))
        features, preactivations = [], []
        for stage in self.stages:
            for number, block in enumerate(stage):
                before, x = block(x)
                if number == 0:
                    preactivations.append(before)  # of the stage before; of the stem for the first
            features.append(x)
        last = self.norm(x)
        embedding = F.relu(last).mean((2, 3))
        before = (*preactivations[1:], last)
        return ImageOutputs(self.classifier(embedding), tuple(features), before, embedding, stem=stem)


ARCHITECTURES = tuple(
    Architecture(
        f"wrn-{depth}-{width}", WideResNet, {"depth": depth, "width": width}, f"wide, {depth} layers, width {width}"
    )
    for depth in (16, 40)
    for width in (1, 2)
)
