"""What the contrastive tests share: two banks, projections, rows, and a small data set with a pair of networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.engine import Recipe, Run
from kdcore.engine.setting import setting_of
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Method, Outputs, Task

OWN = (3, 11, 0, 19)  # rows of four examples in banks of twenty


@pytest.fixture
def banks(sines) -> tuple[Tensor, Tensor]:
    """Of students and of teachers: twenty rows of size 8."""
    return sines(20, 8, speed=0.3) / 8, sines(20, 8, speed=0.9) / 8


@pytest.fixture
def projections(sines) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Student's and teacher's of four examples, at a step."""

    def made(step: int = 0) -> tuple[Tensor, Tensor]:
        speeds = 0.7 + 0.1 * step, 1.3 + 0.1 * step
        student, teacher = (sines(4, 8, speed=speed).requires_grad_() for speed in speeds)
        return student, teacher

    return made


@pytest.fixture
def rows() -> Callable[[int], tuple[Tensor, Tensor]]:
    """The examples' own rows and seven others for each, at a step."""

    def made(step: int = 0) -> tuple[Tensor, Tensor]:
        others = torch.arange(28).view(4, 7) * 3 + 1
        return (torch.tensor(OWN) + step) % 20, (others + step) % 20

    return made


class Net(nn.Module):
    """One convolution and a linear classifier, with an embedding."""

    def __init__(self, width: int):
        super().__init__()
        self.stem, self.classifier = nn.Conv2d(1, width, 3, 2, 1), nn.Linear(width, 4)

    def forward(self, images: Tensor) -> Outputs:
        features = F.relu(self.stem(images))
        embedding = features.mean((2, 3))
        return Outputs(self.classifier(embedding), (features,), embedding=embedding)


def stripes(sines) -> Data:
    """Forty images of four classes, each class brighter in its own quarter."""
    targets = torch.arange(40) % 4
    inputs = sines(40, 1, 4, 4, speed=0.31, dtype=torch.float32) / 8
    for label in range(4):
        top, left = 2 * (label // 2), 2 * (label % 2)
        inputs[targets == label, :, top : top + 2, left : left + 2] += 1
    return Data(inputs, targets, Task(), {"weak": lambda x, random: x}, classes=4, name="stripes", digest="stripes")


@pytest.fixture
def data(sines) -> Data:
    return stripes(sines)


@pytest.fixture
def teacher() -> nn.Module:
    return seeded(lambda: Net(6), "teacher").eval().requires_grad_(False)


@pytest.fixture
def networks(teacher) -> tuple[nn.Module, nn.Module]:
    """A student that learns and a resting teacher."""
    return seeded(lambda: Net(4), 0, "student"), teacher


@pytest.fixture
def training(data, teacher) -> Callable[..., Run]:
    """``training(method class, **settings)``: a run of ten steps, made from nothing."""

    def make(method: type[Method], checkpoint=None, **settings) -> Run:
        student = seeded(lambda: Net(4), 0, "student")
        made = seeded(lambda: method.build(setting_of(student, teacher, data), **settings), 0, "method")
        recipe = Recipe(steps=10, batch_size=16, learning_rate=0.1, schedule="cosine")
        return Run("contrastive", Distillation(student, teacher, made), data, recipe, 0, checkpoint)

    return make


@pytest.fixture
def ask(data, teacher) -> Callable[..., tuple[Outputs, Outputs, Batch]]:
    """What both networks say about the batch of a step."""
    student = seeded(lambda: Net(4), 0, "student")

    def answers(step: int = 0, size: int = 16) -> tuple[Outputs, Outputs, Batch]:
        batch = data.batch(0, Clock(step, 100, len(data) // size), size)
        return batch.outputs(student), batch.outputs(teacher), batch

    return answers
