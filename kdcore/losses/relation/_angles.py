"""Angles of all triples of samples, compared without ever holding them all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses.relation._rows import distances, inverse

ON_CPU, ELSEWHERE = 2**18, 2**24  # triples at a time: what a core's cache holds, and what a large device is busy with


def angles_apart(
    student_squares: Float[Tensor, "batch batch"], teacher_squares: Float[Tensor, "batch batch"]
) -> Float[Tensor, ""]:
    r"""The mean Huber loss between two networks' cosines at `j` of the triangle `i, j, k`, over all triples.

    The law of cosines needs squared distances alone,

    .. math::
        \cos_j(i, k) = \frac{d_{ij}^2 + d_{jk}^2 - d_{ik}^2}{2 \, d_{ij} \, d_{jk}},

    so the samples' sizes play no part, and triples are made in slices that are forgotten again: their gradient is
    taken in the same pass. A triple two of whose samples coincide at `j` counts as a right angle.

    Args:
        student_squares: squared distances of all pairs of samples, 0 where two coincide.
        teacher_squares: the teacher's, a constant.
    """
    return _AnglesApart.apply(student_squares, teacher_squares)


class _AnglesApart(torch.autograd.Function):
    """Value and gradient in one pass over slices of triples; symmetry of the distances is taken for granted."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        mine, theirs = _inverse_lengths(student), _inverse_lengths(teacher)
        value, slope = student.new_zeros(()), torch.zeros_like(student)
        for part in _parts(len(student), student.device.type):
            cosines = _cosines(student, mine, part)
            apart = cosines - _cosines(teacher, theirs, part)
            pull = apart.clamp(-1, 1)  # the slope of the Huber loss
            value = value + apart.sub_(pull, alpha=0.5).mul_(pull).sum()
            turned = cosines.mul_(pull).sum(2)
            pull = pull.mul_(mine[part, :, None]).mul_(mine[part, None, :])
            slope[part] += 2 * (pull.sum(2) - turned * mine[part].square())
            slope -= pull.sum(0)
        triples = len(student) ** 3
        ctx.save_for_backward(slope / triples)
        return value / triples

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return upstream * slope, None


def _inverse_lengths(squares: Tensor) -> Tensor:
    """One over the distances, and over the root of two: what the law of cosines divides by, once for each side."""
    return inverse(distances(squares)) * 0.5**0.5


def _cosines(squares: Tensor, inverse_lengths: Tensor, part: slice) -> Float[Tensor, "some batch batch"]:
    found = squares[part, :, None] - squares
    return found.add_(squares[part, None, :]).mul_(inverse_lengths[part, :, None]).mul_(inverse_lengths[part, None, :])


def _parts(batch: int, device: str) -> list[slice]:
    """Slices of the samples at which angles stand."""
    size = max(1, (ON_CPU if device == "cpu" else ELSEWHERE) // batch**2)
    return [slice(start, start + size) for start in range(0, batch, size)]
