"""What keeps a Wasserstein critic honest: a penalty on its slope between true and false samples."""

from __future__ import annotations

from collections.abc import Callable

import torch

from kdcore._typing import Float, Tensor
from kdcore.losses._common import at_least_float32


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    random: torch.Generator,
) -> Float[Tensor, ""]:
    r"""Hold the length of the critic's slope at 1, at a random place between each false and each true sample.

    .. math::
        R = \frac1B \sum_i \bigl( \lVert \nabla_{\hat x} D(\hat x_i) \rVert_2 - 1 \bigr)^2, \quad
        \hat x_i = x^t_i + u_i (x^s_i - x^t_i), \; u_i \sim U(0, 1)

    after {cite:t}`gulrajani2017improved`. It is differentiable with respect to the critic (a gradient of a gradient)
    and not with respect to the samples.

    Args:
        critic: one score a sample.
        student: the false samples.
        teacher: as many true ones of the same shape.
        random: where the places are drawn from.

    Returns:
        A scalar of at least 0, 0 for a critic with slope 1 everywhere between the samples.

    Example:
        >>> slope = torch.tensor([3.0, 4.0])  # of length 5
        >>> one, other = torch.zeros(6, 2), torch.ones(6, 2)
        >>> gradient_penalty(lambda x: x @ slope, one, other, torch.Generator().manual_seed(0)).item()
        16.0
    """
    if student.shape != teacher.shape:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"student and teacher must have the same shape, got {shapes}")
    false, true = at_least_float32(student.detach()), at_least_float32(teacher.detach())
    shape = [len(true)] + [1] * (true.ndim - 1)
    share = torch.rand(shape, generator=random, device=true.device, dtype=true.dtype)
    with torch.enable_grad():
        between = torch.lerp(true, false, share).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    squares = slope.flatten(1).square().sum(1)
    # the root's own slope is without bound at zero, where a fresh or dead critic may well be
    length = squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()
    return (length - 1).square().mean()
