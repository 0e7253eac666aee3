"""Tokens of images: which ones two networks share, and how their patches are brought to one grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.tokens import TokenOutputs
from kdcore.types import Outputs, Refusal

Grid = tuple[int, int]  # rows and columns of patches


def common_grid(student: Outputs, teacher: Outputs, key: str) -> Grid:
    """The grid that both images' patches are brought to: the smaller side of both, refused without patches."""
    grids = [getattr(said, "grid", None) for said in (student, teacher)]
    for whose, grid in zip(("student", "teacher"), grids):
        if grid is None:
            raise Refusal(f"{key} needs an image's patches as tokens, and the {whose} has none")
    return tuple(map(min, *grids))


def patches(state: Tensor, said: TokenOutputs, grid: Grid) -> Tensor:
    """The patches' part of a state, ``(batch, patches, width)``, averaged down to a smaller grid where needed."""
    own = state[:, said.special :]
    if said.grid == grid:
        return own
    maps = own.transpose(1, 2).unflatten(2, said.grid)
    return F.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2)


def shared(tokens: Tensor, special: int, kept: int) -> Tensor:
    """Tokens of ``(batch, heads, length, width)`` without the special ones from number `kept` on."""
    return tokens if special == kept else torch.cat([tokens[:, :, :kept], tokens[:, :, special:]], 2)


def coarser(attention: Tensor, special: int, grid: Grid, target: Grid) -> Tensor:
    """Attention on a coarser grid: to a cell it is the sum over the cell's patches, from a cell their mean."""
    patches_a_cell = grid[0] // target[0] * (grid[1] // target[1])
    summed = _cells(_cells(attention, special, grid, target).transpose(2, 3), special, grid, target)
    share = torch.cat([summed[..., :special], summed[..., special:] / patches_a_cell], 3)
    return share.transpose(2, 3)


def _cells(attention: Tensor, special: int, grid: Grid, target: Grid) -> Tensor:
    """The last dimension's patches summed cell by cell."""
    down, across = grid[0] // target[0], grid[1] // target[1]
    cells = attention[..., special:].unflatten(3, (target[0], down, target[1], across)).sum((4, 6))
    return torch.cat([attention[..., :special], cells.flatten(3)], 3)
