"""What losses on relations share: a batch as rows, products in full precision, distances that survive duplicates."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import SMALLEST_LENGTH, at_least_float32, check_floating, full_precision
from kdcore.types import Outputs, Refusal, Setting

COINCIDENT = 16  # times the rounding unit: what a squared distance is told from, relative to the lengths it is made of


def product(left: Tensor, right: Tensor) -> Tensor:
    with full_precision(left):
        return left @ right


class _Gram(torch.autograd.Function):
    """The gradient of all products is one product, where autograd would make two and add them up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        return rows @ rows.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return product(slope + slope.mT, rows)


def gram(rows: Float[Tensor, "rows size"]) -> Float[Tensor, "rows rows"]:
    """Products of all rows with all rows."""
    with full_precision(rows):
        return _Gram.apply(rows) if rows.requires_grad else rows @ rows.mT


# ---------------------------------------------------------------- at the door


def check_samples(**features: Tensor) -> None:
    """All hold the same samples, in a first dimension of two or more, none of them empty."""
    check_floating(**features)
    for name, tensor in features.items():
        if tensor.ndim < 2 or not tensor.numel():
            raise ValueError(f"{name} must have shape (batch, ...), none of them 0, got {tuple(tensor.shape)}")
    counts = [len(tensor) for tensor in features.values()]
    if len(set(counts)) > 1:
        *most, last = features
        *some, rest = map(str, counts)
        raise ValueError(
            f"{', '.join(most)} and {last} must hold the same samples, got {', '.join(some)} and {rest} of them"
        )


def as_rows(student_features: Tensor, teacher_features: Tensor) -> tuple[Tensor, Tensor]:
    """One row a sample, in float32 at least; the teacher's cut off its graph."""
    check_samples(student_features=student_features, teacher_features=teacher_features)
    return tuple(at_least_float32(values).flatten(1) for values in (student_features, teacher_features.detach()))


def check_labels(targets: Tensor, samples: Tensor) -> None:
    """Whole numbers, one a sample; which numbers plays no part."""
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"targets must hold whole numbers, one class a sample, got {targets.dtype}")
    if targets.shape != samples.shape[:1]:
        raise ValueError(f"targets must have shape ({len(samples)},), one class a sample, got {tuple(targets.shape)}")


def nothing(student: Tensor) -> Float[Tensor, ""]:
    """What one sample alone can be asked for: 0, with a gradient of zeros."""
    return (0 * student).sum()


# ---------------------------------------------------------------- rows and what lies between them


def centred_unit(rows: Float[Tensor, "rows size"]) -> Float[Tensor, "rows size"]:
    """Each row with mean 0 and length 1, zeros for a row that is constant up to rounding."""
    centred = rows - rows.mean(1, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    noise = COINCIDENT * torch.finfo(rows.dtype).eps * torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    some = length > noise.clamp_min(SMALLEST_LENGTH)
    return torch.where(some, centred / torch.where(some, length, 1), 0)


def squared_distances(rows: Float[Tensor, "batch size"]) -> Float[Tensor, "batch batch"]:
    """Between all rows, from products of the centred rows; 0 and without a gradient where two rows coincide.

    Rounding leaves a difference of products no digit below some part of the rows' own lengths. What lies there
    counts as zero: a distance made of noise would have a gradient without bounds.
    """
    centred = rows - rows.mean(0)
    products = gram(centred)
    lengths = products.diagonal()
    sums = lengths[:, None] + lengths
    found = sums - 2 * products
    apart = found > COINCIDENT * torch.finfo(rows.dtype).eps * sums
    return torch.where(apart, found, 0)


def distances(squares: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
    """Square roots whose slope at 0 is 0."""
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1).sqrt(), 0)


def inverse(values: Tensor) -> Tensor:
    """One over each value, 0 over 0."""
    some = values > 0
    return torch.where(some, 1 / torch.where(some, values, 1), 0)


# ---------------------------------------------------------------- between two networks' relations


def mean_square(student: Tensor, teacher: Tensor) -> Float[Tensor, ""]:
    return F.mse_loss(student, teacher)


def huber(student: Tensor, teacher: Tensor) -> Float[Tensor, ""]:
    """The mean of half the square up to a distance of 1, and of the distance less a half beyond."""
    return F.smooth_l1_loss(student, teacher)


# ---------------------------------------------------------------- what methods are built from


def embedding_sizes(setting: Setting) -> tuple[int, int]:
    """The student's and the teacher's; refused where a network gives none."""
    return _embedding("student", setting.student), _embedding("teacher", setting.teacher)


def _embedding(whose: str, outputs: Outputs) -> int:
    if outputs.embedding is None:
        raise Refusal(f"the samples' embeddings are compared, and the {whose} names none in `embedding`")
    return outputs.embedding.shape[1]


def maps_of(whose: str, outputs: Outputs) -> list[tuple[int, int, int]]:
    """Channels, height and width of every stage; refused where there are none or one is no map."""
    shapes = [tuple(stage.shape[1:]) for stage in outputs.features]
    if not shapes:
        raise Refusal(f"maps are compared, and the {whose} names no stage in `features`")
    for number, shape in enumerate(shapes):
        if len(shape) != 3:
            raise Refusal(f"stage {number} of the {whose} must be a map (channels, height, width), got {shape}")
    return shapes
