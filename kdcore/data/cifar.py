"""CIFAR-10 and CIFAR-100 on a device, as uint8 images, with the views of the literature."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdcore.data import archive
from kdcore.data.augment import RandAugment
from kdcore.data.files import folder
from kdcore.data.problems import DataProblem, explained
from kdcore.data.registry import Asset, asset
from kdcore.data.views import Chain, Cutout, Plain, Shift
from kdcore.randomness import generator
from kdcore.types import Data, Refusal, Task, View

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
WEAK = Shift(pad=4, mirror=True)
# As the two-view methods use it: crop, mirror, two operations of magnitude 10, a square of up to half the side.
VIEWS: dict[str, View] = {
    "weak": WEAK,
    "plain": Plain(),
    "strong": Chain(WEAK, RandAugment(operations=2, magnitude=10), Cutout(0, 16)),
}


def load_cifar10(device: torch.device | str = "cpu", *, holdout: int = 0, holdout_seed: int = 0) -> Data:
    """CIFAR-10; see `load_cifar`."""
    return load_cifar("cifar10", device, holdout=holdout, holdout_seed=holdout_seed)


def load_cifar100(device: torch.device | str = "cpu", *, holdout: int = 0, holdout_seed: int = 0) -> Data:
    """CIFAR-100; see `load_cifar`."""
    return load_cifar("cifar100", device, holdout=holdout, holdout_seed=holdout_seed)


def load_cifar(name: str, device: torch.device | str, *, holdout: int = 0, holdout_seed: int = 0) -> Data:
    """The whole data set on a device; fetched first where it is missing.

    Args:
        name: ``cifar10`` or ``cifar100``.
        device: where the tensors live (180 MB).
        holdout: how many training images become the ``validation`` split, as many of each class.
        holdout_seed: which ones.
    """
    each = asset(name)
    if not each.path.exists():
        fetch(each)
    arrays = archive.read(each.path, each.classes, name)
    digest = archive.content(arrays)
    parts = {split: _tensors(arrays, split) for split in archive.SIZES}
    if holdout:
        rest, held = held_out(parts["train"][1], holdout, holdout_seed, each.classes)
        parts |= {"validation": _rows(parts["train"], held), "train": _rows(parts["train"], rest)}
        digest = hashlib.sha256(f"{digest} {holdout} {holdout_seed}".encode()).hexdigest()

    def data(split: str, **more: object) -> Data:
        images, labels = (values.to(device) for values in parts[split])
        return Data(images, labels, Task(), VIEWS, classes=each.classes, name=name, digest=digest, **more)

    return data("train", splits={split: data(split) for split in ("validation", "test") if split in parts})


def _tensors(arrays: archive.Arrays, split: str) -> tuple[Tensor, Tensor]:
    images = np.ascontiguousarray(arrays[f"{split}_images"].transpose(0, 3, 1, 2))
    return torch.from_numpy(images), torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64))


def _rows(part: tuple[Tensor, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    return part[0][index], part[1][index]


def held_out(labels: Tensor, count: int, seed: int, classes: int) -> tuple[Tensor, Tensor]:
    """Indices of the samples that stay and of those held out, as many of each class."""
    each, uneven = divmod(count, classes)
    fewest = int(labels.bincount(minlength=classes).min())
    if uneven or not 0 < each < fewest:
        raise Refusal(
            f"holdout must be a multiple of {classes} between {classes} and {(fewest - 1) * classes}, got {count}"
        )
    order = torch.randperm(len(labels), generator=generator(seed, "holdout"))
    held = torch.cat([order[labels[order] == number][:each] for number in range(classes)]).sort().values
    stays = torch.ones(len(labels), dtype=torch.bool)
    stays[held] = False
    return stays.nonzero()[:, 0], held


def fetch(each: Asset) -> None:
    """Download through torchvision, which checks what came, and write our one file."""
    import torchvision  # late, because it costs a second

    source = {10: torchvision.datasets.CIFAR10, 100: torchvision.datasets.CIFAR100}[each.classes]
    arrays: archive.Arrays = {}
    with _scratch(folder()) as place:
        for split in archive.SIZES:
            part = _downloaded(source, place, split == "train", each)
            arrays |= {
                f"{split}_images": np.asarray(part.data, dtype=np.uint8),
                f"{split}_labels": np.asarray(part.targets, dtype=np.uint8),
                "classes": np.array(part.classes),
            }
    archive.write(each.path, arrays)


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder beside the data for what is downloaded and unpacked, gone afterwards."""
    with explained(parent / "download", "write"):
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=parent, ignore_cleanup_errors=True) as place:
            yield Path(place)


def _downloaded(source: Callable[..., Any], place: Path, train: bool, each: Asset) -> Any:
    """torchvision's data set; it speaks on stdout, and a network that fails raises one of several kinds."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return source(str(place), train=train, download=True)
    except (OSError, RuntimeError) as error:
        if getattr(error, "errno", None) in DISK:
            raise
        raise DataProblem(
            f"{each.name} could not be downloaded ({getattr(error, 'reason', None) or error}): check the network, or "
            f"put {each.file} into {folder()} by hand"
        ) from error
