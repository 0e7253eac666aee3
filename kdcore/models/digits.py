"""The networks of the quick task for 8 x 8 digits: a pair, the teacher's maps twice as wide, and another family."""

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


class DigitPerceptron(nn.Module):
    """Another family of the pair's size: layers that see all pixels at once, told as maps of one position.

    Args:
        classes: number of classes.
        widths: of the hidden layers; the last one's is the embedding's size.
        normalisation: which data set's constants the network carries.
    """

    def __init__(self, classes: int, *, widths: tuple[int, ...], normalisation: str = "digits"):
        super().__init__()
        self.normalise = Normalise.named(normalisation)
        sizes = (64 * len(self.normalise.mean), *widths)
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Outputs:
        x, answers = self.normalise(images).flatten(1), []
        for layer, norm in zip(self.layers, self.norms):
            before = norm(layer(x))
            x = F.relu(before)
            answers.append((before[:, :, None, None], x[:, :, None, None]))
        preactivations, features = zip(*answers)
        return Outputs(self.classifier(x), features, preactivations, x)


ARCHITECTURES = (
    Architecture("digits-teacher", DigitNetwork, {"width": 32, "depth": 2}, "two convolutions a stage, 32 and 64 wide"),
    Architecture("digits-student", DigitNetwork, {"width": 16, "depth": 1}, "one convolution a stage, 16 and 32 wide"),
    Architecture(
        "digits-perceptron",
        DigitPerceptron,
        {"widths": (48, 32), "normalisation": "digits"},
        "no convolution: 48 and 32 wide, as many parameters as digits-student",
    ),
)
