"""What stands at the head of a table: the finished network that its rows learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.engine.evaluation import evaluate, judged_by
from kdcore.experiments.bench import data_named, raw_teacher
from kdcore.recipe import Recipe


def teacher(
    *, seed: int, profile: str, recipe: Recipe, device: str, data: str, student: str, teacher: Mapping[str, Any]
) -> dict[str, float]:
    """What a finished network scores on the test split, in full precision; it is the same for every seed."""
    found = data_named(data, device)
    network = raw_teacher({"classes": found.classes, **teacher}, device)
    return evaluate(network, judged_by(found))
