"""What there is to load or to fetch: names, where it comes from, how large it is, whether it is there and whole.

Loads no torch, so that ``kdcore data list`` answers at once; what a name loads is imported when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from kdcore.data.files import download, folder, sha256_of
from kdcore.data.problems import DataProblem, UnknownName

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


@dataclass(frozen=True)
class Asset:
    """One thing by name.

    Attributes:
        name: what ``kdcore data get`` and `load` call it.
        kind: ``images``, ``text`` or ``checkpoint``.
        description: one line.
        source: where it comes from.
        licence: as its source states it; empty where it states none.
        loader: what loads it, ``module:function``; empty for a checkpoint.
        architecture: what a checkpoint's file is read into, by its name in `kdcore.models`.
        file: its name in the data folder; empty where it comes with an installed package.
        size: of that file, in bytes.
        sha256: of a checkpoint's file; of a data set's content, whatever the order of its images.
        classes: number of classes.
        normalisation: a checkpoint's.
    """

    name: str
    kind: Literal["images", "text", "checkpoint"]
    description: str
    source: str
    licence: str = ""
    loader: str = ""
    architecture: str = ""
    file: str = ""
    size: int = 0
    sha256: str = ""
    classes: int = 0
    normalisation: str = ""

    @property
    def path(self) -> Path | None:
        """Where its file is or belongs; None for what comes with a package."""
        return folder() / self.file if self.file else None


PUBLIC = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
CIFAR = "https://www.cs.toronto.edu/~kriz/cifar.html, by way of torchvision"


def _public_resnet(depth: int, file: str, size: int, sha256: str, accuracy: float) -> Asset:
    return Asset(
        f"resnet{depth}-a-cifar10",
        "checkpoint",
        f"ResNet-{depth} with zero-padded shortcuts trained on CIFAR-10, {accuracy:.2f} % on its test set",
        f"{PUBLIC}/{file}",
        licence="BSD-2-Clause",
        architecture=f"resnet{depth}-a",
        file=file,
        size=size,
        sha256=sha256,
        classes=10,
        normalisation="imagenet",
    )


_ASSETS = (
    Asset(
        "digits",
        "images",
        "8 x 8 digits: 1,000 training, 200 validation, 597 test images",
        "scikit-learn (load_digits)",
        loader="kdcore.data.digits:load",
        classes=10,
    ),
    Asset(
        "digits-100",
        "images",
        "the same with 100 training images, ten a class, as the students of the quick task see them",
        "scikit-learn (load_digits)",
        loader="kdcore.data.digits:load_labelled",
        classes=10,
    ),
    Asset(
        "topics",
        "text",
        "characters of Python's own help texts, to be predicted from those before them",
        "Python (pydoc_data.topics)",
        licence="PSF-2.0",
        loader="kdcore.data.text:load",
    ),
    Asset(
        "topics-masked",
        "text",
        "the same, characters hidden at random to be guessed from both sides",
        "Python (pydoc_data.topics)",
        licence="PSF-2.0",
        loader="kdcore.data.text:load_masked",
    ),
    Asset(
        "cifar10",
        "images",
        "32 x 32 photographs of 10 classes: 50,000 training, 10,000 test images",
        CIFAR,
        loader="kdcore.data.cifar:load_cifar10",
        file="cifar10.npz",
        size=184_381_688,
        sha256="6b6ac4d8a09a92b9e4e30f762578380a8b9cf8b4031fdb52c9bb92e7ef8805ee",
        classes=10,
    ),
    Asset(
        "cifar100",
        "images",
        "32 x 32 photographs of 100 classes: 50,000 training, 10,000 test images",
        CIFAR,
        loader="kdcore.data.cifar:load_cifar100",
        file="cifar100.npz",
        size=184_386_488,
        sha256="c61792c6a4003e0cf573addd2e8c693859268461bb2c5caedf61b31bd208aa71",
        classes=100,
    ),
    _public_resnet(
        20,
        "resnet20-12fca82f.th",
        1_099_231,
        "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        91.73,
    ),
    _public_resnet(
        32,
        "resnet32-d509ac18.th",
        1_890_043,
        "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850",
        92.63,
    ),
    _public_resnet(
        56,
        "resnet56-4bfd9763.th",
        3_471_733,
        "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
        93.39,
    ),
)
ASSETS = {asset.name: asset for asset in _ASSETS}


def names(kind: str | None = None) -> tuple[str, ...]:
    """The names of everything, or of one kind: ``images``, ``text``, ``checkpoint``."""
    return tuple(name for name, asset in ASSETS.items() if kind in (None, asset.kind))


def asset(name: str) -> Asset:
    """What is known about a name; an unknown one is refused with the nearest that exists."""
    if name not in ASSETS:
        raise UnknownName.among("data set or checkpoint", name, ASSETS)
    return ASSETS[name]


def listing() -> list[dict[str, Any]]:
    """Everything by name, with whether its file is there; nothing is opened."""
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "description": each.description,
            "source": each.source,
            "licence": each.licence,
            "path": str(each.path) if each.path else "",
            "bytes": each.size,
            "state": "built in" if each.path is None else "here" if each.path.exists() else "missing",
        }
        for each in ASSETS.values()
    ]


def check() -> list[dict[str, Any]]:
    """Every file read to its end: whole, damaged, missing or of other content, and in a sentence what to do."""
    return [_checked(each) for each in ASSETS.values()]


def _checked(each: Asset) -> dict[str, Any]:
    found = {"name": each.name, "path": str(each.path) if each.path else "", "bytes": each.size, "problem": ""}
    if each.path is None:
        return found | {"state": "built in"}
    if not each.path.exists():
        hint = f"run `kdcore data get {each.name}`, or put {each.file} into {folder()}"
        return found | {"state": "missing", "problem": f"{each.path} is missing: {hint}"}
    try:
        problem = _difference(each)
    except DataProblem as error:
        return found | {"state": "damaged", "problem": str(error)}
    found["bytes"] = each.path.stat().st_size
    return found | {"state": "other content" if problem else "whole", "problem": problem}


def _difference(each: Asset) -> str:
    """Raise for a damaged file; for a readable one say how its content differs from the known one, if it does."""
    if each.kind == "checkpoint":
        verify(each)
        return ""
    from kdcore.data import archive

    if archive.content(archive.read(each.path, each.classes, each.name)) == each.sha256:
        return ""
    return (
        f"{each.path} can be read but holds other images than {each.name}'s: runs on it carry another digest, run "
        f"`kdcore data get {each.name}` after moving it away to have the original"
    )


def verify(each: Asset) -> Path:
    """The path of a checkpoint's file, once it was found to be the published one."""
    path = each.path
    if not path.exists():
        raise DataProblem(
            f"{each.name} is not here ({path} is missing): run `kdcore data get {each.name}`, or put it there"
        )
    found = sha256_of(path)
    if found != each.sha256:
        raise DataProblem(
            f"{path} is damaged or only half downloaded (SHA-256 {found[:12]}, expected {each.sha256[:12]}): run "
            f"`kdcore data get {each.name}` to fetch it anew"
        )
    return path


def get(name: str, progress: Progress | None = None) -> dict[str, Any]:
    """Have something in the data folder, fetched only if it is missing or damaged.

    Args:
        name: one of `names()`.
        progress: told the bytes so far and the bytes in all.

    Returns:
        ``name``, ``path`` (empty for what comes with a package) and ``state``: ``built in``, ``already here``,
        ``fetched``.
    """
    each = asset(name)
    state = _checked(each)["state"]
    if state in ("missing", "damaged"):
        _fetch(each, progress)
        state = "fetched"
    names_of_states = {"whole": "already here", "other content": "already here"}
    return {"name": name, "path": str(each.path or ""), "state": names_of_states.get(state, state)}


def _fetch(each: Asset, progress: Progress | None) -> None:
    if each.kind == "checkpoint":
        tell = (lambda done: progress(done, each.size)) if progress else None
        download(each.source, each.path, each.sha256, tell)
    else:
        import_module("kdcore.data.cifar").fetch(each)


def load(name: str, device: Any = "cpu", **options: Any) -> Any:
    """A data set as `kdcore.types.Data`, its tensors on a device.

    Args:
        name: one of ``names("images")`` and ``names("text")``.
        device: where its tensors live.
        options: ``holdout`` and ``holdout_seed`` for CIFAR, ``length``, ``most``, ``tokens`` and
            ``vocabulary`` for text.
    """
    each = asset(name)
    if each.kind == "checkpoint":
        raise UnknownName(f"{name} is a checkpoint, not a data set: load it with kdcore.models.pretrained({name!r})")
    module, function = each.loader.split(":")
    loader = getattr(import_module(module), function)
    known = list(signature(loader).parameters)[1:]
    for option in options:
        if option not in known:
            raise UnknownName(f"{name} takes {' and '.join(known) or 'no options'}, got {option!r}")
    return loader(device=device, **options)
