"""Networks that others learn from, each trained once and kept beside its record."""

from __future__ import annotations

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

CIFAR100_TEACHER = Experiment(
    "cifar100-teacher",
    "The teacher of zhao2026's pair",
    rows=(Row("teacher", source="zhao2026 Table 2: ResNet32x4", published={"zhao2026 Table 2": 0.7942}, keep=True),),
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

EXPERIMENTS = (DIGITS_TEACHER, TEXT_TEACHER, CIFAR100_TEACHER)
