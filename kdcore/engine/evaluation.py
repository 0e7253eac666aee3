"""Judging a network on a whole split, and leaving it as it was found."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kdcore.types import Data, Outputs, Scheme


def evaluate(network: nn.Module, data: Data) -> dict[str, float]:
    """The task's numbers for one network, in eval mode, without a graph, in the network's own precision."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()

    def predict(inputs: Any) -> Outputs:
        return network(inputs)

    try:
        with torch.no_grad():
            return data.task.evaluate(predict, data)
    finally:
        for module, training in modes:
            module.training = training


def judged_by(data: Data, split: str = "test") -> Data:
    """The split that judges, or the data itself where it has none."""
    return data.splits.get(split, data)


def judge(scheme: Scheme, data: Data, split: str = "test") -> dict[str, dict[str, float]]:
    """Every network that a scheme delivers, by role, on a split of its data (the data itself if it has none)."""
    return {role: evaluate(network, judged_by(data, split)) for role, network in scheme.delivers().items()}
