"""What a method may know when it is built: sizes, read from answers that cost nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kdcore.types import Data, Outputs, Setting, take


def setting_of(student: nn.Module, teacher: nn.Module, data: Data) -> Setting:
    """Both networks' answers to two samples, on the meta device, with the sizes of the data."""
    return Setting(sizes(student, data), sizes(teacher, data), data.classes, len(data), teacher)


def sizes(network: nn.Module, data: Data) -> Outputs:
    """What a network says about two samples, as `shapes`."""
    return shapes(network, take(data.inputs, slice(0, 2)))


def shapes(network: nn.Module, sample: Any) -> Outputs:
    """What a network says about a sample, sizes only; a network that cannot run on the meta device runs for real."""
    try:
        return _answer(network, sample, torch.device("meta"))
    except Exception:  # whatever a network asks of values that are not there; a real fault comes again below
        return _answer(network, sample, None).map(lambda value: value.to("meta"))


@torch.no_grad()
def _answer(network: nn.Module, sample: Any, device: torch.device | None) -> Outputs:
    weights = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        if device is None:
            return network(sample)
        moved = {name: value.to(device) for name, value in weights.items()}
        return torch.func.functional_call(network, moved, (_moved(sample, device),))
    finally:
        for module, training in modes:
            module.training = training


def _moved(sample: Any, device: torch.device) -> Any:
    if isinstance(sample, Tensor):
        return sample.to(device)
    return {name: value.to(device) for name, value in sample.items()}
