"""What counts in a sequence: checks of masks, padding that takes no part, means over a sequence's own positions."""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore._typing import Bool, Float

PADDING = -100  # the target that torch's cross-entropy leaves out by default


def check_mask(mask: Tensor | None, shape: torch.Size | tuple[int, ...]) -> None:
    """A mask holds one boolean for each position of each sequence."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must hold booleans, one a position, got {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(f"mask must have shape {tuple(shape)}, one a position, got {tuple(mask.shape)}")


def counted(values: Float[Tensor, "batch length size"], mask: Tensor | None) -> Float[Tensor, "batch length size"]:
    """Values with zeros where padding is, whatever stands there; a product with 0 would keep infinities."""
    return values if mask is None else values.masked_fill(~mask[:, :, None], 0)


def mean_over_positions(
    per_position: Float[Tensor, "batch length"], mask: Bool[Tensor, "batch length"] | None
) -> Float[Tensor, " batch"]:
    """Each sequence's mean over the positions that count; 0 where none does."""
    if mask is None:
        return per_position.mean(1)
    return per_position.masked_fill(~mask, 0).sum(1) / mask.sum(1).clamp_min(1)
