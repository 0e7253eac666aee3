"""A small language, a writer of it and a student, for the schemes that decode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdcore.models.transformer import Transformer
from kdcore.randomness import generator, seeded
from kdcore.recipe import Recipe
from kdcore.types import Batch, Data, Outputs, Task

WORDS, LENGTH = 7, 8


class Next(Task):
    score = "accuracy"

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(outputs.logits.flatten(0, 1), batch.targets.flatten())

    def evaluate(self, predict, data: Data) -> dict[str, float]:
        said = predict(data.inputs).logits.argmax(2)
        return {"accuracy": (said == data.targets).double().mean().item()}


def texts(count: int = 40) -> Data:
    """Sequences that count in steps of one or two, modulo seven."""
    number = torch.arange(count)
    tokens = (number[:, None] * 3 + (1 + number % 2)[:, None] * torch.arange(LENGTH + 1)) % WORDS
    views = {"weak": lambda x, random: x, "plain": lambda x, random: x}
    return Data(tokens[:, :-1], tokens[:, 1:], Next(), views, classes=WORDS, name="texts")


def writer(width: int = 8, layers: int = 1, seed: int = 3, role: str = "student", loud: float = 1.0) -> Transformer:
    """An untrained network; `loud` makes it say something definite."""
    network = seeded(lambda: Transformer(WORDS, width=width, layers=layers, heads=2, length=16), seed, "init", role)
    with torch.no_grad():
        network.tokens.weight.mul_(loud)
    return network


def teacher() -> Transformer:
    return writer(12, 2, 0, "teacher", loud=40.0).eval().requires_grad_(False)


class Forgetful(nn.Module):
    """The same network without the gift of reading on."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Outputs:
        return self.network(tokens)


class Bench:
    """The little that a scheme asks of an experiment's bench."""

    def __init__(self, data: Data | None = None, seed: int = 3):
        self.data, self.seed, self.teacher = data or texts(), seed, teacher()
        self.recipe = Recipe(steps=3, batch_size=4)

    def network(self, role: str, name: str | None = None) -> nn.Module:
        return writer(seed=self.seed, role=role)


def draws(seed: int = 0) -> torch.Generator:
    return generator(seed, "draws")
