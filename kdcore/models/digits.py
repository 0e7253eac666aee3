"""The pair of the quick task: networks of two stages for 8 x 8 digits, the teacher's maps twice as wide."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models._parts import Architecture, ConvNorm, Normalise, kaiming_fan_out
from kdcore.types import Outputs


class Stage(nn.Module):
    """Convolutions with norm and ReLU, the first with a stride; gives pre-activation and activation of the last."""

    def __init__(self, inside: int, outside: int, depth: int, stride: int):
        super().__init__()
        sizes = [inside] + [outside] * depth
        self.layers = nn.ModuleList(
            ConvNorm(a, b, 3, 1 if number else stride) for number, (a, b) in enumerate(pairwise(sizes))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = x
        for layer in self.layers:
            before = layer(x)
            x = F.relu(before)
        return before, x


class DigitNetwork(nn.Module):
    """Two stages, 8 x 8 and 4 x 4, averaged over positions, and a linear classifier.

    Args:
        classes: number of classes.
        width: channels of the first stage, half of the second's.
        depth: convolutions a stage.
        normalisation: which data set's constants the network carries.
    """

    def __init__(self, classes: int, *, width: int, depth: int, normalisation: str = "digits"):
        super().__init__()
        self.normalise = Normalise.named(normalisation)
        channels = len(self.normalise.mean)
        self.stages = nn.ModuleList([Stage(channels, width, depth, 1), Stage(width, 2 * width, depth, 2)])
        self.classifier = nn.Linear(2 * width, classes)
        kaiming_fan_out(self)

    def forward(self, images: Tensor) -> Outputs:
        x = self.normalise(images)
        answers = []
        for stage in self.stages:
            before, x = stage(x)
            answers.append((before, x))
        preactivations, features = zip(*answers)
        embedding = x.mean((2, 3))
        return Outputs(self.classifier(embedding), features, preactivations, embedding)


ARCHITECTURES = (
    Architecture("digits-teacher", DigitNetwork, {"width": 32, "depth": 2}, "two convolutions a stage, 32 and 64 wide"),
    Architecture("digits-student", DigitNetwork, {"width": 16, "depth": 1}, "one convolution a stage, 16 and 32 wide"),
)
