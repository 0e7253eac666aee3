"""Samples of a network's weights from its posterior, by gradient steps with noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.recipe import Recipe
from kdcore.schemes.offline.posterior.networks import flat
from kdcore.types import Batch, Term, Update


class Langevin:
    r"""An update of stochastic gradient Langevin dynamics, by an optimiser that only adds what it is told.

    .. math::
        \theta \leftarrow \theta - \frac{\epsilon}{2} \Bigl( \nabla \bar L(\theta) + \lambda \theta \Bigr)
        + \sqrt{\epsilon / N} \; \xi, \quad \xi \sim \mathcal N(0, 1)

    with :math:`\bar L` the mean loss of a batch and N the samples of the data: scaled by N, a step of
    :math:`\epsilon / N` on the log posterior whose prior is Gaussian with precision :math:`N \lambda`.

    Args:
        network: whose weights walk.
        rate: epsilon.
        decay: lambda.
        samples: N.
    """

    def __init__(self, network: nn.Module, *, rate: float, decay: float, samples: int):
        self.network, self.rate, self.decay, self.samples = network, rate, decay, samples
        self.recipe = Recipe(optimizer="sgd", learning_rate=rate, momentum=0.0, weight_decay=0.0, schedule="constant")

    def update(self, losses: Callable[[Batch], dict[str, Term]]) -> Update:
        """Under the name ``chain``; `losses` is asked for the terms, then the noise is drawn from the step's stream."""

        def watched(batch: Batch) -> dict[str, Term]:
            self.random = batch.generator("langevin")
            return losses(batch)

        return Update("chain", [self.network], watched, self.recipe, backward=self._backward)

    def _backward(self, terms: dict[str, Term], parameters: list[nn.Parameter]) -> None:
        """Half the slope with its prior, and noise that the optimiser's rate brings to its size."""
        total = sum(term.weight * term.value for term in terms.values())
        torch.autograd.backward(total, inputs=parameters)
        scale = (self.samples * self.rate) ** -0.5
        for parameter in parameters:
            slope = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            drift = (slope + self.decay * parameter.detach()) / 2
            noise = torch.randn(parameter.shape, generator=self.random, device=parameter.device, dtype=parameter.dtype)
            parameter.grad = drift - scale * noise


class Chain(nn.Module):
    """Samples of a walk's weights, in a buffer, evenly spread over what is left of it after a first part.

    Args:
        count: samples that are kept.
        size: numbers a sample.
        burn_in: share of the walk before the first, in [0, 1).
    """

    def __init__(self, count: int, size: int, *, burn_in: float):
        super().__init__()
        self.burn_in = burn_in
        self.register_buffer("samples", torch.zeros(count, size))

    def due(self, step: int, steps: int) -> int:
        """How many samples are to be there once a step of a walk of so many has been seen.

        Example:
            >>> [Chain(3, 1, burn_in=0.5).due(step, 9) for step in range(9)]
            [0, 0, 0, 0, 1, 1, 2, 2, 3]
        """
        first = int(self.burn_in * steps)
        if step < first:
            return 0
        left, count = steps - 1 - first, len(self.samples)
        return count if step >= steps - 1 else 1 + (step - first) * (count - 1) // left

    @torch.no_grad()
    def see(self, network: nn.Module, step: int, steps: int) -> None:
        """Keep the weights in the places that are due; a walk with fewer steps than samples fills several at once."""
        first, last = self.due(step - 1, steps) if step else 0, self.due(step, steps)
        if last > first:
            self.samples[first:last] = flat(network)

    def draw(self, count: int, random: torch.Generator) -> Float[Tensor, "count size"]:
        """So many of the samples, with repetition."""
        place = torch.randint(len(self.samples), (count,), generator=random, device=self.samples.device)
        return self.samples[place]
