"""MobileNetV2 for 32 x 32 images, at half width as the comparisons of distillation use it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models._parts import Architecture, Chain, ConvNorm, StagedNetwork, kaiming_fan_out, small_classifier

# (expansion, channels at full width, blocks, stride) of each group, gathered into the four stages that are read
STAGES = (
    ((1, 16, 1, 1), (6, 24, 2, 1)),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)


class InvertedResidual(nn.Module):
    """Widen, filter every channel alone, narrow again without a ReLU; the shortcut joins narrow ends.

    Its answer is linear, so pre-activation and activation are one tensor.
    """

    def __init__(self, inside: int, outside: int, stride: int, expansion: int):
        super().__init__()
        middle = inside * expansion
        self.widen = ConvNorm(inside, middle, 1)
        self.filter = ConvNorm(middle, middle, 3, stride, groups=middle)
        self.narrow = ConvNorm(middle, outside, 1)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.narrow(F.relu(self.filter(F.relu(self.widen(x)))))
        out = x + out if self.residual else out
        return out, out


class MobileNetV2(StagedNetwork):
    """MobileNetV2, whose stem halves the image; the embedding keeps 1280 channels at every width up to 1.

    Args:
        classes: number of classes.
        width: share of the full number of channels.
        normalisation: which data set's constants the network carries.
    """

    def __init__(self, classes: int, *, width: float = 0.5, normalisation: str = "cifar100"):
        super().__init__(normalisation)
        inside = int(32 * width)
        self.stem = ConvNorm(3, inside, 3, 2)
        stages = []
        for groups in STAGES:
            blocks = []
            for expansion, channels, count, stride in groups:
                for number in range(count):
                    outside = int(channels * width)
                    blocks.append(InvertedResidual(inside, outside, 1 if number else stride, expansion))
                    inside = outside
            stages.append(Chain(*blocks))
        self.stages = nn.ModuleList(stages)
        self.head = ConvNorm(inside, int(1280 * max(width, 1.0)), 1)
        self.classifier = nn.Linear(self.head.conv.out_channels, classes)
        kaiming_fan_out(self)
        small_classifier(self)

    def top(self, x: Tensor) -> Tensor:
        return F.relu(self.head(x))


ARCHITECTURES = (Architecture("mobilenetv2", MobileNetV2, {"width": 0.5}, "half width"),)
