"""The sizes that experiments share: the quick task, the short and the long one on CIFAR, and the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.experiments.types import Profile
from kdcore.recipe import Recipe

DIGITS = {
    "data": "digits-100",
    "student": "digits-student",
    "teacher": {"experiment": "digits-teacher", "row": "teacher", "seed": 0},
}
CIFAR10 = {"data": "cifar10", "student": "resnet20", "teacher": {"checkpoint": "resnet56-a-cifar10"}}
CIFAR100 = {
    "data": "cifar100",
    "student": "shufflenetv2",
    "teacher": {"experiment": "cifar100-teacher", "row": "teacher", "seed": 0},
}

TRAINED10 = {**CIFAR10, "teacher": {"experiment": "cifar10-teacher", "row": "teacher", "seed": 0}}

SMOKE_RECIPE = {"steps": 12, "learning_rate": 0.1, "schedule": "one-cycle"}
QUICK_RECIPE = {"steps": 350, "learning_rate": 0.1, "schedule": "one-cycle", "tabulate": True}
SHORT_RECIPE = {
    "epochs": 5.0,
    "batch_size": 128,
    "learning_rate": 0.2,
    "schedule": "one-cycle",
    "precision": "bfloat16",
    "threads": 2,
    "channels_last": True,
    "evaluate": "epoch",
}
# The CRD recipe, which RepDistiller and mdistiller share: the defaults of `Recipe`.
PAPER_RECIPE = {"epochs": 240.0, "precision": "bfloat16", "channels_last": True, "evaluate": "epoch"}
TAKE_SMALL_STEPS = ("mobilenet", "shufflenet")
WIDE, NARROW = ("vit-", "deit-"), ("text-", "digits-vit-", "digits-deit-")  # transformers, of some hundred and some ten
ADAM = {"optimizer": "adamw", "weight_decay": 0.05, "clip": 1.0, "schedule": "one-cycle"}


def suited(recipe: Mapping[str, Any], student: str) -> dict[str, Any]:
    """A recipe as a student can follow it.

    ShuffleNet and MobileNet get a fifth of its learning rate, RepDistiller's 0.01 for 0.05. Transformers get AdamW at
    the rates of the chapters *Vision transformers* and *Language models*, with the former's decay.
    """
    if student.startswith(TAKE_SMALL_STEPS):
        return {**recipe, "learning_rate": recipe.get("learning_rate", Recipe().learning_rate) / 5}
    if student.startswith(WIDE + NARROW):
        return {**recipe, **ADAM, "learning_rate": 1e-3 if student.startswith(WIDE) else 1e-2}
    return dict(recipe)


def profile(
    recipe: Mapping[str, Any], settings: Mapping[str, Any], cost: str, seeds: tuple[int, ...] = (), **changes: Any
) -> Profile:
    return Profile({**recipe, **changes}, settings, seeds, cost)


SMOKE = profile(SMOKE_RECIPE, DIGITS, "0.2 core-seconds a run", seeds=(0, 1))
QUICK = profile(QUICK_RECIPE, DIGITS, "1 core-second a run")
SHORT = profile(SHORT_RECIPE, CIFAR10, "15 core-minutes a run", seeds=(0, 1))
PAPER10 = profile(PAPER_RECIPE, CIFAR10, "a table in about an hour on one GPU (estimated)", seeds=(0, 1, 2))
# The tables' own setting: all networks with convolutions as shortcuts, the teacher one of ours.
TABLE10 = profile(PAPER_RECIPE, TRAINED10, "a table in about an hour on one GPU (estimated)", seeds=(0, 1, 2))
PAPER100 = profile(
    suited(PAPER_RECIPE, CIFAR100["student"]),
    CIFAR100,
    "a table in about an hour on one GPU (estimated)",
    seeds=(0, 1, 2),
)
