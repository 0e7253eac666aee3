"""Every network by name, and how one is built so that its weights depend on the seed and its role alone."""

from __future__ import annotations

import difflib

from torch import nn

from kdcore.models import digits, mobilenet, resnet, shufflenet, transformer, vgg, vit, wide_resnet
from kdcore.models._parts import Architecture
from kdcore.randomness import seeded
from kdcore.types import Refusal

MODULES = (resnet, wide_resnet, vgg, mobilenet, shufflenet, digits, transformer, vit)
ARCHITECTURES = {entry.name: entry for module in MODULES for entry in module.ARCHITECTURES}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """What is known about a name; an unknown one is refused with the nearest that exists."""
    if name not in ARCHITECTURES:
        nearest = difflib.get_close_matches(name, ARCHITECTURES, 1, 0.0)[0]
        raise Refusal(f"no network is called {name!r}, the nearest name is {nearest!r}")
    return ARCHITECTURES[name]


def build(name: str, classes: int, seed: int = 0, role: str = "student", normalisation: str | None = None) -> nn.Module:
    """A fresh network, its initial weights decided by the seed and the role.

    Args:
        name: one of `names()`.
        classes: number of classes, or the vocabulary's size; at least 2.
        seed: the run's seed.
        role: who the network is in the run, so that a student and its partner start apart.
        normalisation: whose constants an image network carries: ``cifar10``, ``cifar100``, ``imagenet``,
            ``digits``. Default: CIFAR-10's for 10 classes, else CIFAR-100's; the digits' networks have their own.

    Example:
        >>> build("digits-student", 10)(torch.zeros(2, 1, 8, 8)).features[1].shape
        torch.Size([2, 32, 4, 4])
    """
    entry = architecture(name)
    if classes < 2:
        raise Refusal(f"classes must be at least 2, got {classes}")
    settings = {**entry.settings, **_carried(entry, classes, normalisation)}
    return seeded(lambda: entry.make(classes, **settings), seed, "init", role)


def _carried(entry: Architecture, classes: int, normalisation: str | None) -> dict[str, str]:
    if entry.make is transformer.Transformer:
        if normalisation is not None:
            raise Refusal(f"normalisation is for images, {entry.name} reads tokens")
        return {}
    if normalisation is not None:
        return {"normalisation": normalisation}
    if entry.make is digits.DigitNetwork or "normalisation" in entry.settings:
        return {}
    return {"normalisation": "cifar10" if classes == 10 else "cifar100"}


def parameter_count(network: nn.Module) -> int:
    """How many numbers a network learns.

    Example:
        >>> parameter_count(build("resnet20", 100))
        278324
    """
    return sum(parameter.numel() for parameter in network.parameters())
