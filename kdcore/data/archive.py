"""CIFAR as one file of arrays: read, put into the order that does not depend on where it came from, written, checked.

Needs numpy alone. The same images come in different orders from different places; sorted by their bytes they have
one order and one digest, so a run means the same everywhere.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kdcore.data.files import written
from kdcore.data.problems import DataProblem, explained

Arrays = dict[str, np.ndarray]
SIZES = {"train": 50_000, "test": 10_000}


def read(path: Path, classes: int, name: str) -> Arrays:
    """The arrays of a CIFAR file, each split sorted by its bytes; what is missing or damaged is said in a sentence.

    Args:
        path: the file, as `numpy.savez` writes it: ``train_images``, ``train_labels``, ``test_images``,
            ``test_labels``, ``classes``.
        classes: 10 or 100.
        name: what ``kdcore data get`` calls it.
    """
    again = f"run `kdcore data get {name}` to fetch it anew"
    if not path.exists():
        raise DataProblem(f"{name} is not here ({path} is missing): run `kdcore data get {name}`, or put it there")
    try:
        with explained(path, "read"), path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {key: members[key] for key in members.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, AttributeError) as error:
        raise DataProblem(f"{path} is damaged or only half downloaded: {again}") from error
    fault = _fault(arrays, classes)
    if fault:
        raise DataProblem(f"{path} is not {name} ({fault}): {again}")
    return arrays | {key: value for split in SIZES for key, value in _sorted(arrays, split).items()}


def _fault(arrays: Arrays, classes: int) -> str:
    """What about the arrays is not as it should be; nothing where all is well."""
    wanted = {"classes": (classes,)}
    for split, size in SIZES.items():
        wanted |= {f"{split}_images": (size, 32, 32, 3), f"{split}_labels": (size,)}
    for key, shape in wanted.items():
        if key not in arrays:
            return f"it has no {key}"
        if arrays[key].shape != shape:
            return f"{key} must have shape {shape}, got {arrays[key].shape}"
        if key != "classes" and arrays[key].dtype != np.uint8:
            return f"{key} must be uint8, got {arrays[key].dtype}"
    for split, size in SIZES.items():
        counts = np.bincount(arrays[f"{split}_labels"], minlength=classes)
        if len(counts) > classes or (counts != size // classes).any():
            return f"{split}_labels must hold {size // classes} of each of {classes} classes"
    return ""


def _sorted(arrays: Arrays, split: str) -> Arrays:
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    rows = np.ascontiguousarray(np.concatenate([images.reshape(len(images), -1), labels[:, None]], 1))
    order = np.argsort(rows.view(f"V{rows.shape[1]}").ravel(), kind="stable")
    return {f"{split}_images": images[order], f"{split}_labels": labels[order]}


def content(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the sorted images and labels of both splits."""
    found = hashlib.sha256()
    for split in SIZES:
        for part in ("images", "labels"):
            found.update(np.ascontiguousarray(arrays[f"{split}_{part}"]).data)
    return found.hexdigest()


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays as one file, whole or not at all."""
    with written(path) as file:
        np.savez(file, **arrays)
