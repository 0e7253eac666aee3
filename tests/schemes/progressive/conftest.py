"""Networks that can be run stage by stage, on the small image task of all schemes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from kdcore.engine import Recipe
from kdcore.engine.setting import setting_of
from kdcore.models.digits import DigitNetwork
from kdcore.randomness import seeded
from kdcore.types import Data

SEED = 3
RECIPE = Recipe(steps=12, batch_size=16, learning_rate=0.05)


def network(role: str = "student", width: int = 4, depth: int = 1, seed: int = SEED) -> DigitNetwork:
    """Stages of `width` and twice `width` channels on images of 6 x 6."""
    return seeded(lambda: DigitNetwork(4, width=width, depth=depth), seed, "init", role)


def teacher(width: int = 6) -> nn.Module:
    return network("teacher", width, 2, seed=0).eval().requires_grad_(False)


class Bench:
    """What a scheme asks of an experiment's bench, with networks in stages."""

    def __init__(self, data: Data, width: int = 6):
        self.data, self.seed, self.recipe, self.teacher = data, SEED, RECIPE, teacher(width)

    def network(self, role: str = "student", name: str | None = None) -> nn.Module:
        return network(role, {"wide": 6, None: 4}[name])

    @property
    def setting(self):
        return setting_of(self.network(), self.teacher, self.data)


@pytest.fixture
def staged(toy) -> SimpleNamespace:
    data = toy.patterns()
    return SimpleNamespace(
        network=network, teacher=teacher, data=data, sample=data.inputs[:2], bench=lambda width=6: Bench(data, width)
    )
