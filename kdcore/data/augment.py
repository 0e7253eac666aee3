"""RandAugment on batches: the operations are torchvision's on tensors, applied to all images that drew the same one."""

from __future__ import annotations

from collections.abc import Callable
from math import atan, degrees

import torch

from kdcore._typing import Tensor

# Of torchvision's 31 steps of strength, step 10 of 30 is a third of the largest change.
STEPS = 30
Operation = Callable[[Tensor, float], Tensor]


def _functional():
    from torchvision.transforms import functional  # late, because it costs a second

    return functional


def _moved(images: Tensor, right: int = 0, down: int = 0, angle: float = 0.0) -> Tensor:
    return _functional().affine(images, angle=angle, translate=[right, down], scale=1.0, shear=[0.0, 0.0])


def _slanted(images: Tensor, along: float = 0.0, down: float = 0.0) -> Tensor:
    shear = [degrees(atan(along)), degrees(atan(down))]
    return _functional().affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])


def _equalised(images: Tensor) -> Tensor:
    # torchvision's first version goes image by image and on a GPU takes histograms as deterministic mode forbids
    from torchvision.transforms.v2.functional import equalize_image

    return equalize_image(images)


# name: (whether it goes both ways, its largest strength, what is done); a strength of s steps is s / 30 of the largest
OPERATIONS: dict[str, tuple[bool, float, Operation]] = {
    "identity": (False, 0.0, lambda images, s: images),
    "shear-x": (True, 0.3, lambda images, s: _slanted(images, along=s)),
    "shear-y": (True, 0.3, lambda images, s: _slanted(images, down=s)),
    "translate-x": (True, 150 / 331, lambda images, s: _moved(images, right=int(s * images.shape[3]))),
    "translate-y": (True, 150 / 331, lambda images, s: _moved(images, down=int(s * images.shape[2]))),
    "rotate": (True, 30.0, lambda images, s: _functional().rotate(images, s)),
    "brightness": (True, 0.9, lambda images, s: _functional().adjust_brightness(images, 1 + s)),
    "colour": (True, 0.9, lambda images, s: _functional().adjust_saturation(images, 1 + s)),
    "contrast": (True, 0.9, lambda images, s: _functional().adjust_contrast(images, 1 + s)),
    "sharpness": (True, 0.9, lambda images, s: _functional().adjust_sharpness(images, 1 + s)),
    "posterise": (False, 4.0, lambda images, s: _functional().posterize(images, 8 - round(s))),
    "solarise": (False, 255.0, lambda images, s: _functional().solarize(images, 255 - s)),
    "autocontrast": (False, 0.0, lambda images, s: _functional().autocontrast(images)),
    "equalise": (False, 0.0, lambda images, s: _equalised(images)),
}


class RandAugment:
    """Some operations on every image, one after the other, each drawn from the fourteen of the paper.

    Args:
        operations: how many an image.
        magnitude: their strength, in 0 .. 30.
    """

    def __init__(self, operations: int, magnitude: int):
        if not 0 <= magnitude <= STEPS:
            raise ValueError(f"magnitude must lie in 0 .. {STEPS}, got {magnitude}")
        self.operations, self.magnitude = operations, magnitude
        signed = [(name, sign) for name, (both, *_) in OPERATIONS.items() for sign in ((1, -1) if both else (1, 1))]
        self.table = signed  # two entries an operation, so that operations are equally likely and so are signs

    def __call__(self, inputs: Tensor, random: torch.Generator) -> Tensor:
        return self.apply(inputs, self.draw(len(inputs), random))

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Rows of `table`, one a round and image."""
        shape = (self.operations, count)
        return torch.randint(len(self.table), shape, generator=random, device=random.device)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        if inputs.dtype != torch.uint8:
            raise TypeError(f"RandAugment works on uint8 images, got {inputs.dtype}")
        for rows in drawn:
            inputs = self._round(inputs, rows)
        return inputs

    def _round(self, inputs: Tensor, rows: Tensor) -> Tensor:
        result = inputs.clone()
        for row in rows.unique().tolist():
            name, sign = self.table[row]
            if name == "identity":
                continue
            chosen = (rows == row).nonzero()[:, 0]
            result[chosen] = self.one(name, sign, inputs[chosen])
        return result

    def one(self, name: str, sign: int, images: Tensor) -> Tensor:
        """One operation on images, at this strength."""
        _, largest, change = OPERATIONS[name]
        # torchvision's own single-precision steps: results are cut off to bytes, so the last bit shows
        strength = torch.linspace(0.0, largest, STEPS + 1)[self.magnitude].item()
        return change(images, sign * strength)
