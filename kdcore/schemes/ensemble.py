"""Several networks that answer as one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from kdcore.types import Outputs


class MeanOf(nn.Module):
    """The mean of several networks' probabilities, given as its logarithm so that it reads like scores.

    Args:
        networks: at least one, all with the same classes.
    """

    def __init__(self, *networks: nn.Module):
        super().__init__()
        if not networks:
            raise ValueError("an ensemble needs at least one network, got none")
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Any) -> Outputs:
        said = torch.stack([network(inputs).logits.float().log_softmax(-1) for network in self.networks])
        return Outputs(said.logsumexp(0) - math.log(len(self.networks)))
