"""The strongest channel directions of a map, with signs that do not depend on a library, and a slope without holes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, unit
from kdcore.losses.relation._rows import COINCIDENT, distances, product


def directions(
    maps: Float[Tensor, "batch channels height width"], count: int
) -> tuple[Float[Tensor, "batch some"], Float[Tensor, "batch channels some"]]:
    """The largest singular values of each sample's map (positions by channels) and their right singular vectors.

    They come from the smaller of the two products of the map with itself. Of a vector and its negative, which are
    equally right, the one is taken whose largest entry is positive. A direction without strength is a vector of zeros.
    """
    rows = at_least_float32(maps).flatten(2)
    channels, positions = rows.shape[1:]
    gram = product(rows, rows.mT) if channels <= positions else product(rows.mT, rows)
    squares, vectors = _Strongest.apply(gram, min(count, channels, positions))
    noise = COINCIDENT * torch.finfo(rows.dtype).eps * squares.amax(1, keepdim=True)
    squares = torch.where(squares > noise, squares, 0)
    if channels > positions:
        vectors = unit(product(rows, vectors).mT).mT
    return distances(squares), torch.where(squares[:, None] > 0, vectors * _signs(vectors), 0)


def _signs(vectors: Tensor) -> Float[Tensor, "batch 1 some"]:
    largest = vectors.detach().gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -1, 1).to(vectors.dtype)


def aligned(
    student: Float[Tensor, "batch channels more"], teacher: Float[Tensor, "batch channels some"]
) -> Float[Tensor, "batch channels some"]:
    """For each direction of the teacher the student's nearest one, turned to its side."""
    with torch.no_grad():
        cosines = product(teacher.mT, student)
        nearest = cosines.abs().argmax(2, keepdim=True)
        side = torch.where(cosines.gather(2, nearest) < 0, -1, 1).to(student.dtype)
    chosen = student.gather(2, nearest.mT.expand(-1, student.shape[1], -1))
    return chosen * side.mT


class _Strongest(torch.autograd.Function):
    """Eigenvectors of the largest eigenvalues. The slope along two equal ones, which has no limit, counts as zero."""

    @staticmethod
    def forward(ctx: Any, gram: Tensor, count: int) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(gram)
        values, vectors = values.flip(-1), vectors.flip(-1)
        ctx.save_for_backward(values, vectors)
        ctx.count = count
        return values[..., :count].clone(), vectors[..., :count].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor, turns: Tensor) -> tuple[Tensor, None]:
        values, vectors = ctx.saved_tensors
        kept = vectors[..., : ctx.count]
        gaps = values[..., None, : ctx.count] - values[..., None]
        noise = COINCIDENT * torch.finfo(values.dtype).eps * values[..., :1, None].abs()
        apart = gaps.abs() > noise
        inner = (vectors.mT @ turns) * torch.where(apart, 1 / torch.where(apart, gaps, 1), 0)
        inner = inner + torch.nn.functional.pad(torch.diag_embed(slopes), (0, 0, 0, vectors.shape[-1] - ctx.count))
        slope = vectors @ inner @ kept.mT
        return (slope + slope.mT) / 2, None
