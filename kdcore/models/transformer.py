"""A small causal transformer that predicts the next character."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.models._parts import Architecture
from kdcore.types import Outputs, Refusal


class Layer(nn.Module):
    """Attention to what came before, then a perceptron for every position; norms come first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self._attended(self.attention_norm(x)))
        return x + self.perceptron(self.perceptron_norm(x))

    def _attended(self, x: Tensor) -> Tensor:
        parts = self.query_key_value(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """A decoder of pre-norm layers whose output weights are its token embedding's.

    `features` are the hidden states after each layer; `embedding` is what the vocabulary's scores are read from,
    one vector a position: ``(batch, length, width)``.

    Args:
        classes: size of the vocabulary.
        width: size of the hidden states.
        layers: number of layers.
        heads: number of attention heads, a divisor of the width.
        length: longest sequence that can be read.
    """

    def __init__(self, classes: int, *, width: int, layers: int, heads: int, length: int = 256):
        super().__init__()
        if width % heads:
            raise Refusal(f"heads must divide the width, got {heads} heads for a width of {width}")
        self.length = length
        self.tokens, self.positions = nn.Embedding(classes, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self._initialise()

    def _initialise(self) -> None:
        """Everything at 0.02, what is added to the residual stream less, by the number of additions (GPT-2)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for layer in self.layers:
            for last in (layer.mix, layer.perceptron[-1]):
                nn.init.normal_(last.weight, 0.0, 0.02 / (2 * len(self.layers)) ** 0.5)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Outputs:
        if tokens.ndim != 2 or tokens.shape[1] > self.length:
            raise ValueError(f"tokens must have shape (batch, at most {self.length}), got {tuple(tokens.shape)}")
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        embedding = self.norm(x)
        return Outputs(self._scores(embedding), tuple(features), (), embedding)

    def _scores(self, hidden: Tensor) -> Float[Tensor, "batch length vocabulary"]:
        return F.linear(hidden, self.tokens.weight)


ARCHITECTURES = (
    Architecture("text-teacher", Transformer, {"width": 64, "layers": 2, "heads": 4}, "width 64, two layers"),
    Architecture("text-student", Transformer, {"width": 32, "layers": 1, "heads": 2}, "width 32, one layer"),
)
