"""Networks whose weights another network writes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from kdcore._typing import Float, Tensor
from kdcore.randomness import generator
from kdcore.types import Outputs


def flat(network: nn.Module) -> Float[Tensor, " size"]:
    """All weights of a network in a row, in the order of their names.

    Example:
        >>> flat(nn.Linear(2, 3)).shape
        torch.Size([9])
    """
    return torch.cat([weight.detach().flatten() for _, weight in sorted(network.named_parameters())])


def unflat(rows: Float[Tensor, "count size"], network: nn.Module) -> dict[str, Tensor]:
    """Rows of weights as stacks of a network's parameters by name, the inverse of `flat` for each row.

    Example:
        >>> network = nn.Linear(2, 3)
        >>> again = unflat(flat(network)[None], network)
        >>> torch.equal(again["weight"][0], network.weight), again["bias"].shape
        (True, torch.Size([1, 3]))
    """
    found, start = {}, 0
    for name, weight in sorted(network.named_parameters()):
        found[name] = rows[:, start : start + weight.numel()].unflatten(1, tuple(weight.shape))
        start += weight.numel()
    return found


class Generator(nn.Module):
    """Noise in, a network's weights out: three hidden layers with ReLU, as in the authors' code.

    Args:
        noise: numbers that are drawn.
        hidden: units of each hidden layer.
        size: numbers that are written.
    """

    def __init__(self, noise: int, hidden: int, size: int):
        super().__init__()
        self.noise = noise
        layers: list[nn.Module] = []
        for inside in (noise, hidden, hidden):
            layers += [nn.Linear(inside, hidden), nn.ReLU()]
            nn.init.kaiming_uniform_(layers[-2].weight, nonlinearity="relu")
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, size))

    def forward(self, noise: Float[Tensor, "count noise"]) -> Float[Tensor, "count size"]:
        return self.layers(noise)

    def draw(self, count: int, random: torch.Generator) -> Float[Tensor, "count size"]:
        """So many networks, as rows of weights."""
        first = next(self.parameters())
        return self(torch.randn(count, self.noise, generator=random, device=first.device, dtype=first.dtype))


class Posterior(nn.Module):
    """The mean of many networks' probabilities, as its logarithm; the networks' weights come from a source of rows.

    The same networks answer every question, so that a judgement can be repeated.

    Args:
        body: whose form the networks have; its own weights are not read.
        source: a module with ``draw(count, generator)``, such as `Generator` or a `Chain`.
        count: networks.
    """

    def __init__(self, body: nn.Module, source: nn.Module, count: int):
        super().__init__()
        self.source, self.count, self.body = source, count, (body,)

    @torch.no_grad()
    def each(self, inputs: Any) -> Float[Tensor, "networks batch classes"]:
        """The logarithm of every network's probabilities."""
        device = next(self.body[0].parameters()).device
        stacked = unflat(self.source.draw(self.count, generator("posterior", device=device)), self.body[0])

        def answer(weights: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(self.body[0], weights, (inputs,)).logits

        return torch.func.vmap(answer)(stacked).float().log_softmax(-1)

    def forward(self, inputs: Any) -> Outputs:
        return Outputs(self.each(inputs).logsumexp(0) - math.log(self.count))

    def doubt(self, inputs: Any) -> Float[Tensor, " batch"]:
        """How far the networks disagree about each input: entropy of the mean answer less the mean entropy, in nats."""
        each = self.each(inputs)
        entropy = lambda log: -(log.exp() * log).sum(-1)
        return entropy(each.logsumexp(0) - math.log(self.count)) - entropy(each).mean(0)
