"""How far written texts are from real ones, by the pieces that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kdcore._typing import Int, Tensor
from kdcore.types import Batch, Data, Outputs, Task

LONGEST = 4  # pieces of one to four tokens, as in the paper


def ngram_distance(
    written: Int[Tensor, "texts length"], real: Int[Tensor, "more length_of_real"], size: int, vocabulary: int
) -> float:
    r"""Jensen-Shannon divergence, in nats, between how often pieces of a size occur in two sets of texts.

    .. math::
        \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m), \quad m = \tfrac12 (p + q)

    Returns:
        0 where both use the same pieces equally often, at most ``log 2``, where they share none.

    Example:
        >>> one, other = torch.tensor([[0, 1, 0, 1]]), torch.tensor([[0, 0, 1, 1]])
        >>> ngram_distance(one, other, 1, 2), round(ngram_distance(one, other, 2, 2), 4)  # 01, 10, 01 and 00, 01, 11
        (0.0, 0.3749)
    """
    counts = [pieces(texts, size, vocabulary) for texts in (written, real)]
    known = torch.cat([names for names, _ in counts]).unique()
    shares = []
    for names, found in counts:
        share = torch.zeros(len(known), dtype=torch.float64, device=known.device)
        share[torch.searchsorted(known, names)] = found.double() / found.sum()
        shares.append(share)
    middle = (shares[0] + shares[1]) / 2
    halves = (torch.where(share > 0, share * (share / middle).log(), 0.0).sum() for share in shares)
    return sum(half.item() for half in halves) / 2


def pieces(texts: Int[Tensor, "texts length"], size: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """The numbers of all pieces of a size that occur, sorted, and how often each does."""
    if vocabulary**size >= 2**62:
        raise ValueError(f"pieces of {size} of {vocabulary} tokens cannot be numbered")
    windows = texts.unfold(1, size, 1)
    powers = vocabulary ** torch.arange(size, device=texts.device)
    return (windows * powers).sum(2).flatten().unique(return_counts=True)


class Writing(Task):
    """Texts are judged by the pieces they are made of, against those of the set; lower is better.

    Attributes:
        vocabulary: number of tokens.
    """

    score = "distance4"
    lower_is_better = True

    def __init__(self, vocabulary: int):
        self.vocabulary = vocabulary

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        raise TypeError("a generator of texts has no label to learn")

    def evaluate(self, predict: Callable[[Any], Outputs], data: Data) -> dict[str, float]:
        """Distances by size of piece, the mean entropy of a place in nats, and the share of texts that differ."""
        said = predict(data.inputs).logits
        texts = said.argmax(2)
        distances = {
            f"distance{size}": ngram_distance(texts, data.inputs, size, self.vocabulary)
            for size in range(LONGEST, 0, -1)
        }
        log = said.double().log_softmax(2)
        entropy = -(log.exp() * log).sum(2).mean().item()
        distinct = len(texts.unique(dim=0)) / len(texts)
        return {**distances, "entropy": entropy, "distinct": distinct}
