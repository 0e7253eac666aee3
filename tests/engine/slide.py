"""A scheme of one number, whose path can be worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from kdcore.engine import Recipe, Run
from kdcore.types import Data, Outputs, Scheme, Stage, Task, Term, Update

SEED = 3
PLAIN = Recipe(steps=8, batch_size=4, learning_rate=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")


class Number(nn.Module):
    """One number, asked for by nothing."""

    def __init__(self, start: float = 1.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(start))

    def forward(self, inputs):
        return Outputs(self.value * inputs)


class Slide(Scheme):
    """Loses what its terms say, as functions of its one number and the batch."""

    def __init__(self, terms, number=None, **settings):
        super().__init__()
        self.number, self.terms, self.settings = number or Number(), terms, settings

    def stages(self):
        return [Stage("main", [Update("number", [self.number], lambda b: self.terms(self.number, b), **self.settings)])]

    def delivers(self):
        return {"number": self.number}


DATA = Data(torch.zeros(16, 1), torch.zeros(16, dtype=torch.long), Task(), {"weak": lambda x, random: x}, classes=2)


def slide(terms, recipe=PLAIN, **settings) -> tuple[Run, list[float]]:
    """A run and where its number stood before every step and at the end."""
    run = Run("slide", Slide(terms, **settings), DATA, recipe, SEED)
    return run, walked(run)


def walked(run: Run) -> list[float]:
    places = [run.scheme.number.value.item()]
    while run.active:
        run.advance()
        places.append(run.scheme.number.value.item())
    return places


def falls(number, batch):
    """A slope of one, whatever the batch."""
    return {"height": Term(number.value)}


def paces(places: list[float]) -> list[float]:
    return [before - after for before, after in pairwise(places)]
