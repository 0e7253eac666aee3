"""The digits pair with every convolution as a layer, for the question where knowledge is passed."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.experiments.bench import Bench
from kdcore.experiments.training import Trained
from kdcore.models.digits import DigitNetwork
from kdcore.types import Outputs, Refusal


class Layered(nn.Module):
    """A network for digits that answers with the activation of every convolution in place of every stage.

    Args:
        network: one of the digits pair; its weights are used as they are.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        if not isinstance(network, DigitNetwork):
            raise Refusal(f"layers are told for networks of the digits pair, got {type(network).__name__}")
        self.network = network

    def forward(self, images: Tensor) -> Outputs:
        x, features = self.network.normalise(images), []
        for stage in self.network.stages:
            for layer in stage.layers:
                x = F.relu(layer(x))
                features.append(x)
        embedding = x.mean((2, 3))
        return Outputs(self.network.classifier(embedding), tuple(features), (), embedding)


@lru_cache(maxsize=8)
def _layered(teacher: nn.Module) -> nn.Module:
    """One object for all runs that learn from a teacher, so that they share its answers."""
    return Layered(teacher).eval().requires_grad_(False)


class LayeredBench(Bench):
    """A bench whose networks tell every convolution."""

    def network(self, role: str = "student", name: Any = None) -> nn.Module:
        return Layered(super().network(role, name))

    @cached_property
    def teacher(self) -> nn.Module | None:
        found = super().teacher
        return None if found is None else _layered(found)


class TrainedByLayer(Trained):
    bench = LayeredBench


layered = TrainedByLayer()
