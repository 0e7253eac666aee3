"""What tests of adapters share: layers of two networks from a closed formula, and parameters from another."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdcore.engine import Recipe, Run, setting_of
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Method, Outputs, Setting, Task

Shape = tuple[int, ...]


def sines(*shape: int, speed: float, scale: float = 4.0) -> Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return scale * torch.sin(speed * index + 1)


@pytest.fixture
def filled() -> Callable[[nn.Module], nn.Module]:
    """A module in float64 whose every parameter is half a sine of its own index, as the references were made."""

    def fill(module: nn.Module) -> nn.Module:
        module.double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(sines(*parameter.shape, speed=0.3, scale=0.5))
        return module

    return fill


@pytest.fixture
def layers() -> Callable[..., list[Tensor]]:
    """``layers(4, [(6, 8, 8), (8, 4, 4)], 0.7)``: a map for each shape, each of a speed of its own."""

    def made(batch: int, shapes: Sequence[Shape], speed: float) -> list[Tensor]:
        return [sines(batch, *shape, speed=speed + 0.01 * depth) for depth, shape in enumerate(shapes, 1)]

    return made


@pytest.fixture
def sized() -> Callable[..., Setting]:
    """A setting of two networks whose stages have these shapes; each shape is (channels, height, width)."""

    def made(
        student: Sequence[Shape], teacher: Sequence[Shape], embeddings: tuple[int | None, int | None] = (None, None)
    ) -> Setting:
        def said(shapes: Sequence[Shape], embedding: int | None) -> Outputs:
            vector = None if embedding is None else torch.empty(2, embedding, device="meta")
            maps = tuple(torch.empty(2, *shape, device="meta") for shape in shapes)
            return Outputs(torch.empty(2, 10, device="meta"), maps, (), vector)

        answers = (said(*pair) for pair in zip((student, teacher), embeddings))
        return Setting(*answers, classes=10, samples=100, teacher_network=nn.Identity())

    return made


@pytest.fixture
def batch() -> Batch:
    data = Data(torch.zeros(8, 1), torch.arange(8) % 4, Task(), {"weak": lambda inputs, random: inputs})
    return Batch(data, torch.arange(8), 0, Clock(50, 100, 10))


# ---------------------------------------------------------------- networks that can be trained in a moment


class Small(nn.Module):
    """Two stages of convolution, batch norm and ReLU for 8 x 8 images, and a linear classifier."""

    def __init__(self, width: int):
        super().__init__()
        self.low, self.high = nn.Conv2d(1, width, 3, 2, 1), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in (width, 2 * width))
        self.head = nn.Linear(2 * width, 4)

    def forward(self, images: Tensor) -> Outputs:
        low = self.norms[0](self.low(images))
        first = low.relu()
        high = self.norms[1](self.high(first))
        second = high.relu()
        embedding = second.mean((2, 3))
        return Outputs(self.head(embedding), (first, second), (low, high), embedding)


@pytest.fixture
def small() -> tuple[nn.Module, nn.Module, Data]:
    """A student of 3 and 6 channels, a resting teacher of 5 and 10 whose norms have seen images, and 16 images."""
    images = sines(16, 1, 8, 8, speed=0.31, scale=1.0).float()
    data = Data(images, torch.arange(16) % 4, Task(), {"weak": lambda inputs, random: inputs}, classes=4)
    student, teacher = (seeded(lambda width=width: Small(width), 0, "init", str(width)) for width in (3, 5))
    with torch.no_grad():
        for number, norm in enumerate(teacher.norms):
            norm.weight.copy_(sines(len(norm.weight), speed=0.9 + number, scale=1.0).float())
            norm.bias.copy_(sines(len(norm.bias), speed=1.7 + number, scale=0.5).float())
        teacher(images)
    return student, teacher.eval().requires_grad_(False), data


@pytest.fixture
def trained(small) -> Callable[..., Run]:
    """``trained(make, steps)``: a student beside the method that ``make(setting)`` builds, eight images a step."""

    def train(make: Callable[[Setting], Method], steps: int = 6, stop: int | None = None, **recipe: Any) -> Run:
        student, teacher, data = small
        method = seeded(lambda: make(setting_of(student, teacher, data)), 0, "method")
        made = Recipe(steps=steps, batch_size=8, learning_rate=0.05, **recipe)
        run = Run("small", Distillation(copy.deepcopy(student), teacher, method), data, made, 0)
        taken = 0
        while run.active and taken != stop:
            run.advance()
            taken += 1
        return run

    return train
