"""Label every word of a sequence: the task, data with a hidden chain, and a labeller that looks at a window."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import nn

from kdcore._typing import Float, Int, Tensor
from kdcore.randomness import generator
from kdcore.schemes.offline._transfer import plain
from kdcore.schemes.offline.structure.chain import ChainOutputs, chain_nll, viterbi
from kdcore.types import Batch, Data, Outputs, Refusal, Task


class SequenceLabelling(Task):
    """One label for every word; a chain is trained and decoded as a whole, any other network position by position."""

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Negative log-likelihood of the labels, averaged over positions and sequences."""
        return self.per_sequence(outputs, batch.targets).mean() / batch.targets.shape[1]

    def per_sequence(self, outputs: Outputs, labels: Int[Tensor, "batch length"]) -> Float[Tensor, " batch"]:
        scores = outputs.logits if outputs.logits.dtype == torch.float64 else outputs.logits.float()
        if isinstance(outputs, ChainOutputs):
            return chain_nll(scores, outputs.transitions.to(scores.dtype), labels)
        return F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels).sum(1)

    def decode(self, outputs: Outputs) -> Int[Tensor, "batch length"]:
        if isinstance(outputs, ChainOutputs):
            return viterbi(outputs.logits, outputs.transitions)
        return outputs.logits.argmax(2)

    def evaluate(self, predict, data: Data) -> dict[str, float]:
        """Share of right labels, of sequences right throughout, and the likelihood of a position."""
        right, likelihood = [], []
        for part in data.parts(1000):
            said = predict(part.inputs)
            right.append(self.decode(said) == part.targets)
            likelihood.append(self.per_sequence(said.map(Tensor.double), part.targets))
        correct, each = torch.cat(right), torch.cat(likelihood)
        return {
            "accuracy": correct.double().mean().item(),
            "cross_entropy": (each.mean() / correct.shape[1]).item(),
            "sequences": correct.all(1).double().mean().item(),
        }


class WindowLogistic(nn.Module):
    """Every position for itself: a linear function of which words stand around it, and which pairs of neighbours.

    Args:
        words: size of the vocabulary.
        labels: number of labels.
        window: how far it looks to either side, at least 0.
        pairs: whether every two neighbours inside the window count as a feature of their own.
    """

    def __init__(self, words: int, labels: int, *, window: int = 3, pairs: bool = True):
        super().__init__()
        if window < 0:
            raise Refusal(f"window must be at least 0, got {window}")
        self.outside, self.window = words, window  # the word that stands before the first and after the last
        each = words + 1
        singles, places = 2 * window + 1, 2 * window * pairs
        self.register_buffer("single_offsets", each * torch.arange(singles), persistent=False)
        self.register_buffer("pair_offsets", each * singles + each**2 * torch.arange(places), persistent=False)
        self.weights = nn.Embedding(each * singles + each**2 * places, labels)
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.zeros_(self.weights.weight)  # convex as well

    def forward(self, words: Int[Tensor, "batch length"]) -> Outputs:
        around = F.pad(words, (self.window,) * 2, value=self.outside).unfold(1, 2 * self.window + 1, 1)
        features = [around + self.single_offsets]
        if len(self.pair_offsets):
            features.append(around[:, :, :-1] * (self.outside + 1) + around[:, :, 1:] + self.pair_offsets)
        return Outputs(self.weights(torch.cat(features, 2)).sum(2) + self.bias)


WORDS, LABELS = 12, 5
ONWARD, STAY = 0.6, 0.3  # chance of the next label in a circle, and of the same; the rest is even among the others
PULL = 4.0  # how strongly a label prefers the words near its own place on the circle of words


def hidden_chain(
    labelled: int = 30,
    unlabelled: int = 2000,
    tested: int = 500,
    *,
    length: int = 20,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Data:
    """Sequences whose labels follow each other around a circle and whose words only hint at their label.

    The training set is the labelled part; the split ``unlabelled`` holds sequences whose labels are withheld (all
    -1), ``test`` those that judge.

    Args:
        labelled: sequences with labels.
        unlabelled: sequences without.
        tested: sequences that judge.
        length: words a sequence, at least 2.
        seed: which sequences are drawn.
        device: where their tensors live.

    Raises:
        Refusal: a part would be empty, or its sequences shorter than 2.
    """
    if min(labelled, unlabelled, tested) < 1 or length < 2:
        raise Refusal(
            "every part needs at least 1 sequence of at least 2 words, "
            f"got {labelled}, {unlabelled} and {tested} of length {length}"
        )
    random = generator("hidden chain", seed)
    words, labels = _draw(labelled + unlabelled + tested, length, random)
    digest = hashlib.sha256(words.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    words, labels = words.to(device), labels.to(device)

    def part(rows: slice, answers: Tensor, **more: object) -> Data:
        views = {"weak": plain, "plain": plain}
        known = {"classes": LABELS, "name": "hidden-chain", "digest": digest}
        return Data(words[rows], answers, SequenceLabelling(), views, **known, **more)

    seen, withheld = slice(0, labelled), slice(labelled, labelled + unlabelled)
    judged = slice(labelled + unlabelled, None)
    splits = {
        "unlabelled": part(withheld, torch.full_like(labels[withheld], -1)),
        "test": part(judged, labels[judged]),
    }
    return part(seen, labels[seen], splits=splits)


def _draw(count: int, length: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    follow, speak = chances()
    label = torch.randint(LABELS, (count,), generator=random)
    labels = [label]
    for _ in range(length - 1):
        label = torch.multinomial(follow[label], 1, generator=random)[:, 0]
        labels.append(label)
    told = torch.stack(labels, 1)
    words = torch.multinomial(speak[told.flatten()], 1, generator=random).view_as(told)
    return words, told


def chances() -> tuple[Float[Tensor, "labels labels"], Float[Tensor, "labels words"]]:
    """How probable each label is after each other, and each word under each label."""
    number = torch.arange(LABELS)
    step = (number - number[:, None]) % LABELS
    rest = (1 - ONWARD - STAY) / (LABELS - 2)
    follow = torch.where(step == 1, ONWARD, torch.where(step == 0, STAY, rest))
    angle = 2 * torch.pi * (torch.arange(WORDS) / WORDS - number[:, None] / LABELS)
    return follow, (PULL * angle.cos()).softmax(1)
