"""Networks in stages for schemes that cut them, and weights from a closed formula for numbers of other code."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from kdcore.models import build
from kdcore.models.digits import DigitNetwork
from kdcore.randomness import seeded
from kdcore.types import Clock

SEED = 3


def network(role: str = "student", width: int = 4) -> DigitNetwork:
    """Two stages of `width` and twice `width` channels, for images of 6 x 6."""
    return seeded(lambda: DigitNetwork(4, width=width, depth=1), SEED, "init", role)


class Bench:
    """What a scheme asks of an experiment's bench, with networks in stages."""

    def __init__(self, data):
        self.data, self.seed, self.asked = data, SEED, []

    def network(self, role: str = "student", name: str | None = None) -> nn.Module:
        self.asked.append((role, name))
        return network(role)


def sines(*shape: int, speed: float, scale: float = 1.0) -> Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return scale * torch.sin(speed * index + 1)


@torch.no_grad()
def filled(parameters: Iterable[nn.Parameter]) -> None:
    """The weights of the reference files: layer by layer a sine of the index, larger than 0 for norms and biases."""
    for number, weight in enumerate(parameters):
        index = torch.arange(weight.numel(), dtype=torch.float64).view(weight.shape)
        wave = torch.sin(0.7 * index + number)
        weight.copy_(1.5 + wave if weight.ndim == 1 else math.sqrt(2 / weight[0].numel()) * wave)


def residual(count: int = 3) -> list[nn.Module]:
    """Networks of eight layers in double precision that read images as they are."""
    made = [build("resnet8", 10, role=f"branch{number}").double() for number in range(count)]
    for one in made:
        one.normalise = nn.Identity()
    return made


@pytest.fixture
def cut(toy) -> SimpleNamespace:
    data = toy.patterns()
    return SimpleNamespace(
        network=network,
        data=data,
        sample=data.inputs[:2],
        bench=Bench(data),
        batch=lambda step=0: data.batch(SEED, Clock(step, 12, 6), 16),
        sines=sines,
        filled=filled,
        residual=residual,
        images=sines(6, 3, 32, 32, speed=0.013, scale=2.0),
        labels=torch.tensor([0, 3, 1, 2, 0, 1]),
    )
