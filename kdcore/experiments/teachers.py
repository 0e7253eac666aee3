"""Networks that others learn from, each trained once and kept beside its record."""

from __future__ import annotations

from typing import Any

from kdcore.experiments.profiles import PAPER_RECIPE, profile
from kdcore.experiments.types import Experiment, Row

DIGITS_SETTINGS = {"data": "digits", "student": "digits-teacher", "teacher": None}
TEXT_SETTINGS = {"data": "topics", "student": "text-teacher", "teacher": None}
TEXT_FEW = {**TEXT_SETTINGS, "data": {"name": "topics", "most": 64}}
TEXT_RECIPE = {"batch_size": 32, "optimizer": "adamw", "learning_rate": 6e-3, "weight_decay": 0.01, "clip": 1.0}

DIGITS_TEACHER = Experiment(
    "digits-teacher",
    "The teacher of the quick task",
    rows=(Row("teacher", source="two stages, 65,000 parameters, all 1,000 labels", keep=True),),
    seeds=(0,),
    profiles={
        "smoke": profile({"steps": 60, "schedule": "one-cycle"}, DIGITS_SETTINGS, "1 core-second"),
        "quick": profile({"epochs": 40.0, "schedule": "one-cycle"}, DIGITS_SETTINGS, "15 core-seconds"),
    },
    chapter="foundations",
)

TEXT_TEACHER = Experiment(
    "text-teacher",
    "The teacher of the quick text task",
    rows=(Row("teacher", source="a transformer of two layers on Python's help texts", keep=True),),
    seeds=(0,),
    profiles={
        "smoke": profile({**TEXT_RECIPE, "steps": 10, "schedule": "one-cycle"}, TEXT_FEW, "1 core-second"),
        "quick": profile({**TEXT_RECIPE, "steps": 900, "schedule": "one-cycle"}, TEXT_SETTINGS, "30 core-seconds"),
        "short": profile({**TEXT_RECIPE, "steps": 6000, "schedule": "one-cycle"}, TEXT_SETTINGS, "3 core-minutes"),
    },
    chapter="foundations",
)

CIFAR10_SETTINGS = {"data": "cifar10", "student": "resnet56", "teacher": None}
# Weight decay 5e-4 and Nesterov's momentum, the candidate that stands first below.
CIFAR10_RECIPE = {**PAPER_RECIPE, "nesterov": True}

# Three seeds: the first teaches every row that has one teacher, all of them teach the row that has three.
CIFAR10_TEACHER = Experiment(
    "cifar10-teacher",
    "The teachers of si2023's pair",
    rows=(
        Row(
            "teacher",
            source="si2023 Table 1: ResNet56, here with convolutions as shortcuts; recipe ours, see "
            "cifar10-teacher-recipes",
            keep=True,
            half=True,
        ),
    ),
    seeds=(0, 1, 2),
    profiles={"paper": profile(CIFAR10_RECIPE, CIFAR10_SETTINGS, "some ten minutes on one GPU (estimated)")},
    chapter="benchmarks",
)


def candidate(key: str, source: str, **changes: Any) -> Row:
    """A teacher's recipe, judged on images that it was not trained on and that test nothing."""
    return Row(key, settings={"judge": "validation", "recipe": changes}, source=source)


CIFAR10_RECIPES = Experiment(
    "cifar10-teacher-recipes",
    "Recipes for the teachers of si2023's pair, on a validation split",
    rows=(
        candidate("nesterov", "weight decay 5e-4, Nesterov's momentum, batches of 64 at 0.05"),
        candidate("plain-momentum", "the same without Nesterov's form: the students' own recipe", nesterov=False),
        candidate("little-decay", "weight decay 1e-4, as in public CIFAR-10 code", weight_decay=1e-4),
        candidate("large-batches", "batches of 128 at 0.1", batch_size=128, learning_rate=0.1),
    ),
    seeds=(100, 101),  # never reported
    profiles={
        "smoke": profile(
            {"steps": 12, "schedule": "one-cycle", "nesterov": True}, DIGITS_SETTINGS, "0.3 core-seconds a run"
        ),
        "paper": profile(
            {**CIFAR10_RECIPE, "evaluate": "end"}, CIFAR10_SETTINGS, "some ten minutes on one GPU (estimated)"
        ),
    },
    chapter="benchmarks",
)

CIFAR100_TEACHER = Experiment(
    "cifar100-teacher",
    "The teacher of zhao2026's pair",
    rows=(
        Row(
            "teacher",
            source="zhao2026 Table 2: ResNet32x4",
            published={"zhao2026 Table 2": 0.7942},
            keep=True,
            half=True,
        ),
    ),
    seeds=(0,),
    profiles={
        "paper": profile(
            PAPER_RECIPE,
            {"data": "cifar100", "student": "resnet32x4", "teacher": None},
            "a few minutes on one GPU (estimated)",
        ),
    },
    chapter="benchmarks",
)

EXPERIMENTS = (DIGITS_TEACHER, TEXT_TEACHER, CIFAR10_TEACHER, CIFAR10_RECIPES, CIFAR100_TEACHER)
