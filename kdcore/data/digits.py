"""Scikit-learn's digits, split once: 1,000 to learn from (or 100 of them), 200 to choose by, 597 to judge."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from kdcore.data.digest import digest_of
from kdcore.data.views import Chain, Cutout, Fade, Plain, Shift, Warp
from kdcore.types import Data, Task

# The strong view keeps a digit readable in 8 x 8 pixels: it moves ink by about a pixel and hides a fifth of it.
VIEWS = {
    "weak": Shift(pad=1, mirror=False),
    "plain": Plain(),
    "strong": Chain(Warp(degrees=15, stretch=0.15, slant=0.2, shift=1.0), Fade(0.5), Cutout(0, 3)),
}


@cache
def split() -> dict[str, list[int]]:
    """Indices into scikit-learn's order: ``train``, ``validation``, ``test``, and ``labelled``, 10 a class of train."""
    return json.loads(files("kdcore.data").joinpath("digits.json").read_text())["indices"]


@cache
def _everything() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # late, because it costs half a second

    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels)


def load(device: torch.device | str = "cpu") -> Data:
    """All 1,000 training images with their labels."""
    return _data("digits", "train", device)


def load_labelled(device: torch.device | str = "cpu") -> Data:
    """The 100 training images that the students of the quick task see, 10 a class."""
    return _data("digits-100", "labelled", device)


def _data(name: str, training: str, device: torch.device | str) -> Data:
    images, labels = _everything()
    keys = {"train": training, "validation": "validation", "test": "test"}
    parts = {split_name: (images[split()[key]], labels[split()[key]]) for split_name, key in keys.items()}
    digest = digest_of(parts)

    def data(split_name: str, **more: object) -> Data:
        inputs, targets = (values.to(device) for values in parts[split_name])
        return Data(inputs, targets, Task(), VIEWS, classes=10, name=name, digest=digest, **more)

    return data("train", splits={split_name: data(split_name) for split_name in ("validation", "test")})
