"""What the tests of relations share: embeddings of two sizes, and settings that hold nothing but shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from kdcore.types import Batch, Clock, Data, Outputs, Setting, Task

Shapes = Sequence[tuple[int, ...]]


@pytest.fixture
def embeddings(sines) -> tuple[Tensor, Tensor]:
    """Eight samples, ten numbers each from the student and six from the teacher."""
    return sines(8, 10, speed=0.7).requires_grad_(), sines(8, 6, speed=1.3)


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 0, 1, 0, 3, 1])


def _outputs(features: Shapes, embedding: int | None, logits: tuple[int, ...]) -> Outputs:
    empty = lambda shape: torch.empty(2, *shape, device="meta")
    return Outputs(
        empty(logits), tuple(map(empty, features)), embedding=None if embedding is None else empty((embedding,))
    )


@pytest.fixture
def setting() -> Callable[..., Setting]:
    """``setting(student_maps, teacher_maps, embeddings=(5, 7), logits=(10,))``; shapes without the batch."""

    def build(
        student: Shapes = (),
        teacher: Shapes = (),
        embeddings: tuple[int | None, int | None] = (5, 7),
        logits: tuple[int, ...] = (10,),
    ) -> Setting:
        both = (_outputs(maps, size, logits) for maps, size in zip((student, teacher), embeddings))
        return Setting(*both, classes=10, samples=100, teacher_network=nn.Identity())

    return build


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """A batch of these targets, at a step of 100; its images are zeros unless given."""

    def build(targets: Tensor, step: int = 0, images: Tensor | None = None) -> Batch:
        images = torch.zeros(len(targets), 1, 2, 2) if images is None else images
        data = Data(images, targets, Task(), {"weak": lambda x, random: x}, classes=10)
        return Batch(data, torch.arange(len(targets)), 0, Clock(step, 100, 10))

    return build
