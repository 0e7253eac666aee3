"""Small transformers on tokens: one that reads on from what came before, one that sees the whole text."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Bool, Float, Int
from kdcore.models._parts import Architecture
from kdcore.tokens import TokenOutputs
from kdcore.types import Refusal

LONGEST = 256  # tokens that a network of ours can read at once


class Heads(NamedTuple):
    """What the heads of one layer are made of, each ``(batch, heads, length, head width)``."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class Memory(NamedTuple):
    """What a causal network keeps of the tokens it has read: keys and values of every layer."""

    layers: tuple[Heads, ...]

    @property
    def length(self) -> int:
        return self.layers[0].keys.shape[2]

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """The memory of some rows of the batch, in a new order, as a search with several beams needs it."""
        return Memory(tuple(Heads(*(part.index_select(0, rows) for part in layer)) for layer in self.layers))


class Layer(nn.Module):
    """Attention, then a perceptron for every position; norms come first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, x: Tensor, *, causal: bool, allowed: Tensor | None = None, before: Heads | None = None
    ) -> tuple[Tensor, Heads]:
        """The next states, and what the heads were made of, with the keys and values of `before` in front."""
        heads = self._heads(self.attention_norm(x))
        if before is not None:
            keys, values = (torch.cat([old, new], 2) for old, new in zip(before[1:], heads[1:]))
            heads = Heads(heads.queries, keys, values)
        said = F.scaled_dot_product_attention(*heads, attn_mask=allowed, is_causal=causal)
        x = x + self.mix(said.transpose(1, 2).flatten(2))
        return x + self.perceptron(self.perceptron_norm(x)), heads

    def _heads(self, x: Tensor) -> Heads:
        return Heads(*self.query_key_value(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4))


class Transformer(nn.Module):
    """Pre-norm layers whose output weights are the token embedding's.

    `features` are the hidden states after each layer; `embedding` and `tokens` are what the vocabulary's scores are
    read from, one vector a position: ``(batch, length, width)``.

    Args:
        classes: size of the vocabulary.
        width: size of the hidden states.
        layers: number of layers.
        heads: number of attention heads, a divisor of the width.
        length: longest sequence that can be read.
        causal: whether a token sees itself and what came before it alone, or the whole sequence.
        padding: the token that fills up short sequences; no other token attends to it. None where there is none.
    """

    def __init__(
        self,
        classes: int,
        *,
        width: int,
        layers: int,
        heads: int,
        length: int = LONGEST,
        causal: bool = True,
        padding: int | None = None,
    ):
        super().__init__()
        if width % heads:
            raise Refusal(f"heads must divide the width, got {heads} heads for a width of {width}")
        self.length, self.causal, self.padding = length, causal, padding
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

    def forward(self, tokens: Int[Tensor, "batch length"]) -> TokenOutputs:
        x, mask = self._embedded(tokens), None if self.padding is None else tokens != self.padding
        allowed = None if mask is None else self._allowed(mask)
        hidden, heads = [x], []
        for layer in self.layers:
            x, made = layer(x, causal=self.causal and allowed is None, allowed=allowed)
            hidden.append(x)
            heads.append(made)
        last = self.norm(x)
        parts = {name: tuple(getattr(made, name) for made in heads) for name in Heads._fields}
        return TokenOutputs(
            self._scores(last),
            tuple(hidden[1:]),
            embedding=last,
            hidden=tuple(hidden),
            tokens=last,
            mask=mask,
            causal=self.causal,
            **parts,
        )

    def _allowed(self, mask: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch 1 queries length"]:
        """Whom each token sees; one that would see nobody, padding itself, sees all, since nothing is no average."""
        allowed = mask[:, None, None, :]
        if self.causal:
            allowed = allowed & torch.ones(2 * (mask.shape[1],), dtype=torch.bool, device=mask.device).tril()
        return allowed | ~allowed.any(-1, keepdim=True)

    @torch.no_grad()
    def read_on(
        self, tokens: Int[Tensor, "batch more"], memory: Memory | None = None
    ) -> tuple[Float[Tensor, "batch vocabulary"], Memory]:
        """The scores of what follows, and all that has to be remembered so that no token is read twice.

        Args:
            tokens: the first ones, or the one that was written after those in `memory`.
            memory: what an earlier call returned.
        """
        if not self.causal or self.padding is not None:
            raise Refusal("only a causal network without padding reads on token by token")
        if memory is not None and tokens.shape[1] != 1:
            raise ValueError(f"tokens must be one for each sequence once something was read, got {tokens.shape[1]}")
        x, layers = self._embedded(tokens, 0 if memory is None else memory.length), []
        for number, layer in enumerate(self.layers):
            before = None if memory is None else memory.layers[number]
            x, made = layer(x, causal=memory is None, before=before)
            layers.append(made._replace(queries=made.queries[:, :, :0]))
        return self._scores(self.norm(x[:, -1])), Memory(tuple(layers))

    def _embedded(self, tokens: Tensor, start: int = 0) -> Float[Tensor, "batch length width"]:
        end = start + tokens.shape[-1]
        if tokens.ndim != 2 or end > self.length:
            shape = (len(tokens), end) if tokens.ndim == 2 else tuple(tokens.shape)
            raise ValueError(f"tokens must have shape (batch, at most {self.length}), got {shape}")
        return self.tokens(tokens) + self.positions.weight[start:end]

    def _scores(self, hidden: Tensor) -> Float[Tensor, "*batch vocabulary"]:
        return F.linear(hidden, self.tokens.weight)


ARCHITECTURES = (
    Architecture("text-teacher", Transformer, {"width": 64, "layers": 2, "heads": 4}, "width 64, two layers"),
    Architecture(
        "text-student", Transformer, {"width": 32, "layers": 1, "heads": 4}, "width 32, one layer", revision=2
    ),
    Architecture("text-deep-teacher", Transformer, {"width": 32, "layers": 4, "heads": 4}, "width 32, four layers"),
    Architecture("text-deep-student", Transformer, {"width": 24, "layers": 4, "heads": 4}, "width 24, four layers"),
    Architecture(
        "text-encoder-teacher",
        Transformer,
        {"width": 64, "layers": 2, "heads": 4, "causal": False},
        "sees the whole text; width 64, two layers",
    ),
    Architecture(
        "text-encoder-student",
        Transformer,
        {"width": 32, "layers": 1, "heads": 4, "causal": False},
        "sees the whole text; width 32, one layer",
    ),
)
