"""Batch norms for adapters: torch's, with an answer also where a channel has one value to be normalised by."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class _Steady:
    """A single value has no spread: it is normalised by the running statistics, which then stay as they are.

    Torch refuses it, and a batch of one pooled example is no mistake.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > x.shape[1]:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class SteadyNorm1d(_Steady, nn.BatchNorm1d):
    """For ``(batch, channels)``."""


class SteadyNorm2d(_Steady, nn.BatchNorm2d):
    """For ``(batch, channels, height, width)``."""
