"""What a scheme may find out about networks before it trains them: sizes, and which layers an answer hangs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kdcore.types import Outputs, Refusal

Pick = Callable[[Outputs], Tensor]


def answer(network: nn.Module, sample: Any) -> Outputs:
    """What a network says of a few inputs, in eval mode and without a graph; its modes are put back."""
    with evaluating(network), torch.no_grad():
        return network(sample)


def last_map(network: nn.Module, sample: Any, whose: str) -> tuple[int, int, int]:
    """Channels, height and width of the last of a network's maps."""
    features = answer(network, sample).features
    if not features or features[-1].ndim != 4:
        raise Refusal(f"the discriminators read feature maps (batch, channels, height, width), and {whose} names none")
    return tuple(features[-1].shape[1:])


def reached(network: nn.Module, sample: Any, pick: Pick) -> set[str]:
    """Names of the parameters on which one part of the answer hangs."""
    return set(_reached(network, sample, [pick])[0])


def blocks(network: nn.Module, sample: Any) -> list[list[nn.Module]]:
    """The layers that hold parameters, by the first of the network's maps that hangs on them; the rest comes last.

    Raises:
        Refusal: a module with parameters of its own holds others, so that layers cannot be told apart.
    """
    depth = len(answer(network, sample).features)
    picks: list[Pick] = [lambda said, at=at: said.features[at] for at in range(depth)]
    hangs = _reached(network, sample, picks)
    found: list[list[nn.Module]] = [[] for _ in range(depth + 1)]
    for name, module in network.named_modules():
        own = [f"{name}.{own}" if name else own for own, _ in module.named_parameters(recurse=False)]
        if not own:
            continue
        if any(True for child in module.children() for _ in child.parameters()):
            raise Refusal(f"layers are trained block by block, and {type(module).__name__} mixes its own with others")
        found[next((at for at in range(depth) if own[0] in hangs[at]), depth)].append(module)
    return found


def _reached(network: nn.Module, sample: Any, picks: list[Pick]) -> list[list[str]]:
    asked = [(name, weight, weight.requires_grad) for name, weight in network.named_parameters()]
    try:
        for _, weight, _ in asked:
            weight.requires_grad_(True)
        with evaluating(network), torch.enable_grad():
            said = network(sample)
            weights = [weight for _, weight, _ in asked]
            found = []
            for pick in picks:
                slopes = torch.autograd.grad(pick(said).sum(), weights, allow_unused=True, retain_graph=True)
                found.append([name for (name, *_), slope in zip(asked, slopes) if slope is not None])
            return found
    finally:
        for _, weight, learns in asked:
            weight.requires_grad_(learns)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode for a while; every module gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
