"""What a transformer says about its input: states, queries, keys and values of every layer, and where it attends.

Needs torch alone. Networks for images and for text return it, wrapped ones too, and losses read it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from kdcore.types import Outputs


@dataclass
class TokenOutputs(Outputs):
    """A transformer's answer.

    The probabilities of attention follow from queries and keys, so a network keeps those alone and may compute its
    own answer in the fastest way; `attention` is worked out where it is asked for. A network whose attention holds
    more than the scaled product (relative positions, say) hands its probabilities over in `reported`.

    Attributes:
        hidden: what the first layer reads, then what each layer adds up to, ``(batch, length, width)``: one more than
            there are layers; before the last norm where the network has one.
        tokens: what the answer is read from, ``(batch, length, width)``: the last state after the last norm.
        queries: of every layer, ``(batch, heads, length, head width)``.
        keys: the same shape.
        values: the same shape.
        reported: probabilities of every layer, ``(batch, heads, length, length)``, where queries and keys do not
            settle them.
        mask: ``(batch, length)``, true where a token counts; None where all do.
        causal: whether a token attends to itself and what came before it alone.
        grid: rows and columns of an image's patches, which are the last tokens, row by row; None for text.
        class_logits: what the class token says where `logits` is something else (see `distillation_logits`).
        distillation_logits: what a token of its own, taught by the teacher, says, ``(batch, classes)``. `logits` is
            then the class token's answer while the network trains, and what both say together once it is judged.
    """

    hidden: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    queries: tuple[Tensor, ...] = ()
    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()
    reported: tuple[Tensor, ...] = ()
    mask: Tensor | None = None
    causal: bool = False
    grid: tuple[int, int] | None = None
    class_logits: Tensor | None = None
    distillation_logits: Tensor | None = None

    @property
    def attention_logits(self) -> tuple[Tensor, ...]:
        """Scaled products of queries and keys of every layer, ``(batch, heads, length, length)``, nothing masked."""
        return tuple(scores(query, key) for query, key in zip(self.queries, self.keys))

    @property
    def attention(self) -> tuple[Tensor, ...]:
        """Where each token looks, of every layer, ``(batch, heads, length, length)``: rows sum to 1."""
        if self.reported:
            return self.reported
        allowed = self.visible
        return tuple(masked_softmax(each, allowed) for each in self.attention_logits)

    @property
    def visible(self) -> Tensor | None:
        """Which tokens (last dimension) each token may attend to; None where all."""
        allowed = None if self.mask is None else self.mask[:, None, None, :]
        if self.causal and self.queries:
            length = self.queries[0].shape[2]
            before = torch.ones(length, length, dtype=torch.bool, device=self.queries[0].device).tril()
            allowed = before if allowed is None else allowed & before
        return allowed

    @property
    def length(self) -> int:
        """How many tokens there are."""
        if self.hidden:
            return self.hidden[0].shape[1]
        return (self.reported or self.queries)[0].shape[2]

    @property
    def special(self) -> int:
        """How many tokens stand before the patches of an image: class, distillation; 0 for text."""
        return 0 if self.grid is None else self.length - self.grid[0] * self.grid[1]


def scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Products of queries and keys over the root of their width, in float32 at least.

    Example:
        >>> scores(torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4))
        tensor([[[[2., 2.],
                  [2., 2.]]]])
    """
    wide = [x if x.dtype == torch.float64 else x.float() for x in (queries, keys)]
    with _full_precision(queries.device):
        return wide[0] @ wide[1].transpose(-2, -1) / queries.shape[-1] ** 0.5


def _full_precision(device: torch.device) -> AbstractContextManager:
    """Autocast would take the product in half precision; tensors without values know no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def masked_softmax(logits: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Probabilities over the last dimension; what is not allowed gets 0, a row without anything allowed is all 0.

    Example:
        >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))
        tensor([[0.5000, 0.5000],
                [0.0000, 0.0000]])
    """
    if allowed is None:
        return logits.softmax(-1)
    lowest = torch.finfo(logits.dtype).min  # -inf would leave a row without anything allowed undefined
    return logits.masked_fill(~allowed, lowest).softmax(-1).masked_fill(~allowed, 0)
