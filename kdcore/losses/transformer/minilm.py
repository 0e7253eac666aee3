"""The last layer's self-attention: where each token looks, and how the values that it gathers relate."""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Bool, Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_same_shape,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.sequence._positions import check_mask, mean_over_positions
from kdcore.losses.transformer._tokens import check_lengths, common_mask
from kdcore.tokens import scores
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term


def self_attention_relation_loss(
    student_relations: Float[Tensor, "batch heads length length"],
    teacher_relations: Float[Tensor, "batch heads length length"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    causal: bool = False,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match how strongly each token relates to each other one, head by head.

    .. math::
        L = \frac{1}{A \, |M|} \sum_{a=1}^{A} \sum_{i \in M} \mathrm{KL}\bigl( r^t_{a,i} \,\|\, r^s_{a,i} \bigr),
        \quad r_{a,i} = \mathrm{softmax}_{j} (s_{a,ij})

    for each sequence, over its tokens :math:`M` that are not padding; padding is nobody's partner either.

    Survey: zhao2026 section 5.3 and huang2022 section 6.9 (in words).
    Paper: {cite:t}`wang2020minilm`: both of its terms are of this form.

    Args:
        student_relations: relations before their softmax, scaled, any floating type; computed in float32 at least.
        teacher_relations: the same shape, so as many heads; taken as a constant.
        mask: true where a token counts. Default: everywhere.
        causal: whether a token relates to itself and what came before it alone. Default: to all.
        reduction: over sequences.

    Returns:
        A value of at least 0 (up to rounding), 0 when all relations agree; a row may be shifted by a constant.

    Raises:
        TypeError: a tensor is not of a floating type, or the mask holds anything but booleans.
        ValueError: shapes differ, or a head's relations are not square.

    Notes:
        Probabilities of attention serve as well, by their logarithms.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.6, 0.4], [0.5, 0.5]]).log()[None, None]
        >>> round(self_attention_relation_loss(torch.zeros(1, 1, 2, 2), teacher).item(), 4)  # (0.0201 + 0) / 2
        0.0101
    """
    check_floating(student_relations=student_relations, teacher_relations=teacher_relations)
    check_same_shape(student_relations=student_relations, teacher_relations=teacher_relations)
    check_dimensions("batch heads length length", student_relations=student_relations)
    length = student_relations.shape[-1]
    if student_relations.shape[2] != length:
        raise ValueError(f"relations must be square, a row and a column a token, got {tuple(student_relations.shape)}")
    check_mask(mask, (len(student_relations), length))
    allowed = _allowed(mask, length, causal, student_relations.device)
    student, teacher = (_log_relations(each, allowed) for each in (student_relations, teacher_relations.detach()))
    per_token = F.kl_div(student, teacher, reduction="none", log_target=True).sum(3).mean(1)
    return reduce(mean_over_positions(per_token, mask), reduction)


def minilm_loss(
    student_queries: Float[Tensor, "batch heads length student_size"],
    student_keys: Float[Tensor, "batch heads length student_size"],
    student_values: Float[Tensor, "batch heads length student_size"],
    teacher_queries: Float[Tensor, "batch heads length teacher_size"],
    teacher_keys: Float[Tensor, "batch heads length teacher_size"],
    teacher_values: Float[Tensor, "batch heads length teacher_size"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    causal: bool = False,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match a layer's attention distributions and the relations among its values, whatever the widths.

    .. math::
        L = L_{AT} + L_{VR}, \quad
        L_{AT} = \frac{1}{A \, |M|} \sum_{a, i} \mathrm{KL}\bigl( A^t_{a,i} \,\|\, A^s_{a,i} \bigr), \quad
        L_{VR} = \frac{1}{A \, |M|} \sum_{a, i} \mathrm{KL}\bigl( V^t_{a,i} \,\|\, V^s_{a,i} \bigr)

        A_a = \mathrm{softmax}\bigl( Q_a K_a^\top / \sqrt{d} \bigr), \qquad
        V_a = \mathrm{softmax}\bigl( \mathcal V_a \mathcal V_a^\top / \sqrt{d} \bigr)

    for each sequence, over its tokens :math:`M` that are not padding, with each network's own head width :math:`d`.

    Survey: zhao2026 section 5.3 (credited with eq. 15, which is another loss: errata Z-15); huang2022 section 6.9 and
    Table 5.
    Paper: {cite:t}`wang2020minilm`, deep self-attention distillation of the last layer.

    Args:
        student_queries: of one layer, any floating type; computed in float32 at least.
        student_keys: the same shape.
        student_values: the same shape.
        teacher_queries: as many heads and tokens, any width; taken as a constant.
        teacher_keys: the same shape; a constant.
        teacher_values: the same shape; a constant.
        mask: true where a token counts. Default: everywhere.
        causal: whether a token relates to itself and what came before it alone, in both terms. Default: to all, as
            in the paper's encoders.
        reduction: over sequences.

    Returns:
        A value of at least 0 (up to rounding), 0 when attention and value relations agree.

    Raises:
        TypeError: a tensor is not of a floating type, or the mask holds anything but booleans.
        ValueError: batches, heads or lengths differ, or the parts of one network do.

    Notes:
        Queries and keys are compared through their products alone, and values through theirs, so no projection is
        needed; the heads must be as many, since each is set beside the one of its number.
        The paper writes no padding; here it is left out as query, as key, and from the mean.

    Example:
        >>> import torch
        >>> eye = torch.eye(2)[None, None]
        >>> round(minilm_loss(eye, eye, eye, 0 * eye, eye, eye).item(), 4)  # even attention taught, values alike
        0.0612
    """
    student, teacher = (student_queries, student_keys, student_values), (teacher_queries, teacher_keys, teacher_values)
    _check_parts(student, teacher)
    check_mask(mask, (student_queries.shape[0], student_queries.shape[2]))
    mine, theirs = (_relations(part, mask) for part in (student, tuple(part.detach() for part in teacher)))
    terms = (self_attention_relation_loss(a, b, mask, causal=causal, reduction="none") for a, b in zip(mine, theirs))
    return reduce(sum(terms), reduction)


def _check_parts(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> None:
    for whose, parts in (("student", student), ("teacher", teacher)):
        named = dict(zip((f"{whose}_queries", f"{whose}_keys", f"{whose}_values"), parts))
        check_floating(**named)
        check_dimensions("batch heads length size", **named)
        first, *others = named.items()
        for other in others:
            check_same_shape(**dict([first, other]))
    if student[0].shape[:3] != teacher[0].shape[:3]:
        raise ValueError(
            "student and teacher must have the same batch, heads and length, "
            f"got {tuple(student[0].shape[:3])} and {tuple(teacher[0].shape[:3])}"
        )


def _relations(parts: tuple[Tensor, ...], mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scaled products of queries and keys, and of values; with zeros for padding, since 0 times infinity is nothing."""
    hole = None if mask is None else ~mask[:, None, :, None]
    queries, keys, values = (part if hole is None else part.masked_fill(hole, 0) for part in parts)
    return scores(queries, keys), scores(values, values)


def _allowed(mask: Tensor | None, length: int, causal: bool, device: torch.device) -> Tensor | None:
    allowed = None if mask is None else mask[:, None, None, :] & mask[:, None, :, None]
    if causal:
        before = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        allowed = before if allowed is None else allowed & before
    return allowed


def _log_relations(relations: Tensor, allowed: Tensor | None) -> Tensor:
    """Logarithms of relations, the same zero for every student and teacher where there is none to compare."""
    relations = at_least_float32(relations)
    if allowed is None:
        return relations.log_softmax(-1)
    lowest = torch.finfo(relations.dtype).min  # not -inf: a row of padding allows nothing and must stay defined
    return relations.masked_fill(~allowed, lowest).log_softmax(-1).masked_fill(~allowed, 0)


class MiniLM(Method):
    """The two terms of `minilm_loss` on the last layers, beside the task.

    Attention that a network reports itself (relative positions, say) stands in place of queries and keys.

    Args:
        weight: of each term. Default 1: the paper adds them unweighted.
        task_weight: of the task beside them. Default 1, ours: the paper trains on text without labels and fits the
            task afterwards.
    """

    zero_at_agreement = True

    def __init__(self, *, weight: float = 1.0, task_weight: float = 1.0):
        super().__init__()
        refuse_out_of_range(weight=weight, task_weight=task_weight)
        self.weight, self.task_weight = weight, task_weight

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        both = [getattr(said, "values", ()) for said in (setting.student, setting.teacher)]
        for whose, values in zip(("student", "teacher"), both):
            if not values:
                raise Refusal(f"minilm needs queries, keys and values of the last layer, and the {whose} gives none")
        mine, theirs = (values[-1].shape for values in both)
        if mine[1] != theirs[1]:
            raise Refusal(
                f"minilm compares head by head, and the student has {mine[1]} heads where the teacher has {theirs[1]}"
            )
        check_lengths("minilm", mine[2], theirs[2])
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mask, causal = common_mask(student, teacher), student.causal
        attention, values = (each(student) for each in (_attention_scores, _value_scores))
        taught, related = (each(teacher) for each in (_attention_scores, _value_scores))
        return {
            "minilm_attention": Term(self_attention_relation_loss(attention, taught, mask, causal=causal), self.weight),
            "minilm_values": Term(self_attention_relation_loss(values, related, mask, causal=causal), self.weight),
        }


def _attention_scores(said: Outputs) -> Tensor:
    """Of the last layer; a network's own probabilities by their logarithms."""
    if said.reported:
        probabilities = at_least_float32(said.reported[-1])
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
    return scores(said.queries[-1], said.keys[-1])


def _value_scores(said: Outputs) -> Tensor:
    return scores(said.values[-1], said.values[-1])


ENTRIES = (Entry("minilm", "loss", MiniLM, {}, "NeurIPS 2020, the last layer's attention and value relations"),)
