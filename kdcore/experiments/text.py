"""The quick text task: its sizes, and the teachers that more than one experiment learns from."""

from __future__ import annotations

from typing import Any

from kdcore.experiments.profiles import profile
from kdcore.experiments.teachers import TEXT_RECIPE
from kdcore.experiments.types import Experiment, Profile, Row

SEEDS = (0, 1, 2)
FEW = 64  # windows of a split, where nothing is to be learned
# Students take larger steps than their teachers, since they have few of them, and smaller batches.
RECIPE = {**TEXT_RECIPE, "batch_size": 16, "learning_rate": 1e-2, "schedule": "one-cycle"}


def taught_by(
    teacher: str, student: str, data: str = "topics", *, length: int | None = None, **more: Any
) -> dict[str, Any]:
    """Settings of a pair, on shorter windows than the teacher's where a length is named."""
    return {
        "data": data if length is None else {"name": data, "length": length},
        "student": student,
        "teacher": {"experiment": teacher, "row": "teacher", "seed": 0},
        **more,
    }


def sizes(settings: dict[str, Any], *, cost: str, **changes: Any) -> dict[str, Profile]:
    """Few steps for every day, ten times as many where there is time."""
    recipe = {**RECIPE, **changes}
    return {
        "smoke": profile({**recipe, "steps": 6, "batch_size": 8}, few(settings), "0.1 core-seconds a run", seeds=(0,)),
        "quick": profile({"steps": 200, **recipe}, settings, cost),
        "short": profile({**recipe, "steps": 2000}, settings, "1 core-minute a run"),
    }


def few(settings: dict[str, Any]) -> dict[str, Any]:
    """The same on the first windows alone."""
    data = settings["data"]
    named = {"name": data} if isinstance(data, str) else data
    return {**settings, "data": {**named, "most": FEW}}


def teacher(key: str, title: str, student: str, source: str, steps: int, cost: str, data: str = "topics") -> Experiment:
    settings = {"data": data, "student": student, "teacher": None}
    recipe = {**TEXT_RECIPE, "learning_rate": 1e-2, "schedule": "one-cycle"}
    return Experiment(
        key,
        title,
        rows=(Row("teacher", source=source, keep=True),),
        seeds=(0,),
        profiles={
            "smoke": profile({**recipe, "steps": 6, "batch_size": 8}, few(settings), "0.1 core-seconds"),
            "quick": profile({**recipe, "steps": steps}, settings, cost),
            "short": profile({**recipe, "steps": 6 * steps}, settings, "2 core-minutes"),
        },
        chapter="llm",
    )


DEEP_TEACHER = teacher(
    "text-deep-teacher",
    "A deeper and narrower teacher of the text task",
    "text-deep-teacher",
    "a transformer of four layers, width 32, on Python's help texts",
    600,
    "20 core-seconds",
)
ENCODER_TEACHER = teacher(
    "text-encoder-teacher",
    "A teacher that reads from both sides",
    "text-encoder-teacher",
    "a transformer of two layers that guesses hidden characters of Python's help texts",
    600,
    "20 core-seconds",
    data="topics-masked",
)

EXPERIMENTS = (DEEP_TEACHER, ENCODER_TEACHER)
