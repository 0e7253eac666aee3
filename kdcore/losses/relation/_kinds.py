"""The relations among a batch's samples that named losses compare, and the distances between two such relations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import unit
from kdcore.losses.relation._rows import distances, gram, huber, inverse, squared_distances

PKT_EPSILON = 1e-7  # the authors', beside every length and in both sides of every logarithm


def similarities(rows: Float[Tensor, "batch size"]) -> Float[Tensor, "batch batch"]:
    """Products of all pairs of samples, each row of them at length 1."""
    return unit(gram(rows))


def kernel_correlations(
    rows: Float[Tensor, "batch size"], gamma: float = 0.4, order: int = 2
) -> Float[Tensor, "batch batch"]:
    """A Gaussian kernel of directions, by its series in their cosine up to a power."""
    directions = unit(rows)
    cosine, steepness = gram(directions), 2 * gamma
    powers = factor = math.exp(-steepness)
    for power in range(order, 0, -1):  # Horner's scheme: 1 + x (1 + x/2 (1 + x/3 ...)), times the factor in front
        powers = (powers * cosine).mul_(steepness / power).add_(factor)
    return powers


def scaled_distances(rows: Float[Tensor, "batch size"]) -> Float[Tensor, "batch batch"]:
    """Distances of all pairs over the mean distance of two different samples."""
    return _over_the_mean(squared_distances(rows))


def _over_the_mean(squares: Float[Tensor, "batch batch"]) -> Float[Tensor, "batch batch"]:
    found, pairs = distances(squares), len(squares) * (len(squares) - 1)
    return found * inverse(found.sum() / max(pairs, 1))


def proportions_apart(
    student: Float[Tensor, "batch batch"], teacher: Float[Tensor, "batch batch"]
) -> Float[Tensor, ""]:
    """The mean Huber loss between scaled distances, from squared ones."""
    return huber(_over_the_mean(student), _over_the_mean(teacher))


def distances_of_the_largest(rows: Float[Tensor, "batch size"]) -> Float[Tensor, "batch batch"]:
    """Squared distances of all pairs as parts of the largest."""
    squares = squared_distances(rows)
    return squares * inverse(squares.amax())


def neighbourhoods(rows: Float[Tensor, "batch size"]) -> Float[Tensor, "batch batch"]:
    """How likely each sample would pick every other, in proportion to their shifted cosines; nobody picks itself."""
    shifted = _shifted_cosines(rows)
    others = shifted * (1 - torch.eye(len(rows), dtype=rows.dtype, device=rows.device))
    return others * inverse(others.sum(1, keepdim=True))


def neighbourhoods_with_oneself(rows: Float[Tensor, "batch size"]) -> Float[Tensor, "batch batch"]:
    """The same where a sample may pick itself, as the authors' code has it."""
    shifted = _shifted_cosines(rows)
    return shifted / shifted.sum(1, keepdim=True)


def _shifted_cosines(rows: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    directions = rows * (torch.where(length > 0, length, 1) + PKT_EPSILON).reciprocal()
    return (gram(directions) + 1) / 2


def summed_divergence(student: Tensor, teacher: Tensor) -> Float[Tensor, ""]:
    """Of all samples' distributions from the teacher's to the student's."""
    ratio = (teacher + PKT_EPSILON) / (student + PKT_EPSILON)
    return (teacher * ratio.log()).sum()


def mean_divergence(student: Tensor, teacher: Tensor) -> Float[Tensor, ""]:
    """The same over the number of pairs, as the authors' code has it."""
    return summed_divergence(student, teacher) / teacher.numel()
