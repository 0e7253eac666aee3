"""Python's own help texts, cut into windows: language tasks that every installation carries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F

from kdcore._typing import Bool, Int, Tensor
from kdcore.data.digest import digest_of
from kdcore.data.views import Plain
from kdcore.randomness import generator
from kdcore.types import Batch, Data, Outputs, Refusal, Task

Tokens = Literal["characters", "byte-pairs"]
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of the text, in this order, without a gap
VIEWS = {"weak": Plain(), "plain": Plain(), "strong": Plain()}
HIDDEN = 0.15  # share of the tokens that a network has to guess from both sides, as BERT has it


# ---------------------------------------------------------------- tokens


@runtime_checkable
class Alphabet(Protocol):
    """What turns text into tokens and back."""

    def __len__(self) -> int: ...
    def encode(self, text: str) -> Int[Tensor, " length"]: ...
    def decode(self, tokens: Int[Tensor, " length"]) -> str: ...


class Characters:
    """Every character is a token: its place among all that occur."""

    def __init__(self, vocabulary: str):
        self.vocabulary = vocabulary

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> Int[Tensor, " length"]:
        known, asked = _codes(self.vocabulary), _codes(text)
        order = known.argsort()
        place = order[np.searchsorted(known, asked, sorter=order).clip(max=len(order) - 1)]
        if strange := set(text[number] for number in np.flatnonzero(known[place] != asked)):
            raise KeyError(f"the vocabulary does not have {sorted(strange)}")
        return torch.from_numpy(place)

    def decode(self, tokens: Int[Tensor, " length"]) -> str:
        return "".join(self.vocabulary[token] for token in tokens.tolist())


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


# ---------------------------------------------------------------- tasks


class LanguageModelling(Task):
    """Predict each token from those before it in its window; judged by perplexity, lower is better.

    Attributes:
        alphabet: turns text into tokens and back.
    """

    score = "perplexity"
    lower_is_better = True

    def __init__(self, alphabet: Alphabet | str):
        self.alphabet = Characters(alphabet) if isinstance(alphabet, str) else alphabet

    @property
    def vocabulary(self) -> str:
        """All characters, where these are the tokens."""
        return self.alphabet.vocabulary

    def encode(self, text: str) -> Int[Tensor, " length"]:
        """Text as tokens."""
        return self.alphabet.encode(text)

    def decode(self, tokens: Int[Tensor, " length"]) -> str:
        """Tokens as text."""
        return self.alphabet.decode(tokens)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy of the next token in nats, averaged over all positions."""
        return F.cross_entropy(outputs.logits.flatten(0, 1).float(), batch.targets.flatten())

    def evaluate(self, predict: Callable[[Any], Outputs], data: Data) -> dict[str, float]:
        """Perplexity of a token, nats a character and the share of tokens guessed, over all positions.

        With characters as tokens the perplexity is the exponential of the nats; nats a character compare networks
        whatever their tokens are.
        """
        nats = right = 0.0
        for part in data.parts(250):
            logits, targets = predict(part.inputs).logits.flatten(0, 1).double(), part.targets.flatten()
            nats += F.cross_entropy(logits, targets, reduction="sum").item()
            right += (logits.argmax(1) == targets).sum().item()
        tokens = data.targets.numel()
        per_character = nats / self._characters(data.targets)
        return {"perplexity": math.exp(nats / tokens), "nats_per_character": per_character, "accuracy": right / tokens}

    def _characters(self, targets: Int[Tensor, "windows length"]) -> int:
        return targets.numel() if isinstance(self.alphabet, Characters) else len(self.decode(targets.flatten()))


class MaskedLanguageModelling(LanguageModelling):
    """Guess hidden tokens from those on both sides; judged by the perplexity of the hidden ones alone.

    The token after the last one of the vocabulary stands where one is hidden. For judging, the same tokens are
    hidden every time.
    """

    @property
    def hidden(self) -> int:
        """The token that stands for a hidden one."""
        return len(self.alphabet)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross-entropy of the hidden tokens in nats, averaged over them."""
        nats = F.cross_entropy(outputs.logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="none")
        guessed = (batch.inputs == self.hidden).flatten()
        return (nats * guessed).sum() / guessed.sum().clamp_min(1)

    def evaluate(self, predict: Callable[[Any], Outputs], data: Data) -> dict[str, float]:
        nats = right = count = 0.0
        view = Hide(self.hidden)
        for number, part in enumerate(data.parts(250)):
            inputs = view(part.inputs, generator("masked", number, device=part.inputs.device))
            guessed = inputs == self.hidden
            logits, targets = predict(inputs).logits[guessed].double(), part.targets[guessed]
            nats += F.cross_entropy(logits, targets, reduction="sum").item()
            right += (logits.argmax(1) == targets).sum().item()
            count += len(targets)
        return {"perplexity": math.exp(nats / count), "nats_per_character": nats / count, "accuracy": right / count}


class Hide:
    """A view in which each token is hidden with a chance of `share`."""

    def __init__(self, token: int, share: float = HIDDEN):
        self.token, self.share = token, share

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        return inputs.masked_fill(self.chosen(inputs, random), self.token)

    def chosen(self, inputs: Tensor, random: torch.Generator) -> Bool[Tensor, "batch length"]:
        return torch.rand(inputs.shape, generator=random, device=inputs.device) < self.share


# ---------------------------------------------------------------- data


@cache
def _text() -> str:
    from pydoc_data.topics import topics  # late, because it is half a megabyte of source

    return "".join(topics.values())


def load(
    device: torch.device | str = "cpu",
    *,
    length: int = 64,
    tokens: Tokens = "characters",
    vocabulary: int = 512,
    most: int | None = None,
) -> Data:
    """The help texts of the running Python, whose digest tells one version's from another's.

    Args:
        device: where the tensors live.
        length: tokens a window, at least 2; windows do not overlap, and what does not fill one is left out.
        tokens: ``characters``, or ``byte-pairs``, learned from the training part by the library ``tokenizers``.
        vocabulary: how many byte-pair tokens there are.
        most: windows of a split, from its first; all where None.
    """
    text = _text()
    parts = dict(zip(SHARES, _split(text, _sizes(len(text)))))
    task = LanguageModelling(_alphabet(tokens, text, parts["train"], vocabulary))
    return _data("topics", {split: task.encode(part) for split, part in parts.items()}, task, length, most, device)


def load_masked(device: torch.device | str = "cpu", *, length: int = 64, most: int | None = None) -> Data:
    """The same texts, characters hidden at random to be guessed from both sides.

    Args:
        device: where the tensors live.
        length: characters a window, at least 2.
        most: windows of a split, from its first; all where None.
    """
    text = _text()
    parts = dict(zip(SHARES, _split(text, _sizes(len(text)))))
    task = MaskedLanguageModelling("".join(sorted(set(text))))
    return _data(
        "topics-masked", {split: task.encode(part) for split, part in parts.items()}, task, length, most, device
    )


def _alphabet(tokens: str, text: str, train: str, vocabulary: int) -> Alphabet:
    if tokens == "characters":
        return Characters("".join(sorted(set(text))))
    if tokens != "byte-pairs":
        raise Refusal(f"tokens must be 'characters' or 'byte-pairs', got {tokens!r}")
    from kdcore.data.byte_pairs import BytePairs

    return BytePairs(train, vocabulary)


def _data(
    name: str, parts: Mapping[str, Tensor], task: LanguageModelling, length: int, most: int | None, device: Any
) -> Data:
    shortest = min(len(part) for part in parts.values()) - 1
    if not 2 <= length <= shortest:
        raise Refusal(f"length must lie in 2 .. {shortest}, got {length}")
    if most is not None and most < 1:
        raise Refusal(f"most must be at least 1, got {most}")
    masked = isinstance(task, MaskedLanguageModelling)
    classes = len(task.alphabet) + masked
    views = VIEWS | ({"weak": Hide(task.hidden), "strong": Hide(task.hidden)} if masked else {})
    digest = _digest(name, parts, length, most)

    def data(split: str, **more: object) -> Data:
        inputs, targets = (part[:most].to(device) for part in windows(parts[split], length))
        targets = inputs if masked else targets
        return Data(inputs, targets, task, views, classes=classes, name=name, digest=digest, **more)

    return data("train", splits={split: data(split) for split in ("validation", "test")})


def _digest(name: str, parts: Mapping[str, Tensor], length: int, most: int | None) -> str:
    """Of the text, of how it is cut, and of the tokens where these are not its characters."""
    content = {"text": np.frombuffer(_text().encode(), np.uint8), "length": np.array(length)}
    if most is not None:
        content["most"] = np.array(most)
    if name != "topics":
        content["task"] = np.frombuffer(name.encode(), np.uint8)
    if sum(map(len, parts.values())) != len(_text()):
        content["tokens"] = torch.cat(list(parts.values())).numpy()
    return digest_of(content)


def _split(text: str, sizes: list[int]) -> list[str]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [text[start : start + size] for start, size in zip(starts, sizes)]


def _sizes(count: int) -> list[int]:
    sizes = [int(share * count) for share in SHARES.values()]
    return [count - sum(sizes[1:]), *sizes[1:]]


def windows(tokens: Int[Tensor, " count"], length: int) -> tuple[Int[Tensor, "windows length"], Tensor]:
    """Neighbouring windows and, for each, the same moved on by one token."""
    count = (len(tokens) - 1) // length
    return tokens[: count * length].view(count, length), tokens[1 : count * length + 1].view(count, length)
