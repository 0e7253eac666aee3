"""A little language for the tests of text."""

from __future__ import annotations

import pytest
import torch

from kdcore.randomness import generator
from kdcore.schemes.offline.soft_text import Writing
from kdcore.types import Data

LENGTH, VOCABULARY = 6, 5


def counting(texts: int = 64) -> torch.Tensor:
    """Every token is followed by the next one, around the clock, from a start that is drawn."""
    start = torch.randint(VOCABULARY, (texts, 1), generator=generator(0, "texts"))
    return (start + torch.arange(LENGTH)) % VOCABULARY


@pytest.fixture
def words() -> Data:
    tokens = counting()
    views = {"weak": lambda x, random: x, "plain": lambda x, random: x}
    return Data(tokens, tokens, Writing(VOCABULARY), views, classes=VOCABULARY, name="words")
