"""Ways to look at samples, as batched tensor code: every number they draw comes from the generator they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from kdcore._typing import Int, Tensor


class Plain:
    """Samples as they are; the one choice lets a resting network's answers be tabulated."""

    choices = 1

    def __call__(self, inputs: Any, random: torch.Generator) -> Any:
        return inputs

    def draw(self, count: int, random: torch.Generator) -> Int[Tensor, " count"]:
        return torch.zeros(count, dtype=torch.long, device=random.device)

    def apply(self, inputs: Any, choice: Int[Tensor, " count"]) -> Any:
        return inputs


class Shift:
    """Pad with zeros and crop back to size at one of ``(2 pad + 1)^2`` places, with or without a mirror.

    A choice is ``(top * places + left) * mirrors + mirrored``, where ``top`` and ``left`` are what is cut off the
    padded image, as `PIL.Image.crop` counts. The middle place leaves the image as it is.

    Args:
        pad: pixels on each side, at least 1.
        mirror: whether left and right may change places.
    """

    def __init__(self, pad: int, mirror: bool):
        if pad < 1:
            raise ValueError(f"pad must be at least 1, got {pad}")
        self.pad, self.mirrors, self.places = pad, 2 if mirror else 1, 2 * pad + 1
        self.choices = self.places**2 * self.mirrors

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        return self.apply(inputs, self.draw(len(inputs), random))

    def draw(self, count: int, random: torch.Generator) -> Int[Tensor, " count"]:
        return torch.randint(self.choices, (count,), generator=random, device=random.device)

    def apply(self, inputs: Tensor, choice: Int[Tensor, " count"]) -> Tensor:
        """Every image at its own place, in a single indexed read of the padded batch."""
        height, width = inputs.shape[2:]
        place, mirrored = choice // self.mirrors, choice % self.mirrors
        across = torch.arange(width, device=inputs.device)
        rows = (place // self.places)[:, None] + torch.arange(height, device=inputs.device)
        columns = (place % self.places)[:, None] + torch.where(mirrored[:, None] == 1, width - 1 - across, across)
        index = (rows[:, :, None] * (width + 2 * self.pad) + columns[:, None, :]).flatten(1)
        padded = F.pad(inputs, (self.pad,) * 4).flatten(2)
        return padded.gather(2, index[:, None].expand(-1, inputs.shape[1], -1)).unflatten(2, (height, width))


class Cutout:
    """Put a square of one colour on every image, its centre anywhere, cut off where it leaves the image.

    Args:
        smallest: shortest side in pixels.
        largest: longest side in pixels; sides in between are equally likely.
        fill: value of the square's pixels.
    """

    def __init__(self, smallest: int, largest: int, fill: float = 0):
        if not 0 <= smallest <= largest:
            raise ValueError(f"smallest must lie in 0 .. largest, got {smallest} and {largest}")
        self.smallest, self.largest, self.fill = smallest, largest, fill

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        return self.apply(inputs, *self.draw(inputs, random))

    def draw(self, inputs: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Centre row, centre column and side, for every image."""
        count, (height, width) = len(inputs), inputs.shape[2:]
        between = lambda low, high: torch.randint(low, high, (count,), generator=random, device=random.device)
        return between(0, height), between(0, width), between(self.smallest, self.largest + 1)

    def apply(self, inputs: Tensor, row: Tensor, column: Tensor, side: Tensor) -> Tensor:
        """Blank rows ``row - side // 2 .. + side`` and columns alike."""
        inside = (
            _within(row, side, inputs.shape[2])[:, None, :, None]
            & _within(column, side, inputs.shape[3])[:, None, None]
        )
        return inputs.masked_fill(inside, self.fill)


def _within(centre: Tensor, side: Tensor, size: int) -> Tensor:
    start = (centre - side // 2)[:, None]
    position = torch.arange(size, device=centre.device)
    return (position >= start) & (position < start + side[:, None])


class Chain:
    """Views one after the other, all drawing from the same generator."""

    def __init__(self, *views: Callable[[Tensor, torch.Generator], Tensor]):
        self.views = views

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        for view in self.views:
            inputs = view(inputs, random)
        return inputs


class Warp:
    """Small turns, stretches, slants and shifts, read between pixels; fit for images of a few pixels.

    Args:
        degrees: largest turn either way.
        stretch: largest relative change of size, for height and width apart.
        slant: largest horizontal shift of the top edge, as a share of half the height.
        shift: largest shift in pixels, up and down and sideways.
    """

    def __init__(self, degrees: float, stretch: float, slant: float, shift: float):
        self.degrees, self.stretch, self.slant, self.shift = degrees, stretch, slant, shift

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        return self.apply(inputs, self.draw(inputs, random))

    def draw(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        """One 2 x 3 matrix an image: from a place in the result to the place that is read, in units of half a side."""
        draws = torch.rand(6, len(inputs), generator=random, device=random.device) * 2 - 1
        turn = draws[0] * torch.pi * self.degrees / 180
        tall, wide = 1 + self.stretch * draws[1], 1 + self.stretch * draws[2]
        slant = self.slant * draws[3]
        down, right = (2 * self.shift / size * draw for size, draw in zip(inputs.shape[2:], draws[4:]))
        top = torch.stack([wide * turn.cos(), wide * (slant - turn.sin()), right], 1)
        bottom = torch.stack([tall * turn.sin(), tall * turn.cos(), down], 1)
        return torch.stack([top, bottom], 1)

    def apply(self, inputs: Tensor, matrices: Tensor) -> Tensor:
        grid = F.affine_grid(matrices.to(inputs.dtype), list(inputs.shape), align_corners=False)
        return F.grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class Fade:
    """Every image's ink times a number of its own.

    Args:
        least: smallest factor, in 0 .. 1; the largest is 1.
    """

    def __init__(self, least: float):
        if not 0 <= least <= 1:
            raise ValueError(f"least must lie in 0 .. 1, got {least:g}")
        self.least = least

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        factor = self.least + (1 - self.least) * torch.rand(len(inputs), generator=random, device=random.device)
        return inputs * factor.view(-1, 1, 1, 1).to(inputs.dtype)
