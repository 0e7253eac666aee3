"""Which methods fit which pair: the whole catalogue, built for two networks of which nothing but sizes exists.

Networks, images and answers have shapes without values, so nothing is computed, trained or downloaded. What a method
or a scheme cannot be built for, and what a loss will not compare, is refused here as it is before a training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache, cached_property, partial
from string import printable
from typing import NamedTuple

import torch
from torch import nn

from kdcore.catalogue import entries, load
from kdcore.data.text import LanguageModelling
from kdcore.engine import setting_of
from kdcore.entry import Refusal
from kdcore.experiments.bench import Bench, Named, network_named
from kdcore.experiments.hashing import canonical
from kdcore.recipe import Recipe
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Entry, Method, Outputs, Scheme, Setting, Task, take

SAMPLES, LENGTH = 1000, 64  # of the data; no refusal hangs on them
RECIPE = Recipe(steps=20)


def images(classes: int) -> Data:
    """Photographs of 32 x 32 without content."""
    inputs = torch.empty(SAMPLES, 3, 32, 32, dtype=torch.uint8, device="meta")
    return _data(inputs, torch.empty(SAMPLES, dtype=torch.long, device="meta"), classes, Task())


def texts() -> Data:
    """Windows of characters without content."""
    rows = torch.empty(SAMPLES, LENGTH, dtype=torch.long, device="meta")
    return _data(rows, rows, len(printable), LanguageModelling(printable))


def _data(inputs: torch.Tensor, targets: torch.Tensor, classes: int, task: Task) -> Data:
    return Data(inputs, targets, task, dict.fromkeys(("weak", "strong", "plain"), _as_it_is), classes=classes)


def _as_it_is(inputs: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    return inputs


class Pair(NamedTuple):
    """A teacher and a student by name, and what they see.

    Attributes:
        key: what the pair is called.
        title: what it stands for, in English.
        zh: and in Chinese.
        teacher: a network of `kdcore.models`.
        student: likewise.
        seen: what both are asked about, in words.
        data: makes it.
    """

    key: str
    title: str
    zh: str
    teacher: str
    student: str
    seen: str
    data: Callable[[], Data]


TEN, HUNDRED = ("CIFAR-10", partial(images, 10)), ("CIFAR-100", partial(images, 100))
PAIRS = (
    Pair("resnets", "Residual networks", "残差网络", "resnet56", "resnet20", *TEN),
    Pair("families", "Two families", "不同族网络", "resnet32x4", "shufflenetv2", *HUNDRED),
    Pair("transformers", "Vision transformers", "视觉 Transformer", "vit-tiny-32", "vit-micro-32", *HUNDRED),
    Pair("token", "With a token for the teacher", "带蒸馏标记", "vit-tiny-32", "deit-micro-32", *HUNDRED),
    Pair("language", "Language models", "语言模型", "text-teacher", "text-student", "texts", texts),
    Pair("encoders", "Encoders", "编码器", "text-encoder-teacher", "text-encoder-student", "texts", texts),
)


class Sizes(Bench):
    """A bench whose networks have shapes and no weights."""

    def network(self, role: str = "student", name: Named | None = None) -> nn.Module:
        """A copy, since even weights without values take long to draw."""
        return deepcopy(shape_of(canonical(name or self.student), self.data.classes))

    @cached_property
    def teacher(self) -> nn.Module | None:
        return self.taught_by(self.source)

    def taught_by(self, source: Mapping[str, str]) -> nn.Module:
        return self.network("teacher", source["network"]).eval().requires_grad_(False)

    @cached_property
    def setting(self) -> Setting:
        return setting_of(self.network(), self.teacher, self.data)

    @cached_property
    def batch(self) -> Batch:
        """Two samples, seen as they are in every view."""
        few = take(self.data.inputs, slice(0, 2))
        memo = {("view", name): few for name in self.data.views}
        return Undrawn(self.data, torch.arange(2, device="meta"), 0, Clock(0, RECIPE.steps, RECIPE.steps), memo)

    @cached_property
    def answers(self) -> tuple[Outputs, Outputs]:
        """What both networks say of the batch, asked once for all methods."""
        said = zip((self.setting.student, self.setting.teacher), (self.network(), self.teacher))
        return tuple(replace(one, ask=network, view=lambda name, one=one: one) for one, network in said)


@cache
def shape_of(asked: str, classes: int) -> nn.Module:
    """A network without values, by its canonical name."""
    with torch.device("meta"):
        return network_named(json.loads(asked), classes)


class Undrawn(Batch):
    """A batch in which nothing can be drawn."""

    def generator(self, stream: str) -> torch.Generator:
        raise NotImplementedError("there are no random numbers without values")


def refusals(pair: Pair) -> Mapping[str, str]:
    """What cannot be built for a pair: key of each loss and scheme to the sentence with which it refuses."""
    bench = Sizes(pair.data(), pair.student, {"network": pair.teacher}, RECIPE, 0)
    found = {}
    for entry in tried():
        try:
            scheme = build(entry, bench)
            scheme.stages()
            if isinstance(scheme, Distillation):
                compare(scheme, bench)
        except Refusal as refusal:
            found[entry.key] = str(refusal)
    return found


def compare(scheme: Distillation, bench: Sizes) -> None:
    """Have the methods compare answers without values, as far as they need none: what draws, or asks which number is
    the largest, is not tried further.

    Raises:
        Refusal: a loss says at its door that it does not compare such answers.
    """
    try:
        for method in scheme.methods:
            method.losses(*bench.answers, bench.batch)
    except NotImplementedError:
        return
    except (ValueError, TypeError) as error:
        raise Refusal(str(error)) from error


def tried() -> list[Entry]:
    """Every entry that is a method or a scheme, in the catalogue's order."""
    loaded = (load(listed.key) for listed in entries() if listed.kind in ("loss", "scheme", "fusion"))
    return [entry for entry in loaded if isinstance(entry.make, type)]


def build(entry: Entry, bench: Bench) -> Scheme:
    """The scheme itself, or the method in the plainest one, at its published settings."""
    if issubclass(entry.make, Method):
        return Distillation(bench.network(), bench.teacher, bench.method(entry.key))
    return entry.make.build(bench, **entry.settings)
