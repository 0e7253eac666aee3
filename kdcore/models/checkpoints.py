"""Saved weights: read by a named format and as tensors alone, written whole or not at all."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdcore.data.files import written
from kdcore.data.problems import DataProblem, UnknownName, explained
from kdcore.data.registry import asset, verify
from kdcore.models.architectures import build

Weights = dict[str, Tensor]
KEY = "state_dict"


class Format(NamedTuple):
    """How a file becomes weights under our names.

    Attributes:
        read: the tensors in a file's bytes.
        rename: its name of a tensor to ours.
        without: beginnings and ends of our names that such files need not have.
        note: what such a file is.
    """

    read: Callable[[bytes], Weights]
    rename: Callable[[str], str]
    without: tuple[str, ...]
    note: str


def _torch(content: bytes) -> Weights:
    """A dictionary of tensors under ``state_dict``; anything else in the file must be plain numbers or text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a foreign file torch says more than the one sentence it gets here
        held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(held, dict) or not isinstance(held.get(KEY), dict):
        raise ValueError(f"no dictionary under {KEY!r}")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in held[KEY].items()):
        raise ValueError(f"more than named tensors under {KEY!r}")
    return dict(held[KEY])


def _safetensors(content: bytes) -> Weights:
    from safetensors.torch import load

    return load(content)


AKAMASTER = (
    ("module.", ""),
    ("conv1", "first.conv"),
    ("bn1", "first.norm"),
    ("conv2", "second.conv"),
    ("bn2", "second.norm"),
    ("layer1", "stages.0"),
    ("layer2", "stages.1"),
    ("layer3", "stages.2"),
    ("linear", "classifier"),
)


def _from_akamaster(name: str) -> str:
    for old, new in AKAMASTER:
        name = name.replace(old, new)
    return name.replace("first", "stem", 1) if name.startswith("first") else name


FORMATS = {
    "kdcore": Format(_torch, str, (), "what `save_checkpoint` writes"),
    "safetensors": Format(_safetensors, str, (), "tensors under our names in a safetensors file"),
    "akamaster": Format(
        _torch,
        _from_akamaster,
        ("normalise.", "num_batches_tracked"),
        "CIFAR-10 ResNets with zero-padded shortcuts of akamaster/pytorch_resnet_cifar10, saved under DataParallel",
    ),
}
DAMAGE = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def load_checkpoint(network: nn.Module, path: str | Path, format: str) -> nn.Module:
    """Put saved weights into a network, all of them or none.

    Args:
        network: whose weights are replaced.
        path: the file.
        format: one of `FORMATS`; it is named, never guessed.

    Returns:
        The network.

    Raises:
        DataProblem: the file is missing, damaged, holds more than tensors, or does not fit the network.
    """
    path = Path(path)
    if format not in FORMATS:
        raise UnknownName.among("checkpoint format", format, FORMATS)
    chosen = FORMATS[format]
    with explained(path, "read"):
        content = path.read_bytes()
    try:
        weights = {chosen.rename(name): value for name, value in chosen.read(content).items()}
    except (*DAMAGE, *_safetensors_errors()) as error:
        raise DataProblem(
            f"{path} is damaged, or holds more than the tensors of format {format!r}: fetch or save it again"
        ) from error
    own = network.state_dict()
    _check_fit(path, weights, own, chosen.without)
    network.load_state_dict(own | weights)
    return network


def _safetensors_errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (SafetensorError,)


def _check_fit(path: Path, weights: Weights, own: Weights, without: tuple[str, ...]) -> None:
    missing = [name for name in own.keys() - weights.keys() if not any(part in name for part in without)]
    foreign = weights.keys() - own.keys()
    misshapen = [name for name in weights.keys() & own.keys() if weights[name].shape != own[name].shape]
    found = [
        f"it lacks {len(missing)} tensors (such as {min(missing)})" if missing else "",
        f"it has {len(foreign)} others (such as {min(foreign)})" if foreign else "",
        f"{_shapes(min(misshapen), weights, own)}" if misshapen else "",
    ]
    if any(found):
        reasons = ", ".join(filter(None, found))
        raise DataProblem(f"{path} does not fit this network: {reasons}; build the network it was saved from")


def _shapes(name: str, weights: Weights, own: Weights) -> str:
    return f"{name} has shape {tuple(weights[name].shape)} where {tuple(own[name].shape)} is needed"


def save_checkpoint(network: nn.Module, path: str | Path, format: str = "kdcore") -> None:
    """Write a network's weights, its normalisation among them.

    Args:
        network: whose weights are written.
        path: the file, which appears only once it is whole.
        format: ``kdcore`` or ``safetensors``.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    match format:
        case "kdcore":
            with written(Path(path)) as file:
                torch.save({KEY: weights}, file)
        case "safetensors":
            from safetensors.torch import save

            with written(Path(path)) as file:
                file.write(save({name: value.clone() for name, value in weights.items()}))
        case _:
            raise UnknownName.among("format that can be written", format, ("kdcore", "safetensors"))


def pretrained(name: str, device: torch.device | str = "cpu") -> nn.Module:
    """A public checkpoint's network with its weights, in eval mode; its file must be in the data folder.

    Args:
        name: one of ``kdcore.data.names("checkpoint")``.
        device: where it lives.
    """
    each = asset(name)
    if each.kind != "checkpoint":
        raise UnknownName(f"{name} is a data set, not a checkpoint: load it with kdcore.data.load({name!r})")
    network = build(each.architecture, each.classes, normalisation=each.normalisation)
    return load_checkpoint(network, verify(each), "akamaster").eval().to(device)
