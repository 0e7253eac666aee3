"""Losses on relations: the chapter's comparison, a student of another family, relations beside features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdcore.experiments.feature import FEATURE
from kdcore.experiments.profiles import DIGITS, PAPER100, QUICK, SHORT, SMOKE, profile
from kdcore.experiments.response import KD, STUDENT, table2
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2)  # of a table with more than fifteen rows
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}


def repdistiller(value: float) -> dict[str, Any]:
    """A number of the table that zhao2026's Table 2 was copied from, for a row that it left out."""
    protocol = "the comparison of RepDistiller: CIFAR-100, ResNet32x4 to ShuffleNetV2, last epoch"
    return {"accuracy": {"value": value, "citation": "tian2020contrastive", "protocol": protocol}}


def matched(
    key: str,
    source: str,
    weight: float,
    settings: dict[str, Any] | None = None,
    quick: float | None = None,
    **more: Any,
) -> Row:
    """A row of one method at its published weight; `quick` is a weight that the search chose."""
    own = settings or {}
    under = {} if quick is None else {"quick": {"methods": [[key, {**own, "weight": quick}]]}}
    return Row(key, settings={"methods": [[key, own]]}, source=source, search={"weight": weight}, under=under, **more)


# Between samples of a batch.
SAMPLES = (
    matched("sp", "last maps, weight 3000: RepDistiller, mdistiller", 3000.0, published=table2(0.7456, "last epoch")),
    matched("cc", "kernel of order 2, weight 100: Knowledge-Distillation-Zoo", 100.0, quick=0.1),
    matched("rkd", "25 on distances, 50 on angles: RepDistiller, mdistiller", 1.0, published=repdistiller(0.7321)),
    matched("irg", "0.1, 5 and 5: Knowledge-Distillation-Zoo", 1.0),
    matched("pkt", "weight 30000 on the mean: RepDistiller", 30000.0, published=repdistiller(0.7469)),
    matched("darkrank", "alpha 3, beta 3, four neighbours: the RKD authors' code; weight ours", 1.0),
    matched("category-structure-kd", "si2023 section 2.2.3; weights ours", 1.0, quick=0.001),
    matched("structural-generic", "si2023 eq. 4 by distances, at the weight of rkd", 25.0),
    matched("dist", "temperature 4, weight 2: the authors' for CIFAR", 2.0),
)
# Between channels, layers, inputs and answers of one sample. Where student and teacher have other channels a learned
# 1 x 1 convolution, ours, is in front of what cannot do without; on the pair of `short` there is none.
LAYERS = (
    matched("cc-channel", "zhao2026 eq. 9; weight ours", 1.0, quick=0.1),
    matched("fsp", "flow first, 30 of 240 epochs: RepDistiller", 1.0, {"projected": True}, quick=0.01),
    matched(
        "kdsvd", "one component, gradient cut to the task's: the authors' code", 1.0, {"projected": True}, quick=0.001
    ),
    matched("mhgd", "eight heads, graphs first, 40 before 100 epochs: the authors' code", 1.0, {"projected": True}),
    matched("jacobian-matching", "weight 20 on the mean: Knowledge-Distillation-Zoo", 20.0),
)

# Weights under `quick` are those that `kdcore run relation --search` chose; where none stands it chose the published.
RELATION = Experiment(
    "relation",
    "Losses on relations",
    rows=(STUDENT, KD, *SAMPLES, *LAYERS),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="relation",
)

# ---------------------------------------------------------------- a student of another family

BETWEEN_SAMPLES = ("sp", "rkd", "cc", "pkt")  # those that the surveys' sentences are about and that need no adapter
NEAR = {"paper": "resnet8x4"}  # the profiles' own students are of the teacher's family but for this one
FAR = {"smoke": "digits-perceptron", "quick": "digits-perceptron", "short": "shufflenetv2", "paper": "shufflenetv2"}


def learned_by(row: Row, students: dict[str, str], key: str) -> Row:
    """The same row for another student, under each profile that names one."""
    under = {name: {**row.under.get(name, {}), "student": student} for name, student in students.items()}
    return replace(row, key=key, under=row.under | under, published={}, search={})


COMPARED = (STUDENT, KD, *(RELATION.row(key) for key in BETWEEN_SAMPLES))
HETEROGENEOUS = Experiment(
    "relation-heterogeneous",
    "Relations and plain distillation, to a student of the teacher's family and to one of another",
    rows=(
        *(learned_by(row, NEAR, row.key) for row in COMPARED),
        *(learned_by(row, FAR, f"{row.key}-far") for row in COMPARED),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="relation",
)

# ---------------------------------------------------------------- structured beside extracted

# si2023's groups in its Table 1; its third row of what is extracted, AFD, is told in another chapter.
EXTRACTED, STRUCTURED = ("at", "fsp"), ("rkd", "irg", "sp")

STRUCTURE = Experiment(
    "structural-beats-extracted",
    "Structured knowledge beside what is extracted from maps",
    rows=(STUDENT, KD, FEATURE.row("at"), *(RELATION.row(key) for key in ("fsp", *STRUCTURED))),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="relation",
)

# ---------------------------------------------------------------- under noise

NOISE = Experiment(
    "similarity-under-noise",
    "What noise in the images does to a teacher's answers, features and similarities",
    rows=(
        Row(
            "noise",
            measure="kdcore.experiments.measures.relation:under_noise",
            settings={"scales": [0.05, 0.1, 0.2, 0.4]},
            source="zhao2026 section 4.1",
        ),
    ),
    seeds=(0, 1, 2, 3, 4),
    profiles=dict.fromkeys(("smoke", "quick"), profile({}, DIGITS, "a core-second in all")),
    chapter="relation",
)

EXPERIMENTS = (RELATION, HETEROGENEOUS, STRUCTURE, NOISE)
