"""Text that a causal network writes: drawn from its own distribution, or searched for with several beams."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdcore._typing import Bool, Float, Int
from kdcore.types import Outputs


class Beams(NamedTuple):
    """What a search found for each prompt, the likeliest first.

    Attributes:
        tokens: prompt and continuation, ``(batch, beams, length)``.
        scores: logarithms of the continuations' probabilities, ``(batch, beams)``.
    """

    tokens: Int[Tensor, "batch beams length"]
    scores: Float[Tensor, "batch beams"]


class Reader:
    """What a network expects after the tokens it was given, one more each time.

    A network that offers ``read_on`` remembers what it has read; any other one reads everything again.
    """

    def __init__(self, network: nn.Module):
        self.network, self.memory, self.remembers = network, None, _remembers(network)

    def __call__(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch vocabulary"]:
        """Logarithms of the probabilities of the next token."""
        if self.remembers:
            scores, self.memory = self.network.read_on(tokens if self.memory is None else tokens[:, -1:], self.memory)
        else:
            said: Outputs = self.network(tokens)
            scores = said.logits[:, -1]
        return scores.float().log_softmax(-1)

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Go on from these rows of the batch."""
        if self.memory is not None:
            self.memory = self.memory.select(rows)


def _remembers(network: nn.Module) -> bool:
    return hasattr(network, "read_on") and getattr(network, "padding", None) is None


@contextmanager
def writing(network: nn.Module) -> Iterator[None]:
    """Without a graph, in eval mode, and every part back in its own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def sample(
    network: nn.Module,
    prompts: Int[Tensor, "batch start"],
    length: int,
    random: torch.Generator,
    *,
    temperature: float = 1.0,
    end: int | None = None,
) -> Int[Tensor, "batch length"]:
    """Prompts continued to `length` tokens, each drawn from what the network expects.

    Args:
        network: a causal one.
        prompts: at least one token each, all of one length.
        length: of prompt and continuation.
        random: where the draws come from.
        temperature: divides the scores; 0 takes the likeliest token.
        end: the token after which a text is over; it is repeated up to the length.
    """
    _check(prompts, length)
    with writing(network):
        read, tokens = Reader(network), prompts
        over = torch.zeros(len(prompts), dtype=torch.bool, device=prompts.device)
        while tokens.shape[1] < length:
            drawn = _drawn(read(tokens), temperature, random)
            if end is not None:
                drawn = drawn.masked_fill(over, end)
                over = over | (drawn == end)
            tokens = torch.cat([tokens, drawn[:, None]], 1)
    return tokens


def _drawn(log_probabilities: Tensor, temperature: float, random: torch.Generator) -> Int[Tensor, " batch"]:
    if temperature == 0:
        return log_probabilities.argmax(1)
    probabilities = (log_probabilities / temperature).softmax(1)
    return torch.multinomial(probabilities, 1, generator=random)[:, 0]


def beam_search(
    network: nn.Module, prompts: Int[Tensor, "batch start"], length: int, *, beams: int = 5, end: int | None = None
) -> Beams:
    """The likeliest continuations that a search with so many beams finds.

    Scores are sums over tokens, without a correction for length: without `end` all texts are equally long.

    Args:
        network: a causal one.
        prompts: at least one token each, all of one length.
        length: of prompt and continuation.
        beams: texts kept at every token, at least 1. Default 5: what the authors' translation code recommends.
        end: the token after which a text is over; it is repeated up to the length at no cost.
    """
    _check(prompts, length)
    if beams < 1:
        raise ValueError(f"beams must be at least 1, got {beams}")
    with writing(network):
        read, batch = Reader(network), len(prompts)
        tokens, scores = prompts[:, None], torch.zeros(batch, 1, device=prompts.device)
        while tokens.shape[2] < length:
            expected = read(tokens.flatten(0, 1)).unflatten(0, (batch, -1))
            if end is not None and tokens.shape[2] > prompts.shape[1]:
                expected = _over(expected, tokens[:, :, -1] == end, end)
            scores, parents, chosen = _best(scores, expected, beams)
            kept = tokens.shape[1] * torch.arange(batch, device=prompts.device)[:, None] + parents
            tokens = torch.cat([tokens.flatten(0, 1)[kept], chosen[:, :, None]], 2)
            read.select(kept.flatten())
    return Beams(tokens, scores)


def _best(scores: Tensor, expected: Tensor, beams: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of all beams together: their scores, which beam each continues, and by which token."""
    vocabulary = expected.shape[2]
    whole = (scores[:, :, None] + expected).flatten(1)
    best, places = whole.topk(min(beams, whole.shape[1]), dim=1)
    return best, places // vocabulary, places % vocabulary


def _over(expected: Tensor, over: Bool[Tensor, "batch beams"], end: int) -> Tensor:
    """A text that is over can only be over, for nothing."""
    closed = torch.full_like(expected, -math.inf)
    closed[:, :, end] = 0
    return torch.where(over[:, :, None], closed, expected)


def written(tokens: Int[Tensor, "batch length"], start: int, end: int | None = None) -> Bool[Tensor, "batch targets"]:
    """Which targets (each token but the first) were written: those after the prompt, up to the first `end`."""
    targets = tokens[:, 1:]
    mask = (torch.arange(1, tokens.shape[1], device=tokens.device) >= start).expand(targets.shape)
    if end is None:
        return mask
    ended = ((targets == end) & mask).cumsum(1)
    return mask & ((ended - ((targets == end) & mask).long()) == 0)


def _check(prompts: Tensor, length: int) -> None:
    if prompts.ndim != 2 or prompts.shape[1] < 1:
        raise ValueError(f"prompts must have shape (batch, at least 1), got {tuple(prompts.shape)}")
    if length < prompts.shape[1]:
        raise ValueError(f"length must be at least that of the prompts, {prompts.shape[1]}, got {length}")


def reads_tokens(data: Any) -> bool:
    """Whether samples are rows of whole numbers, as texts are."""
    inputs = data.inputs
    return isinstance(inputs, Tensor) and inputs.dtype == torch.int64 and inputs.ndim == 2
