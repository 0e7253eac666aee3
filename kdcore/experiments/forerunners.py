"""Forerunners on tasks like their own: a table for model compression, sequences for structure compilation."""

from __future__ import annotations

from typing import Any

from kdcore.experiments.profiles import profile
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2, 3, 4)
ADAM = {"optimizer": "adam", "schedule": "cosine", "weight_decay": 1e-4}
ON_TABLE = {**ADAM, "batch_size": 32, "learning_rate": 0.02}
PIXELS = {"table_name": "digits-pixels", "hidden": 8, "member_hidden": 64}
ON_SEQUENCES = {**ADAM, "batch_size": 20, "learning_rate": 0.05}


def of_table(key: str, source: str, **settings: Any) -> Row:
    return Row(key, measure="kdcore.experiments.measures.forerunners:on_table", settings=settings, source=source)


def of_sequences(key: str, source: str, **settings: Any) -> Row:
    return Row(key, measure="kdcore.experiments.measures.forerunners:on_sequences", settings=settings, source=source)


TABLE = Experiment(
    "compressed-ensemble",
    "Three networks on a table of pixels, compressed into eight hidden units",
    rows=(
        of_table("student", "labels alone"),
        of_table("model-compression", "zhao2026 section 2.3, huang2022 section 2", scheme="model-compression"),
    ),
    seeds=SEEDS,
    profiles={
        "smoke": profile({**ON_TABLE, "steps": 8}, {**PIXELS, "copies": 1}, "0.2 core-seconds a run", (0, 1)),
        "quick": profile({**ON_TABLE, "steps": 400}, PIXELS, "2 core-seconds a run"),
    },
    chapter="foundations",
)

SEQUENCES = Experiment(
    "compiled-structure",
    "A chain's predictions, learned by a labeller of single positions",
    rows=(
        of_sequences("window-alone", "30 labelled sequences alone", labeller="window"),
        of_sequences("chain-alone", "the structured model on the same 30", labeller="chain"),
        of_sequences("structure-compilation", "huang2022 section 2", scheme="structure-compilation"),
    ),
    seeds=SEEDS,
    profiles={
        "smoke": profile(
            {**ON_SEQUENCES, "steps": 6}, {"unlabelled": 100, "tested": 100}, "0.2 core-seconds a run", (0, 1)
        ),
        "quick": profile({**ON_SEQUENCES, "steps": 200}, {}, "1 core-second a run"),
    },
    chapter="foundations",
)

EXPERIMENTS = (TABLE, SEQUENCES)
