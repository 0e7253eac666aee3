"""Networks with nothing to learn: folded and frozen."""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kdcore.types import Outputs

log = logging.getLogger(__name__)


def at_rest(network: nn.Module, precision: str = "float32", sample: Any | None = None) -> nn.Module:
    """A frozen copy in eval mode; in bfloat16 with each batch norm folded into its convolution.

    Folding is found, not declared: a batch norm that reads exactly what a convolution returned is folded, and the
    result is kept only if all answers on `sample` stay the same to 1e-3 of their size.

    Args:
        network: any network that returns `Outputs`.
        precision: ``float32`` leaves the arithmetic alone, ``bfloat16`` folds. The weights stay in float32, so that
            the network also answers outside autocast; inside, they are cast once a step.
        sample: a few inputs, needed for folding; without it nothing is folded.
    """
    resting = copy.deepcopy(network).eval().requires_grad_(False)
    return resting if precision == "float32" or sample is None else _folded(resting, sample)


@torch.no_grad()
def _folded(network: nn.Module, sample: Any) -> nn.Module:
    """All pairs folded at once; where that changes an answer, those pairs alone that change none."""
    pairs, said = _conv_bn_pairs(network, sample), network(sample)
    if _agree(said, (folded := _fold(network, pairs))(sample)):
        return folded
    good = [pair for pair in pairs if _agree(said, _fold(network, [pair])(sample))]
    log.info("%d of %d batch norms of a resting network are folded", len(good), len(pairs))
    folded = _fold(network, good)
    return folded if _agree(said, folded(sample)) else network


def _fold(network: nn.Module, pairs: list[tuple[str, str]]) -> nn.Module:
    folded = copy.deepcopy(network)
    for convolution, norm in pairs:
        _replace(folded, convolution, fuse_conv_bn_eval(folded.get_submodule(convolution), folded.get_submodule(norm)))
        _replace(folded, norm, Absorbed(folded.get_submodule(norm)))
    return folded


class Absorbed(nn.Identity):
    """What stands where a batch norm was folded away: it does nothing, and keeps the norm's scale and shift readable.

    Methods that match pre-activations (OFD) know from these two how a channel is distributed.
    """

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        for name in ("weight", "bias"):
            value = getattr(norm, name)
            self.register_buffer(name, None if value is None else value.detach().clone())


def _conv_bn_pairs(network: nn.Module, sample: Any) -> list[tuple[str, str]]:
    """Names of (convolution, batch norm) where the second reads the very tensor that the first returned."""
    made: dict[int, str] = {}
    pairs: list[tuple[str, str]] = []
    kept: list[Tensor] = []  # so that no identity is used twice

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(module, nn.Conv2d):
                made[id(output)] = name
                kept.append(output)
            elif id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])], name))

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in network.named_modules() if _folds(module)]
    try:
        network(sample)
    finally:
        for handle in handles:
            handle.remove()
    return pairs


def _folds(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) or (isinstance(module, nn.BatchNorm2d) and module.running_mean is not None)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _agree(one: Outputs, two: Outputs) -> bool:
    pairs = [pair for pair in zip(tensors_of(one), tensors_of(two), strict=True) if pair[0].is_floating_point()]
    return all((a - b).abs().max() <= 1e-3 * a.abs().max().clamp_min(1e-6) for a, b in pairs)


def tensors_of(outputs: Outputs) -> list[Tensor]:
    """Every tensor of an answer, in the order of its fields."""
    found: list[Tensor] = []
    outputs.map(lambda value: found.append(value) or value)
    return found
