"""What has to be known before a table is made cheaper: half precision beside single, fewer epochs beside all."""

from __future__ import annotations

from kdcore.experiments.profiles import (
    CIFAR10,
    PAPER_RECIPE,
    QUICK,
    SHORT_RECIPE,
    SMOKE,
    TRAINED10,
    profile,
)
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2, 3, 4)
KD = {"methods": [["kd", {}]]}
AT = {"methods": [["at", {}]]}


def in_precision(precision: str, source: str) -> Row:
    return Row(precision, settings={**KD, "recipe": {"precision": precision}}, source=source)


PRECISION = Experiment(
    "precision",
    "KD in half precision beside KD in single precision",
    rows=(
        in_precision("float32", "0.9 beside 0.1, T = 4, all in single precision"),
        in_precision("bfloat16", "the same, networks in bfloat16 and losses in single precision"),
    ),
    seeds=SEEDS,
    profiles={
        "smoke": SMOKE,
        "quick": QUICK,
        "short": profile(SHORT_RECIPE, CIFAR10, "15 core-minutes a run, in single precision half an hour"),
        "paper": profile(PAPER_RECIPE, TRAINED10, "ten runs of 240 epochs"),
    },
    chapter="benchmarks",
)

FULL, SHORTER = 240.0, (100.0, 80.0, 60.0)  # epochs; the steps of the rate stay at the same parts of the whole
FEW = {240.0: 12, 100.0: 5, 80.0: 4, 60.0: 3}  # steps of the shortest profile, as many parts


def trained_for(key: str, settings: dict, epochs: float) -> Row:
    return Row(
        key if epochs == FULL else f"{key}-{epochs:g}",
        settings=settings,
        source=f"{epochs:g} epochs, RepDistiller's recipe" + ("" if epochs == FULL else " cut short in proportion"),
        under={"smoke": {"recipe": {"steps": FEW[epochs]}}, "paper": {"recipe": {"epochs": epochs}}},
    )


COMPRESSED = Experiment(
    "compressed",
    "Two methods at the table's own length and at a fraction of it",
    rows=tuple(
        trained_for(key, settings, epochs) for key, settings in (("kd", KD), ("at", AT)) for epochs in (FULL, *SHORTER)
    ),
    seeds=SEEDS,
    profiles={"smoke": SMOKE, "paper": profile(PAPER_RECIPE, TRAINED10, "forty runs of 60 to 240 epochs")},
    chapter="benchmarks",
)

EXPERIMENTS = (PRECISION, COMPRESSED)
