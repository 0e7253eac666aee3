"""A user's language model as one of ours: anything that answers as Hugging Face's models do, never edited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.tokens import TokenOutputs
from kdcore.types import Refusal

# Layers that make queries, keys and values, by ``config.model_type``: three of them, or one whose answer holds all.
PROJECTIONS: dict[str, tuple[str, ...]] = {
    "bert": tuple(f"bert.encoder.layer.{{}}.attention.self.{part}" for part in ("query", "key", "value")),
    "gpt2": ("transformer.h.{}.attn.c_attn",),
    "llama": tuple(f"model.layers.{{}}.self_attn.{part}_proj" for part in "qkv"),
}


class LanguageModel(nn.Module):
    """A network that is asked for ``logits``, ``hidden_states`` and ``attentions``, answering with `TokenOutputs`.

    It must take ``input_ids``, ``attention_mask``, ``output_hidden_states`` and ``output_attentions`` by name, as the
    models of the library ``transformers`` do (``pip install 'kdcore[transformers]'``). Queries, keys and values are
    heard at layers named in `projections`; the hooks stand during a call alone.

    Args:
        network: the model.
        causal: whether a token sees itself and what came before it alone.
        heads: number of attention heads. Default: what its ``config`` says.
        projections: names of the layers that make queries, keys and values, ``{}`` standing for a layer's number:
            three names, or one whose answer holds all three. Default: those known for its ``config.model_type``
            (`PROJECTIONS`), else none, and methods that need them refuse the network.
        reported: whether to ask the network for its attention probabilities, which is needed where queries and keys
            do not settle them (relative positions: Llama). It must have been loaded with
            ``attn_implementation="eager"``.
        padding: the token that fills up short texts; nobody attends to it. None where there is none.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        causal: bool = True,
        heads: int | None = None,
        projections: Sequence[str] | None = None,
        reported: bool = False,
        padding: int | None = None,
    ):
        super().__init__()
        config = getattr(network, "config", None)
        known = PROJECTIONS.get(getattr(config, "model_type", ""), ())
        self.network, self.causal, self.reported, self.padding = network, causal, reported, padding
        self.projections = tuple(known if projections is None else projections)
        if len(self.projections) not in (0, 1, 3):
            raise Refusal(f"projections must name one layer or three, got {len(self.projections)}")
        self.heads = heads or getattr(config, "num_attention_heads", None)
        if self.projections and not self.heads:
            raise Refusal("heads must be named, since the network has no config with num_attention_heads")

    def forward(self, tokens: Int[Tensor, "batch length"]) -> TokenOutputs:
        mask = None if self.padding is None else tokens != self.padding
        asked = {"output_hidden_states": True, "output_attentions": self.reported}
        if mask is not None:
            asked["attention_mask"] = mask.long()
        with self._listening() as heard:
            answer = self.network(input_ids=tokens, **asked)
        hidden = tuple(answer.hidden_states)
        parts = [self._parts(layer, heard) for layer in range(len(hidden) - 1)] if self.projections else []
        queries, keys, values = zip(*parts) if parts else ((), (), ())
        return TokenOutputs(
            answer.logits,
            hidden[1:],
            embedding=hidden[-1],
            hidden=hidden,
            tokens=hidden[-1],
            queries=queries,
            keys=keys,
            values=values,
            reported=self._attention(answer),
            mask=mask,
            causal=self.causal,
        )

    def _attention(self, answer: Any) -> tuple[Tensor, ...]:
        if not self.reported:
            return ()
        found = tuple(answer.attentions or ())
        if not found or found[0] is None:
            raise Refusal('the network reports no attention: load it with attn_implementation="eager"')
        return found

    @contextmanager
    def _listening(self) -> Iterator[dict[str, Tensor]]:
        """What the layers of `projections` answer during a call, by name."""
        heard: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            return lambda module, given, returned: heard.__setitem__(name, returned)

        with ExitStack() as stack:
            for name, module in self.network.named_modules():
                if self._named(name):
                    stack.callback(module.register_forward_hook(keep(name)).remove)
            yield heard

    def _named(self, name: str) -> bool:
        """Whether a layer is one of those that make queries, keys or values."""
        parts = (pattern.split("{}") for pattern in self.projections)
        return any(
            name.startswith(start) and name.endswith(end) and name[len(start) : len(name) - len(end)].isdecimal()
            for start, end in parts
        )

    def _parts(self, layer: int, heard: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Queries, keys and values of a layer, each ``(batch, heads, length, head width)``."""
        try:
            found = [heard[pattern.format(layer)] for pattern in self.projections]
        except KeyError as missing:
            raise Refusal(
                f"no layer is called {missing.args[0]!r}, or it took no part in the network's answer"
            ) from None
        if len(found) == 1:
            found = list(found[0].chunk(3, dim=-1))
        width = found[0].shape[-1] // self.heads
        return tuple(self._split(part, width) for part in found)

    def _split(self, part: Float[Tensor, "batch length width"], width: int) -> Float[Tensor, "batch heads length size"]:
        """Heads apart; keys and values that several queries share are repeated for each of them."""
        split = part.unflatten(2, (-1, width)).transpose(1, 2)
        return split.repeat_interleave(self.heads // split.shape[1], 1)
