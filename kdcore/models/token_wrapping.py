"""Transformers of other people as ours: states, queries, keys and values are heard, and attention follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models.wrapping import Wrapped
from kdcore.tokens import TokenOutputs
from kdcore.types import Outputs, Refusal

Heads = tuple[Tensor, Tensor, Tensor]  # queries, keys, values, each (batch, heads, length, head width)
Named = str | Sequence[str]


class WrappedTokens(Wrapped):
    """A transformer whose named layers are listened to while it answers.

    Args:
        network: see `kdcore.models.wrap`.
        hidden: layers whose answers are the states, what the first layer reads in front.
        tokens: what the answer is read from, the last state after the last norm.
        attention: for each layer, where its queries, keys and values come from: a self-attention of torch
            (`torch.nn.MultiheadAttention`), a layer that gives the three side by side, or the names of three layers.
        heads: how many there are, where the layers do not say so themselves.
        grid: rows and columns of an image's patches.
        causal: whether tokens see only what came before them.
        others: what `Wrapped` is told.
    """

    def __init__(
        self,
        network: nn.Module,
        *others: Any,
        hidden: Sequence[str] = (),
        tokens: str | None = None,
        attention: Sequence[Named] = (),
        heads: int | None = None,
        grid: tuple[int, int] | None = None,
        causal: bool = False,
    ):
        self.hidden, self.tokens, self.heads, self.grid, self.causal = tuple(hidden), tokens, heads, grid, causal
        self.attention = tuple(name if isinstance(name, str) else tuple(name) for name in attention)
        self.sources = {name: _sources(network, name) for name in self.attention}
        super().__init__(network, *others)
        for name in self.attention:
            if heads is None and not isinstance(_module(network, name), nn.MultiheadAttention):
                raise Refusal(f"heads must say how many there are, since {name!r} does not tell")

    def _taps(self) -> tuple[str, ...]:
        made = (name for sources in self.sources.values() for name in sources)
        last = (self.tokens,) if self.tokens else ()
        return tuple(dict.fromkeys((*super()._taps(), *self.hidden, *last, *made)))

    def _outputs(self, inputs: Any, answer: Any, said: Mapping[str, Tensor]) -> Outputs:
        made = [self._heads(name, said) for name in self.attention]
        queries, keys, values = zip(*made) if made else ((), (), ())
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        return TokenOutputs(
            **vars(super()._outputs(inputs, answer, said)),
            hidden=tuple(said[name] for name in self.hidden),
            tokens=said[self.tokens] if self.tokens else None,
            queries=queries,
            keys=keys,
            values=values,
            mask=None if mask is None else mask.bool(),
            causal=self.causal,
            grid=self.grid,
        )

    def _heads(self, name: Named, said: Mapping[str, Tensor]) -> Heads:
        module, heard = _module(self.network, name), [said[source] for source in self.sources[name]]
        heads = self.heads
        if isinstance(module, nn.MultiheadAttention):
            heads, read = module.num_heads, heard[0] if module.batch_first else heard[0].transpose(0, 1)
            heard = F.linear(read, module.in_proj_weight, module.in_proj_bias).chunk(3, -1)
        elif len(heard) == 1:
            heard = heard[0].chunk(3, -1)
        return tuple(part.unflatten(2, (heads, -1)).transpose(1, 2) for part in heard)


def _module(network: nn.Module, name: Named) -> nn.Module | None:
    return dict(network.named_modules()).get(name) if isinstance(name, str) else None


def _sources(network: nn.Module, name: Named) -> tuple[str, ...]:
    """Which taps a layer's queries, keys and values are made of."""
    if not isinstance(name, str):
        if len(name) != 3:
            raise Refusal(f"queries, keys and values are three layers, got {len(name)} names")
        return tuple(name)
    module = _module(network, name)
    if not isinstance(module, nn.MultiheadAttention):
        return (name,)
    if module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn:
        raise Refusal(f"attention {name!r} must project one input into queries, keys and values and add nothing to it")
    return (f"{name}:input",)
