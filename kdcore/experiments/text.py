"""The quick text task: a transformer of one layer learns from one of two."""

from __future__ import annotations

from kdcore.experiments.teachers import TEXT_RECIPE
from kdcore.experiments.types import Experiment, Profile, Row

SETTINGS = {
    "data": "topics",
    "student": "text-student",
    "teacher": {"experiment": "text-teacher", "row": "teacher", "seed": 0},
}

FIRST = Experiment(
    "text-first",
    "Characters of Python's help texts",
    rows=(
        Row("student", settings={"teacher": None}, source="the text alone"),
        Row("kd", settings={"methods": [["kd", {}]]}, source="every position is an example"),
        Row("token-level-kd", settings={"methods": [["token-level-kd", {}]]}, source="zhao2026 eq. 14"),
    ),
    seeds=(0, 1, 2),
    profiles={
        "smoke": Profile({**TEXT_RECIPE, "steps": 8, "schedule": "one-cycle"}, SETTINGS, (0,), "1 core-second a run"),
        "quick": Profile({**TEXT_RECIPE, "steps": 300, "schedule": "one-cycle"}, SETTINGS, (), "15 core-seconds a run"),
    },
    chapter="llm",
)

EXPERIMENTS = (FIRST,)
