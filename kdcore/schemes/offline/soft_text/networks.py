"""An autoencoder, a generator and a critic of texts; a text is one distribution over the vocabulary a place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from kdcore._typing import Float, Int, Tensor
from kdcore.randomness import generator
from kdcore.types import Outputs

RESIDUAL = 0.3  # what a block adds: of the public code of Wasserstein games on text
KERNEL = 5


class Block(nn.Module):
    """Two convolutions along the text, added to what came in at a third of their size."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2),
            nn.ReLU(),
            nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * self.layers(x)


class Autoencoder(nn.Module):
    """A recurrent network reads a text into one vector, another writes it again, knowing what came before each place.

    Args:
        vocabulary: number of tokens.
        hidden: units of both.
    """

    def __init__(self, vocabulary: int, hidden: int):
        super().__init__()
        self.vocabulary = vocabulary
        self.encoder = nn.LSTM(vocabulary, hidden, batch_first=True)
        self.decoder = nn.LSTM(vocabulary, hidden, batch_first=True)
        self.scores = nn.Linear(hidden, vocabulary)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Scores of every place of the text that was read."""
        exact = F.one_hot(tokens, self.vocabulary).to(self.scores.weight.dtype)
        _, state = self.encoder(exact)
        before = F.pad(exact[:, :-1], (0, 0, 1, 0))  # nothing comes before the first
        return self.scores(self.decoder(before, state)[0])


class Writer(nn.Module):
    """Noise in, a text out: one distribution a place, all at once.

    Asked about inputs it writes as many texts, always the same ones, whatever the inputs are.

    Args:
        vocabulary: number of tokens.
        length: places of a text.
        noise: numbers that are drawn for a text.
        width: channels of the residual blocks.
        blocks: how many of them.
    """

    def __init__(self, vocabulary: int, length: int, *, noise: int, width: int, blocks: int):
        super().__init__()
        self.noise, self.length, self.width = noise, length, width
        self.start = nn.Linear(noise, length * width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.scores = nn.Conv1d(width, vocabulary, 1)

    def write(self, noise: Float[Tensor, "batch noise"]) -> Float[Tensor, "batch length vocabulary"]:
        """Scores of every place."""
        x = self.start(noise).unflatten(1, (self.width, self.length))
        return self.scores(self.blocks(x)).transpose(1, 2)

    def draw(self, count: int, random: torch.Generator) -> Float[Tensor, "count length vocabulary"]:
        """So many texts, as distributions."""
        weight = self.start.weight
        noise = torch.randn(count, self.noise, generator=random, device=weight.device, dtype=weight.dtype)
        return self.write(noise).softmax(2)

    def forward(self, inputs: Tensor) -> Outputs:
        texts = self.draw(len(inputs), generator("texts", device=self.start.weight.device))
        return Outputs(texts.clamp_min(torch.finfo(texts.dtype).tiny).log())


class TextCritic(nn.Module):
    """One score a text, of residual blocks over its distributions."""

    def __init__(self, vocabulary: int, length: int, *, width: int, blocks: int):
        super().__init__()
        self.start = nn.Conv1d(vocabulary, width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.score = nn.Linear(length * width, 1)

    def forward(self, texts: Float[Tensor, "batch length vocabulary"]) -> Float[Tensor, " batch"]:
        return self.score(self.blocks(self.start(texts.transpose(1, 2))).flatten(1))[:, 0]
