"""What a scheme is built from: fresh networks, a resting teacher, methods of the catalogue, by name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from kdcore.entry import Refusal
from kdcore.experiments.hashing import canonical
from kdcore.experiments.types import resolve, unknown
from kdcore.randomness import seeded
from kdcore.recipe import Recipe
from kdcore.types import Data, Method, Outputs, Setting

Named = str | Mapping[str, Any]
HOLDOUT = 5000  # training images of a data set without a validation split that a search judges by
TRIED = 64  # samples that a trial is judged by, and that a fresh teacher sees


def data_named(asked: Named, device: str, judge: str = "test") -> Data:
    """A data set, one object for all runs; its ``test`` split is the one that runs are judged by.

    Args:
        asked: a name of `kdcore.data`, or ``module:function`` that makes the data; with options, a mapping with
            ``name`` and these.
        device: where its tensors live.
        judge: ``validation`` for a search, which puts the test split out of reach; ``batch`` for a trial, which is
            judged by the first samples of the test split.
    """
    return _data(canonical(_named(asked)), device, judge)


@lru_cache(maxsize=4)
def _data(asked: str, device: str, judge: str) -> Data:
    from kdcore.data import load

    name, options = json.loads(asked)
    make = partial(resolve(name) if ":" in name else partial(load, name), device=device, **options)
    data = make()
    if judge == "test":
        return data
    if judge == "batch":
        return replace(data, splits={"test": next(iter(data.splits["test"].parts(TRIED)))})
    if "validation" not in data.splits:
        data = make(holdout=HOLDOUT)
    return replace(data, splits={"test": data.splits["validation"]})


def network_named(asked: Named, classes: int, seed: int = 0, role: str = "student") -> nn.Module:
    """A fresh network: a name of `kdcore.models`, or ``module:class`` that takes the number of classes."""
    from kdcore.models import build

    name, options = _named(asked)
    if ":" not in name:
        return build(name, classes, seed, role, **options)
    return seeded(partial(resolve(name), classes, **options), seed, "init", role)


def _named(asked: Named) -> tuple[str, dict[str, Any]]:
    if isinstance(asked, str):
        return asked, {}
    return asked["name"], {option: value for option, value in asked.items() if option != "name"}


@dataclass(eq=False)
class Bench:
    """One row under one seed, as a scheme's ``build`` sees it.

    Attributes:
        data: what is learned from.
        student: name of the row's student network.
        source: where the teacher comes from, see `teacher_of`; None for no teacher.
        recipe: of the run.
        seed: of the run; weights depend on it and on the role alone.
    """

    data: Data
    student: Named
    source: Mapping[str, Any] | None
    recipe: Recipe
    seed: int

    def network(self, role: str = "student", name: Named | None = None) -> nn.Module:
        """A fresh network; the row's student architecture unless another is named."""
        network = network_named(name or self.student, self.data.classes, self.seed, role)
        return fitted(network, self.data, self.recipe)

    @cached_property
    def teacher(self) -> nn.Module | None:
        """The finished network, at rest, one object for all runs that learn from it."""
        return None if self.source is None else self.taught_by(self.source)

    def taught_by(self, source: Mapping[str, Any]) -> nn.Module:
        """Another finished network, as `teacher` is."""
        source = {"classes": self.data.classes, **source}
        teacher = teacher_of(canonical(source), _Same(self.data), _manner(self.recipe))
        classes = sizes_said(teacher, self.data).logits.shape[-1]
        if classes != self.data.classes:
            name = source.get("checkpoint") or source["row"]
            raise Refusal(f"teacher {name} knows {classes} classes, data {self.data.name} has {self.data.classes}")
        return teacher

    @cached_property
    def setting(self) -> Setting:
        """What methods may know of both networks, sizes without values."""
        if self.teacher is None:
            raise Refusal("a method needs a teacher, and the row has none")
        return self.setting_of(self.teacher)

    def setting_of(self, teacher: nn.Module) -> Setting:
        data = self.data
        return Setting(self._own_sizes(), sizes_said(teacher, data), data.classes, len(data), teacher)

    def _own_sizes(self) -> Outputs:
        """Of the student's answers, asked for once for all rows and seeds: weights do not move them."""
        from kdcore.engine import sizes

        key, known = (type(self), canonical(self.student)), OWN.setdefault(self.data, {})
        if key not in known:
            known[key] = sizes(self.network(), self.data)
        return known[key]

    def method(self, key: str, **settings: Any) -> Method:
        """A method of the catalogue, built for this student and teacher; its weights depend on the seed and its key."""
        entry = entry_of(key)
        if not (isinstance(entry.make, type) and issubclass(entry.make, Method)):
            raise Refusal(f"{key} is a {entry.kind} and not a method that matches a teacher")
        _check_options(key, entry.make, settings)
        settings = {**entry.settings, **settings}
        make = lambda: entry.make.build(self.setting, **settings)
        return seeded(make, self.seed, "init", key).to(self.data.device)


def entry_of(key: str) -> Any:
    """The catalogue's entry of a key, imported."""
    from kdcore import catalogue

    return catalogue.load(key)


def _check_options(key: str, make: type, settings: Mapping[str, Any]) -> None:
    """Refuse a setting that neither the class nor its ``build`` takes."""
    taken = (value.name for value in _parameters(make) if value.kind is not value.VAR_KEYWORD)
    known = dict.fromkeys(name for name in taken if name not in ("self", "setting"))
    for name in settings:
        if name not in known:
            raise unknown(f"setting of {key}", name, known)


def options_of(scheme: str) -> list[str]:
    """What a scheme and its ``build`` take by name alone, which is all that is not a network or data."""
    taken = _parameters(entry_of(scheme).make)
    return list(dict.fromkeys(value.name for value in taken if value.kind is value.KEYWORD_ONLY))


def _parameters(make: type) -> list[inspect.Parameter]:
    return [value for taker in (make.__init__, make.build) for value in inspect.signature(taker).parameters.values()]


def fitted(network: nn.Module, data: Data, recipe: Recipe) -> nn.Module:
    """A network on the data's device, in the recipe's memory layout, compiled where it says so."""
    from kdcore.engine import compile_network

    network = network.to(data.device)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return compile_network(network, recipe.compile, data.device)


OWN: WeakKeyDictionary[Data, dict[tuple[type, str], Outputs]] = WeakKeyDictionary()
SAID: WeakKeyDictionary[nn.Module, WeakKeyDictionary[Data, Outputs]] = WeakKeyDictionary()


def sizes_said(teacher: nn.Module, data: Data) -> Outputs:
    """The sizes of a resting network's answers, asked for once for all rows that learn from it."""
    from kdcore.engine import sizes

    said = SAID.setdefault(teacher, WeakKeyDictionary())
    if data not in said:
        said[data] = sizes(teacher, data)
    return said[data]


class _Same:
    """A key of a cache that stands for one object."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def _manner(recipe: Recipe) -> Recipe:
    """A recipe without what does not touch a resting network, so that rows with their own share one teacher."""
    kept = ("precision", "threads", "channels_last", "compile", "tabulate")
    return Recipe(**{name: getattr(recipe, name) for name in kept})


@lru_cache(maxsize=8)
def teacher_of(source: str, data: _Same, manner: Recipe) -> nn.Module:
    """A finished network at rest, in the arithmetic of a recipe.

    `source` is JSON and holds ``checkpoint``, a public one's name, or ``network``, ``classes`` and ``weights``, a file
    of the store; without ``weights`` the network is a fresh one, enough to try a pair. Its norms have seen a few images
    then: with those that it is born with, values grow from layer to layer and nothing can be learned from it.
    """
    from torch.optim.swa_utils import update_bn

    from kdcore.engine import at_rest, tabulate, tabulate_logits
    from kdcore.types import take

    said, own = json.loads(source), data.value
    network = raw_teacher(said, own.device)
    if not said.keys() & {"checkpoint", "weights"}:
        update_bn([take(own.inputs, slice(0, TRIED))], network)
    if manner.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network = at_rest(network, manner.precision, take(own.inputs, slice(0, 8)))
    network = fitted(network, own, manner)
    if manner.tabulate and hasattr(own.views["weak"], "choices"):
        logits = manner.tabulate == "logits"
        tabulate_logits(network, own, precision=manner.precision) if logits else tabulate(network, own)
    return network


def raw_teacher(source: Mapping[str, Any], device: torch.device | str = "cpu") -> nn.Module:
    """A finished network as it was trained, in eval mode."""
    if "checkpoint" in source:
        from kdcore.models import pretrained

        return pretrained(source["checkpoint"]).to(device).eval()
    network = network_named(source["network"], source["classes"], role="teacher")
    if "weights" in source:
        network.load_state_dict(read_weights(Path(source["weights"])))
    return network.to(device).eval()


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)
