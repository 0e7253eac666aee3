"""Learned doubt: a branch of the student says how far it will be from the teacher, and that weighs the examples."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch.nn.functional as F
from torch import Tensor, nn

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
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

SMALLEST_VARIANCE = 1e-6  # torchdistill's, so that no example's weight grows without bound


def pad_loss(
    student_features: Float[Tensor, "batch size"],
    teacher_features: Float[Tensor, "batch size"],
    log_variance: Float[Tensor, "batch parts"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's vector, each example weighed by how exactly the student expects to meet it.

    .. math::
        L = \frac1D \sum_d \frac{(f^t_d - f^s_d)^2}{\sigma_d^2} + \ln \sigma_d^2

    Survey: si2023 section 2.1, in words.
    Paper: {cite:t}`zhang2020prime`.

    Args:
        student_features: a vector an example (an embedding or the logits), any floating type; float32 at least.
        teacher_features: the same shape; taken as a constant.
        log_variance: the logarithm of the variance, one for each part of the vector or one for all of it.
        reduction: over examples.

    Returns:
        A value of any sign; lowest where each variance equals the squared distance, where an easy example counts
        much and a hard one little.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or there are neither one nor as many variances as parts.

    Notes:
        A constant variance of 1 leaves the mean squared error. The mean over the vector instead of its sum is that of
        torchdistill, which says it has it from the authors' code; the variance is at least 1e-6, also from there.
        Variances reach the loss as logarithms, so that they need no constraint.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
        >>> [round(pad_loss(student, teacher, torch.full((1, 1), v)).item(), 4) for v in (0.0, 1.0, 2.0)]
        [2.5, 1.9197, 2.3383]
    """
    check_floating(student_features=student_features, teacher_features=teacher_features, log_variance=log_variance)
    check_same_shape(student_features=student_features, teacher_features=teacher_features)
    check_dimensions("batch size", student_features=student_features)
    if log_variance.shape not in (student_features.shape, (len(student_features), 1)):
        wanted = f"{tuple(student_features.shape)} or {(len(student_features), 1)}"
        raise ValueError(f"log_variance must have shape {wanted}, got {tuple(log_variance.shape)}")
    difference = at_least_float32(student_features) - at_least_float32(teacher_features.detach())
    doubt = at_least_float32(log_variance)
    return reduce((difference.square() / (doubt.exp() + SMALLEST_VARIANCE) + doubt).mean(1), reduction)


class PAD(Method):
    """`pad_loss` beside the labels, with a branch of the student's embedding that says the variances.

    The branch is a linear layer and a batch normalisation, as in torchdistill. Embeddings of different sizes are
    brought together by a linear layer. The authors first train with the plain squared error; here the
    normalisation keeps the first variances near 1, which is nearly that.

    Args:
        embedding: size of the student's embedding, which the branch reads.
        size: size of what is matched.
        adapter: sizes of the student's and the teacher's vector where they differ.
        matched: ``logits`` or ``embedding``. Default ``logits``: the survey files the method under outputs.
        weight: against the labels. Default 1, torchdistill's.
    """

    def __init__(
        self,
        embedding: int,
        size: int,
        *,
        adapter: tuple[int, int] | None = None,
        matched: Literal["logits", "embedding"] = "logits",
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.matched, self.weight = matched, weight
        self.variance = nn.Sequential(nn.Linear(embedding, size), nn.BatchNorm1d(size))
        self.adapter = nn.Linear(*adapter) if adapter else nn.Identity()

    @classmethod
    def build(cls, setting: Setting, *, matched: str = "logits", **settings: Any) -> Self:
        if matched not in ("logits", "embedding"):
            raise Refusal(f"matched must be 'logits' or 'embedding', got {matched!r}")
        if setting.student.embedding is None or getattr(setting.teacher, matched) is None:
            raise Refusal("pad needs the student's embedding, and the teacher's where embeddings are matched")
        if setting.student.embedding.ndim != 2:
            raise Refusal("pad matches one vector an example, and these networks answer word by word")
        mine, theirs = (getattr(outputs, matched).shape[1] for outputs in (setting.student, setting.teacher))
        adapter = None if mine == theirs else (mine, theirs)
        return cls(setting.student.embedding.shape[1], theirs, adapter=adapter, matched=matched, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = (getattr(outputs, self.matched) for outputs in (student, teacher))
        return {"pad": Term(pad_loss(self.adapter(mine), theirs, self._doubt(student.embedding)), self.weight)}

    def _doubt(self, embedding: Float[Tensor, "batch embedding"]) -> Float[Tensor, "batch size"]:
        """A batch of one has no statistics of its own: it is judged by those that were collected."""
        if len(embedding) > 1 or not self.variance.training:
            return self.variance(embedding)
        linear, norm = self.variance
        return F.batch_norm(
            linear(embedding), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )


ENTRIES = (
    Entry("pad", "loss", PAD, {}, "ECCV 2020, on logits"),
    Entry("pad-embedding", "loss", PAD, {"matched": "embedding"}, "ECCV 2020, on embeddings"),
)
