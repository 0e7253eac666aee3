"""A loss that may not pull harder than the task does."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

import torch
from torch import Tensor, nn

from kdcore.types import Term

EPOCHS = 100  # of the authors' training, in whose first five the leave grows from a half to the whole


def leave(progress: float) -> float:
    """How much of the task's gradient a truncated loss may reach: the authors' sigmoid of the epoch."""
    return 1 / (1 + math.exp(-EPOCHS * progress))


def truncated_backward(
    terms: dict[str, Term], parameters: Sequence[nn.Parameter], truncated: Container[str], limit: float
) -> None:
    """Fill the gradients; for each weight that of the truncated terms is cut to `limit` times that of all others.

    A weight that the others do not reach (of an adapter) keeps all that it gets.
    """
    sums: dict[bool, Tensor | float] = {False: 0.0, True: 0.0}
    for name, term in terms.items():
        sums[name in truncated] = sums[name in truncated] + term.value * term.weight
    task = torch.autograd.grad(sums[False], parameters, retain_graph=True, allow_unused=True)
    extra = torch.autograd.grad(sums[True], parameters, allow_unused=True)
    for parameter, most, more in zip(parameters, task, extra):
        parameter.grad = most if more is None else more if most is None else most + _cut(more, limit * most.norm())


def _cut(slope: Tensor, longest: Tensor) -> Tensor:
    length = slope.norm()
    return torch.where(length > longest, slope * (longest / torch.where(length > 0, length, 1)), slope)
