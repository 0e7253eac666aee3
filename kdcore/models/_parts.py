"""What the image networks share: their answer, their normalisation, a convolution with its norm, the initialisers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import nn

from kdcore._typing import Float, Tensor
from kdcore.types import Outputs, Refusal


class Architecture(NamedTuple):
    """A network by name: what makes it, from which settings; `revision` is raised when its numbers change."""

    name: str
    make: Callable[..., nn.Module]
    settings: dict[str, Any]
    note: str
    revision: int = 1


@dataclass
class ImageOutputs(Outputs):
    """An image network's answer.

    `features` leaves out what comes before the first stage; losses on pairs of neighbouring maps (FSP) want that
    too, so it stands apart.

    Attributes:
        stem: activations before the first stage.
    """

    stem: Tensor | None = None


# Mean and standard deviation of every channel over the training images in [0, 1], population formula. ImageNet's
# are those that torchvision's presets carry; CIFAR's and the digits' are tested against the data.
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "digits": ((0.3063,), (0.3763,)),
}


class Normalise(nn.Module):
    """Images as data sets keep them, uint8 or in [0, 1], to zero mean and unit variance in a network's own precision.

    The constants are buffers, so a saved network carries them. In a network cast to half precision they stay in
    single precision: 8 bits of mantissa would move the mean of a channel by a hundredth of its spread.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ValueError(f"std must have {len(mean)} values above 0, one a channel, got {std}")
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self.precision = self.mean.dtype

    @classmethod
    def named(cls, name: str) -> Self:
        """The normalisation of a data set, by its name."""
        if name not in NORMALISATIONS:
            raise Refusal(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {name!r}")
        return cls(*NORMALISATIONS[name])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = self.mean, self.std
        super()._apply(fn, recurse)
        # The constants may be finer than the network, so its precision is asked of a number that is not.
        self.precision = fn(torch.zeros((), dtype=self.precision, device=exact[0].device)).dtype
        if self.mean.dtype.itemsize < 4:
            self.mean, self.std = (value.to(self.mean.device) for value in exact)
        return self

    def forward(self, images: Tensor) -> Float[Tensor, "batch channels height width"]:
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            wanted = f"(batch, {len(self.mean)}, height, width)"
            raise ValueError(f"images must have shape {wanted}, got {tuple(images.shape)}")
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype) / 255
        elif not images.is_floating_point():
            raise TypeError(f"images must be uint8, or floating in [0, 1], got {images.dtype}")
        return ((images - self.mean) / self.std).to(self.precision)


class ConvNorm(nn.Module):
    """A convolution and the batch norm that reads it; what is square-shaped and odd is padded to keep its size."""

    def __init__(
        self, inside: int, outside: int, size: int = 3, stride: int = 1, *, groups: int = 1, bias: bool = False
    ):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class StagedNetwork(nn.Module):
    """Normalisation, a stem, stages that each give their pre-activation and activation, a top, a linear classifier.

    A subclass builds `stem`, `stages` (modules that return pre-activation and activation) and, where the embedding
    is not the pooled last map, overrides `top`.
    """

    stem: nn.Module
    stages: nn.ModuleList
    classifier: nn.Linear

    def __init__(self, normalisation: str):
        super().__init__()
        self.normalise = Normalise.named(normalisation)

    def forward(self, images: Tensor) -> ImageOutputs:
        x = stem = F.relu(self.stem(self.normalise(images)))
        features, preactivations = [], []
        for stage in self.stages:
            before, x = stage(x)
            preactivations.append(before)
            features.append(x)
        embedding = self.top(x).mean((2, 3))
        logits = self.classifier(embedding)
        return ImageOutputs(logits, tuple(features), tuple(preactivations), embedding, stem=stem)

    def top(self, x: Tensor) -> Tensor:
        """What is done to the last stage's activation before it is averaged over positions."""
        return x


class Chain(nn.Sequential):
    """Blocks that each return (pre-activation, activation), one after the other; gives the last block's pair."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = x
        for block in self:
            before, x = block(x)
        return before, x


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of each group out to all groups."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def kaiming_fan_out(network: nn.Module) -> None:
    """He initialisation of convolutions by what they send out, as the residual networks of the literature have it."""
    for convolution in _all(network, nn.Conv2d):
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


def small_classifier(network: nn.Module) -> None:
    """Linear layers near zero, as VGG and MobileNet start."""
    for linear in _all(network, nn.Linear):
        nn.init.normal_(linear.weight, 0.0, 0.01)
        nn.init.zeros_(linear.bias)


def _all(network: nn.Module, kind: type[nn.Module]) -> Iterator[Any]:
    return (module for module in network.modules() if isinstance(module, kind))
