"""Where each token looks: the attention of every head, entry by entry."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_same_shape,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.transformer._patches import Grid, coarser, shared
from kdcore.losses.transformer._tokens import check_lengths
from kdcore.losses.transformer.hidden_states import Mapping, Pairs, layer_pairs
from kdcore.tokens import TokenOutputs, masked_softmax, scores
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Of = Literal["probabilities", "logits"]
SMALLEST_SUM = 1e-6  # what a row's attention to the tokens that both networks have is divided by, where it is next to 0


def attn_map_distill_loss(
    student_attention: Float[Tensor, "batch heads tokens tokens"],
    teacher_attention: Float[Tensor, "batch heads tokens tokens"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match where each token looks, head by head.

    .. math::
        L = \frac1H \sum_{h=1}^H \lVert A^h_t - A^h_s \rVert_F^2

    for one layer; the mean over layers is the survey's.

    Survey: zhao2026 eq. 13, credited there to ViTKD, which has no attention maps, and with a vector's norm on a
    matrix (errata Z-13).
    Paper: {cite:t}`jiao2020tinybert` for text, with the mean over the entries of scores before the softmax; the
    survey cites {cite:t}`yang2024vitkd`.

    Args:
        student_attention: a layer's matrices, from each token (third dimension) to each (last), any floating type;
            computed in float32 at least.
        teacher_attention: the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only when both are equal; at most ``2 * tokens`` for probabilities.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or they have no heads or tokens.

    Notes:
        Heads are matched by their number, though nothing tells a network which head is the first.
        The mean over entries, usual in public code, is this divided by the square of the number of tokens.

    Example:
        >>> import torch
        >>> student = torch.full((1, 2, 2, 2), 0.5)
        >>> teacher = torch.stack([torch.eye(2), student[0, 1]])[None]  # one head of two looks elsewhere
        >>> attn_map_distill_loss(student, teacher)
        tensor(0.5000)
    """
    check_floating(student_attention=student_attention, teacher_attention=teacher_attention)
    check_same_shape(student_attention=student_attention, teacher_attention=teacher_attention)
    check_dimensions("batch heads tokens tokens", student_attention=student_attention)
    difference = at_least_float32(student_attention) - at_least_float32(teacher_attention.detach())
    return reduce(difference.square().sum((2, 3)).mean(1), reduction)


class AttentionMaps(Method):
    """`attn_map_distill_loss`, the mean over pairs of layers.

    Different depths: see `layer_pairs`. Different numbers of heads: all heads of a layer are averaged in both. Special
    tokens that one network alone has, such as a distillation token, are left out and the rest of the attention is made
    to sum to 1 again. A finer grid of patches is read on the coarser one: attention to a cell is summed over its
    patches, attention from it averaged. Padding looks nowhere.

    Args:
        pairs: of layers, counted from 1; `build` makes them from ``mapping`` as `layer_pairs` does. Default: all of the
            student's layers, spread evenly over the teacher's.
        by_head: whether heads are matched one by one, or averaged first.
        special: how many special tokens both have.
        grid: rows and columns of patches that both are brought to; None for text.
        of: ``probabilities``, the survey's, or ``logits``, the scores before the softmax, as TinyBERT has it.
        mean: whether entries are averaged, not summed, as TinyBERT has it.
        weight: of the mean over layers. Default 1: the equation's.
    """

    zero_at_agreement = True

    def __init__(
        self,
        pairs: Pairs,
        *,
        by_head: bool = True,
        special: int = 0,
        grid: Grid | None = None,
        of: Of = "probabilities",
        mean: bool = False,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if of not in ("probabilities", "logits"):
            raise Refusal(f"of must be 'probabilities' or 'logits', got {of!r}")
        self.pairs, self.by_head, self.special, self.grid = tuple(pairs), by_head, special, grid
        self.of, self.mean, self.weight = of, mean, weight

    @classmethod
    def build(cls, setting: Setting, *, mapping: Mapping | Pairs = "uniform", **settings: Any) -> Self:
        student, teacher = setting.student, setting.teacher
        shapes = [_shapes("student", student), _shapes("teacher", teacher)]
        pairs = _pairs(*map(len, shapes), mapping)
        grid = _common_grid(student, teacher)
        if settings.get("of") == "logits" and (student.reported or teacher.reported or student.grid != teacher.grid):
            raise Refusal("scores before the softmax are matched where both networks give them for the same tokens")
        special = min(student.special, teacher.special)
        by_head = all(shapes[0][mine - 1][1] == shapes[1][theirs - 1][1] for mine, theirs in pairs)
        return cls(pairs, special=special, grid=grid, **{"by_head": by_head, **settings})

    def losses(self, student: TokenOutputs, teacher: TokenOutputs, batch: Batch) -> dict[str, Term]:
        values = [self._one(student, mine, teacher, theirs) for mine, theirs in self.pairs]
        return {"attn_map_distill": Term(torch.stack(values).mean(), self.weight)}

    def _one(self, student: TokenOutputs, mine: int, teacher: TokenOutputs, theirs: int) -> Tensor:
        maps = [self.maps(student, mine), self.maps(teacher, theirs)]
        if not self.by_head:
            maps = [heads.mean(1, keepdim=True) for heads in maps]
        value = attn_map_distill_loss(*maps)
        return value / maps[0].shape[-1] ** 2 if self.mean else value

    def maps(self, said: TokenOutputs, layer: int) -> Float[Tensor, "batch heads tokens tokens"]:
        """A layer's attention among the tokens that both networks have, on their common grid; layers count from 1."""
        found = _attention(said, layer - 1, self.special, self.of)
        if said.mask is not None:
            found = found.masked_fill(~said.mask[:, None, :, None], 0)
        return found if said.grid == self.grid else coarser(found, self.special, said.grid, self.grid)


def _shapes(whose: str, said: Outputs) -> list[torch.Size]:
    """The shape of every layer's queries or probabilities."""
    found = getattr(said, "reported", ()) or getattr(said, "queries", ())
    if not found:
        raise Refusal(f"attn-map-distill matches where a transformer's tokens look, and the {whose} tells no attention")
    return [part.shape for part in found]


def _pairs(student: int, teacher: int, mapping: Mapping | Pairs) -> Pairs:
    """As `layer_pairs`, but what the first layer reads has no attention: a map of words goes to the first layer."""
    pairs = layer_pairs(student, teacher, mapping=mapping)
    if isinstance(mapping, str):
        return tuple((mine, max(1, theirs)) for mine, theirs in pairs)
    if any(0 in pair for pair in pairs):
        raise Refusal("attention starts in layer 1, got a pair with layer 0")
    return pairs


def _common_grid(student: TokenOutputs, teacher: TokenOutputs) -> Grid | None:
    """The coarser grid, None for texts; refused where tokens of one have no counterpart in the other."""
    mine, theirs = student.grid, teacher.grid
    if (mine is None) != (theirs is None):
        raise Refusal("both networks must read an image's patches, or both a text's tokens")
    if mine is None:
        check_lengths("attn-map-distill", student.length, teacher.length)
        return None
    coarse = tuple(map(min, mine, theirs))
    if any(side % other for grid in (mine, theirs) for side, other in zip(grid, coarse)):
        raise Refusal(f"one grid of patches must divide the other, got {mine} and {theirs}")
    return coarse


def _attention(said: TokenOutputs, layer: int, kept: int, of: Of) -> Tensor:
    """One layer's attention without the special tokens from number `kept` on: what is left sums to 1 again."""
    if said.reported:
        rows = shared(at_least_float32(said.reported[layer]), said.special, kept)
        found = shared(rows.transpose(2, 3), said.special, kept).transpose(2, 3)
        return found if said.special == kept else found / found.sum(3, keepdim=True).clamp_min(SMALLEST_SUM)
    logits = scores(*(shared(part[layer], said.special, kept) for part in (said.queries, said.keys)))
    allowed = said.visible
    if of == "probabilities":
        return masked_softmax(logits, allowed)
    return logits if allowed is None else logits.masked_fill(~allowed, 0)


ENTRIES = (
    Entry("attn-map-distill", "loss", AttentionMaps, {}, "zhao2026 eq. 13"),
    Entry(
        "attn-map-distill-tinybert",
        "loss",
        AttentionMaps,
        {"of": "logits", "mean": True},
        "TinyBERT: scores before the softmax, the mean over entries",
    ),
)
