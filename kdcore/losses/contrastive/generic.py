"""The common form: an example's score with its own partner against its scores with others."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Bool, Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_dimensions,
    check_floating,
    check_range,
    full_precision,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.contrastive._scores import check_pairs, embedding_sizes, unit
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["softmax", "binary", "linear"]
Others = Literal["classes", "samples"]
FORMS, OTHERS = ("softmax", "binary", "linear"), ("classes", "samples")


def contrastive_kd_generic_loss(
    student_positives: Float[Tensor, " batch"],
    student_negatives: Float[Tensor, "batch negatives"],
    *,
    form: Form = "softmax",
    negative_weight: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Raise each example's score with its own partner and lower its scores with the partners of others.

    .. math::
        L = -\log \frac{e^{s_+}}{e^{s_+} + \lambda \sum_k e^{s_k}} \;\text{(softmax)}, \quad
        L = -\log \sigma(s_+) - \lambda \sum_k \log \sigma(-s_k) \;\text{(binary)}, \quad
        L = -s_+ + \lambda \sum_k s_k \;\text{(linear)}

    Survey: note-kd section 3, in words: its formula is an image that could not be read (errata N-05). The weight of
    the negatives is its lambda.
    Paper: {cite:t}`tian2020contrastive` for ``binary``, which `crd_loss` and `crcd_loss` call; ``softmax`` is that of
    {cite:t}`oord2018representation`.

    Args:
        student_positives: each example's score with its own partner, any floating type; float32 at least.
        student_negatives: its scores with others, at least none; minus infinity stands for no negative.
        form: one choice among all (``softmax``), each pair judged alone (``binary``), or the scores as they are
            (``linear``, the note's words read literally). Default ``softmax``.
        negative_weight: the note's lambda, at least 0. Default 1: the note gives no value.
        reduction: over examples.

    Returns:
        For ``softmax`` and ``binary`` a value of at least 0, 0 at no finite score unless no negative counts (then
        ``softmax`` is exactly 0); for ``linear`` a value of any sign and without a minimum, unless scores are bounded.

    Raises:
        TypeError: scores are not of a floating type.
        ValueError: shapes do not belong together, the form is unknown, or the weight is below 0.

    Notes:
        Scores are similarities that were divided by a temperature and shifted by whatever the critic needs; the
        similarity itself belongs to the caller, so cosines, banks and relations all fit.
        A sum over negatives is no mean: with twice as many of them the same weight counts twice.

    Example:
        >>> import torch
        >>> own, others = torch.tensor([0.0]), torch.tensor([[0.0, 0.0, 0.0]])
        >>> [round(contrastive_kd_generic_loss(own, others, form=f).item(), 4) for f in ("softmax", "binary")]
        [1.3863, 2.7726]
    """
    check_floating(student_positives=student_positives, student_negatives=student_negatives)
    check_dimensions("batch", student_positives=student_positives)
    if student_negatives.ndim != 2:
        shape = tuple(student_negatives.shape)
        raise ValueError(f"student_negatives must have shape (batch, negatives), got {shape}")
    check_pairs("student_positives", student_positives, "student_negatives", student_negatives)
    check_choice("form", form, *FORMS)
    check_range(negative_weight=(negative_weight, 0.0, True))
    own, others = at_least_float32(student_positives), at_least_float32(student_negatives)
    return reduce(_each(own, others, form, negative_weight), reduction)


def _each(own: Tensor, others: Tensor, form: Form, weight: float) -> Float[Tensor, " batch"]:
    if form == "binary":
        return F.softplus(-own) + weight * F.softplus(others).sum(1)
    if form == "linear":
        return weight * torch.where(others == -math.inf, 0, others).sum(1) - own
    shift = math.log(weight) if weight else -math.inf
    return torch.cat([own[:, None], others + shift], 1).logsumexp(1) - own


class ContrastiveKD(Method):
    """`contrastive_kd_generic_loss` inside a batch: cosines of the student's embeddings with the teacher's.

    A linear layer brings the student's embedding to the size of the teacher's, whatever both are; the teacher's is
    taken as it is. Nothing is remembered between batches, so a batch of one has no negatives.

    Args:
        student: size of the student's embedding.
        teacher: of the teacher's.
        form: of the loss. Default ``softmax``.
        temperature: divides the cosines, above 0. Default 0.07, that of CRD's authors.
        negative_weight: the note's lambda. Default 1; none is given.
        others: what counts as a negative: samples of other ``classes``, as the note's words have it, or all other
            ``samples``, which needs no labels. Default ``classes``.
        weight: against the labels. Default 1, ours: no text gives one.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        *,
        form: Form = "softmax",
        temperature: float = 0.07,
        negative_weight: float = 1.0,
        others: Others = "classes",
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, negative_weight=negative_weight, weight=weight)
        for name, value, allowed in (("form", form, FORMS), ("others", others, OTHERS)):
            if value not in allowed:
                raise Refusal(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        self.options = {"form": form, "negative_weight": negative_weight}
        self.temperature, self.others, self.weight = temperature, others, weight
        self.head = nn.Linear(student, teacher)

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        return cls(*embedding_sizes(setting, "contrastive-kd-generic"), **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = unit(self.head(student.embedding)), unit(teacher.embedding.detach())
        with full_precision(mine):
            scores = mine @ theirs.to(mine.dtype).T / self.temperature
        negatives = scores.masked_fill(~self._negatives(batch), -math.inf)
        value = contrastive_kd_generic_loss(scores.diagonal(), negatives, **self.options)
        return {"contrastive_kd": Term(value, self.weight)}

    def _negatives(self, batch: Batch) -> Bool[Tensor, "batch batch"]:
        named = batch.targets if self.others == "classes" else batch.index
        return named[:, None] != named


ENTRIES = (
    Entry("contrastive-kd-generic", "loss", ContrastiveKD, {}, "note-kd, negatives from the batch"),
    Entry("contrastive-kd-binary", "loss", ContrastiveKD, {"form": "binary"}, "CRD's critic, negatives from the batch"),
    Entry("contrastive-kd-linear", "loss", ContrastiveKD, {"form": "linear"}, "note-kd, its words read literally"),
)
