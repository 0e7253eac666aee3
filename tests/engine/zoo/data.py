"""Two small worlds: striped images, and sequences that count."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.randomness import generator
from kdcore.types import Batch, Data, Outputs, Task

CLASSES, VOCABULARY = 5, 11


def rolled(images: Tensor, random: torch.Generator) -> Tensor:
    """Every image moved along by a number of columns of its own, in faint noise."""
    steps = torch.randint(images.shape[-1], (len(images), 1, 1, 1), generator=random)
    place = (torch.arange(images.shape[-1]) + steps) % images.shape[-1]
    return images.gather(3, place.expand_as(images)) + 0.05 * torch.randn(images.shape, generator=random)


def rough(images: Tensor, random: torch.Generator) -> Tensor:
    return rolled(images, random) + 0.5 * torch.randn(images.shape, generator=random)


def plain(inputs: Any, random: torch.Generator) -> Any:
    return inputs


class Quarter:
    """Turned by none to three quarters: a view whose results can be counted."""

    choices = 4

    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        return self.apply(images, self.draw(len(images), random))

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        return torch.randint(self.choices, (count,), generator=random)

    def apply(self, images: Tensor, choice: Tensor) -> Tensor:
        return torch.stack([image.rot90(int(turns), (1, 2)) for image, turns in zip(images, choice)])


VIEWS = {"weak": rolled, "strong": rough, "plain": plain, "turned": Quarter()}


def stripes(count: int = 96, size: int = 8, start: int = 0) -> Data:
    """Stripes at one of five angles; `start` says which part of an endless set is taken."""
    number = torch.arange(start, start + count)
    targets, down, across = number % CLASSES, torch.arange(size)[:, None], torch.arange(size)
    angle = (math.pi * targets / CLASSES)[:, None, None]
    waves = torch.sin(angle.cos() * down + angle.sin() * across + 2.4 * number[:, None, None])
    return Data(waves[:, None] / 2 + 0.5, targets, Task(), VIEWS, classes=CLASSES, name="stripes")


def judged_stripes() -> Data:
    """`stripes` with a test split."""
    data = stripes()
    return Data(
        data.inputs, data.targets, data.task, VIEWS, {"test": stripes(60, start=1000)}, CLASSES, "judged stripes"
    )


class Unreadable:
    """Stands where a scheme has no right to look."""

    def __init__(self, length: int):
        self.length, self.device = length, torch.device("cpu")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        raise PermissionError("a scheme without data has read the data")


class Forbidden(Data):
    """As many samples as another set, none of which may be read."""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


def forbidden(count: int = 96) -> Data:
    test = stripes(60, start=1000)
    return Forbidden(Unreadable(count), Unreadable(count), Task(), VIEWS, {"test": test}, CLASSES, "forbidden")


class Counting(Task):
    """Say the next number of each sequence; judged by perplexity."""

    score = "perplexity"
    lower_is_better = True

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return F.cross_entropy(outputs.logits.flatten(0, 1).float(), batch.targets.flatten())

    def evaluate(self, predict: Any, data: Data) -> dict[str, float]:
        logits = torch.cat([predict(part.inputs).logits for part in data.parts(50)]).double()
        nats = F.cross_entropy(logits.flatten(0, 1), data.targets.flatten())
        return {"perplexity": nats.exp().item(), "nats": nats.item()}


def counting(count: int = 96, length: int = 9) -> Data:
    """Sequences that go up by one, two or three, round a clock of eleven hours."""
    random = generator(0, "counting")
    start, stride = (torch.randint(low, high, (count, 1), generator=random) for low, high in ((0, 11), (1, 4)))
    tokens = (start + stride * torch.arange(length + 1)) % VOCABULARY
    return Data(tokens[:, :-1], tokens[:, 1:], Counting(), {"weak": plain}, classes=VOCABULARY, name="counting")
