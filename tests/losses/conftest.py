"""What the tests of losses share: inputs from a closed formula, and the numbers of other people's code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdcore.types import Batch, Clock, Data, Outputs, Task


def sines(*shape: int, speed: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """The same on every machine, version and device, and no two entries alike."""
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return (4 * torch.sin(speed * index + 1)).to(dtype)


@pytest.fixture(name="sines")
def _sines() -> Callable[..., Tensor]:
    return sines


@pytest.fixture
def case() -> tuple[Tensor, Tensor, Tensor]:
    """Eight examples of ten classes: student, teacher, targets."""
    return sines(8, 10, speed=0.7).requires_grad_(), sines(8, 10, speed=1.3), torch.arange(8) * 3 % 10


@pytest.fixture
def pair(case: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return case[:2]


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    return sines(4, 6, 4, 4, speed=0.7).requires_grad_(), sines(4, 6, 4, 4, speed=1.3)


@pytest.fixture
def found() -> Callable[..., tuple[float, float, float]]:
    """The three numbers that are compared: value, length of the gradient, one entry of it."""

    def numbers(loss: Tensor, student: Tensor, at: list[int], factor: float = 1.0) -> tuple[float, float, float]:
        (gradient,) = torch.autograd.grad(loss, student)
        return tuple(x / factor for x in (loss.item(), gradient.norm().item(), gradient[tuple(at)].item()))

    return numbers


@pytest.fixture
def theirs() -> Callable[[dict[str, Any]], tuple[float, float, float]]:
    return lambda case: (case["value"], case["gradient_norm"], case["gradient"])


@pytest.fixture
def asked() -> Callable[..., tuple[Outputs, Outputs, Batch]]:
    """A student's and a teacher's answers, and the batch they are about, for methods that read no more than logits."""

    def answers(student: Tensor, teacher: Tensor, targets: Tensor) -> tuple[Outputs, Outputs, Batch]:
        data = Data(torch.zeros(len(targets), 1), targets, Task(), {"weak": lambda x, random: x})
        return Outputs(student), Outputs(teacher), Batch(data, torch.arange(len(targets)), 0, Clock(0, 100, 10))

    return answers
