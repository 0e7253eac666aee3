"""Characters of Python's own help texts, cut into windows: a language task that every installation carries."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from kdcore._typing import Int, Tensor
from kdcore.data.digest import digest_of
from kdcore.data.views import Plain
from kdcore.types import Batch, Data, Outputs, Refusal, Task

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of the characters, in this order, without a gap
VIEWS = {"weak": Plain(), "plain": Plain(), "strong": Plain()}


class LanguageModelling(Task):
    """Predict each character from those before it in its window; judged by perplexity, lower is better.

    Attributes:
        vocabulary: all characters; a token is a place in it.
    """

    score = "perplexity"
    lower_is_better = True

    def __init__(self, vocabulary: str):
        self.vocabulary = vocabulary

    def encode(self, text: str) -> Int[Tensor, " length"]:
        """Text as tokens."""
        place = {character: number for number, character in enumerate(self.vocabulary)}
        return torch.tensor([place[character] for character in text], dtype=torch.long)

    def decode(self, tokens: Int[Tensor, " length"]) -> str:
        """Tokens as text."""
        return "".join(self.vocabulary[token] for token in tokens.tolist())

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy of the next character in nats, averaged over all positions."""
        return F.cross_entropy(outputs.logits.flatten(0, 1).float(), batch.targets.flatten())

    def evaluate(self, predict: Callable[[Any], Outputs], data: Data) -> dict[str, float]:
        """Perplexity, nats a character (its logarithm) and the share of characters guessed, over all positions."""
        nats = right = 0.0
        for part in data.parts(250):
            logits, targets = predict(part.inputs).logits.flatten(0, 1).double(), part.targets.flatten()
            nats += F.cross_entropy(logits, targets, reduction="sum").item()
            right += (logits.argmax(1) == targets).sum().item()
        nats /= data.targets.numel()
        return {"perplexity": math.exp(nats), "nats_per_character": nats, "accuracy": right / data.targets.numel()}


@cache
def _text() -> str:
    from pydoc_data.topics import topics  # late, because it is half a megabyte of source

    return "".join(topics.values())


def load(device: torch.device | str = "cpu", *, length: int = 64) -> Data:
    """The help texts of the running Python, whose digest tells one version's from another's.

    Args:
        device: where the tensors live.
        length: characters a window, at least 2; windows do not overlap, and what does not fill one is left out.
    """
    text = _text()
    task = LanguageModelling("".join(sorted(set(text))))
    tokens = task.encode(text)
    shortest = int(min(SHARES.values()) * len(tokens)) - 1
    if not 2 <= length <= shortest:
        raise Refusal(f"length must lie in 2 .. {shortest}, got {length}")
    blocks = dict(zip(SHARES, tokens.split(_sizes(len(tokens)))))
    digest = digest_of({"text": np.frombuffer(text.encode(), np.uint8), "length": np.array(length)})

    def data(split: str, **more: object) -> Data:
        inputs, targets = (part.to(device) for part in windows(blocks[split], length))
        return Data(inputs, targets, task, VIEWS, classes=len(task.vocabulary), name="topics", digest=digest, **more)

    return data("train", splits={split: data(split) for split in ("validation", "test")})


def _sizes(count: int) -> list[int]:
    sizes = [int(share * count) for share in SHARES.values()]
    return [count - sum(sizes[1:]), *sizes[1:]]


def windows(tokens: Int[Tensor, " count"], length: int) -> tuple[Int[Tensor, "windows length"], Tensor]:
    """Neighbouring windows and, for each, the same moved on by one character."""
    count = (len(tokens) - 1) // length
    return tokens[: count * length].view(count, length), tokens[1 : count * length + 1].view(count, length)
