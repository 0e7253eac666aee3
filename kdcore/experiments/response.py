"""Losses on the final answer: the chapter's comparison, zhao2026's Table 1, and its printed forms."""

from __future__ import annotations

from typing import Any

from kdcore.entry import Entry
from kdcore.experiments.profiles import PAPER100, QUICK, SHORT, SMOKE
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2, 3, 4)
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}


def table2(value: float, protocol: str) -> dict[str, Any]:
    """A number of zhao2026's Table 2, with the protocol of the table that it was copied from."""
    pair = "CIFAR-100, ResNet32x4 to ShuffleNetV2"
    return {"accuracy": {"value": value, "citation": "zhao2026", "protocol": f"Table 2: {pair}, {protocol}"}}


STUDENT = Row("student", settings={"teacher": None}, source="labels alone", published=table2(0.7182, "last epoch"))
KD = Row(
    "kd",
    settings={"methods": [["kd", {}]]},
    source="0.9 beside 0.1 for the labels, T = 4: RepDistiller, mdistiller",
    published=table2(0.7445, "last epoch"),
    search={"weight": 0.9},
)
LOGIT_MSE = Row(
    "logit-mse",
    settings={"methods": [["logit-mse", {}]]},
    source="zhao2026 eq. 4, no labels",
    search={"weight": 1.0},
)
CE_TEACHER_HARD = Row(
    "ce-teacher-hard",
    settings={"methods": [["ce-teacher-hard", {}]]},
    source="zhao2026 Table 1, no labels",
    search={"weight": 1.0},
)
CE_SOFT = Row(
    "ce-soft", settings={"methods": [["ce-soft", {}]]}, source="zhao2026 Table 1, no labels", search={"weight": 1.0}
)
DKD = Row(
    "dkd",
    settings={"methods": [["dkd", {}]]},
    source="alpha 1, beta 8, warm-up 20 of 240 epochs: the paper's for ResNet32x4",
    published=table2(0.7707, "best epoch"),
    search={"weight": 1.0},
)
LOGIT_STD = Row(
    "logit-std",
    settings={"methods": [["logit-std", {}]]},
    source="base temperature 2, weight 9: the authors' code",
    search={"weight": 9.0},
)

# Weights under `quick` are those that `kdcore run response --search` chose; where none stands it chose the published.
RESPONSE = Experiment(
    "response",
    "Losses on the final answer",
    rows=(
        STUDENT,
        KD,
        LOGIT_MSE,
        CE_TEACHER_HARD,
        CE_SOFT,
        DKD,
        LOGIT_STD,
        Row(
            "normkd",
            settings={"methods": [["normkd", {}]]},
            source="0.9 beside 0.1, norm temperature 2: the authors' code",
            published=table2(0.7807, "best epoch, not confirmed"),
            search={"weight": 0.9},
            under={"quick": {"methods": [["normkd", {"weight": 0.09}]]}},
        ),
        Row(
            "crld",
            settings={"methods": [["crld", {}]]},
            source="two views, T = 4, weights 2 and 0.5: a public fork of the authors' code",
            published=table2(0.7827, "best epoch, two views"),
            search={"weight": 1.0},
            under={"quick": {"methods": [["crld", {"weight": 0.1}]]}},
        ),
        Row(
            "conditional-ts",
            settings={"methods": [["conditional-ts", {}]]},
            source="si2023 section 2.1",
            search={"weight": 1.0},
        ),
        Row(
            "pad",
            settings={"methods": [["pad", {}]]},
            source="si2023 section 2.1",
            search={"weight": 1.0},
            under={"quick": {"methods": [["pad", {"weight": 0.1}]]}},
        ),
        Row(
            "triplet-kd",
            settings={"methods": [["triplet-kd", {}]]},
            source="si2023 section 2.1",
            search={"weight": 1.0},
        ),
        Row("dtd", settings={"methods": [["dtd", {}]]}, source="si2023 section 2.1", search={"weight": 0.9}),
        Row("unix-kd", settings={"scheme": "unix-kd"}, source="si2023 section 2.1", search={"weight": 1.0}),
        Row(
            "mlkd",
            settings={"methods": [["mlkd", {}]]},
            source="two views, temperatures 2 to 6, 0.9 beside 0.1: the authors' code",
            under={"quick": {"methods": [["mlkd", {"weight": 0.09}]]}},
            search={"weight": 0.9},
        ),
        Row(
            "nkd",
            settings={"methods": [["nkd", {}]]},
            source="gamma 3.5, T = 3: the authors' code on CIFAR-100",
            search={"weight": 1.0},
        ),
        Row(
            "wsld",
            settings={"methods": [["wsld", {}]]},
            source="2.25 at T = 4: cls_KD on CIFAR-100",
            search={"weight": 2.25},
        ),
        Row(
            "curriculum-temperature",
            settings={"methods": [["curriculum-temperature", {}]]},
            source="0.9 beside 0.1, reversal over 10 of 240 epochs: the authors' code",
            search={"weight": 0.9},
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="response",
)

# Its rows are those of the comparison, so whoever has run one need not run the other.
ZHAO2026_TABLE1 = Experiment(
    "zhao2026-table1",
    "zhao2026 Table 1: four losses on the final answer",
    rows=(STUDENT, KD, LOGIT_MSE, CE_TEACHER_HARD, CE_SOFT),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="response",
)

PRINTED = Experiment(
    "zhao2026-printed",
    "Losses as published beside their forms in zhao2026",
    rows=(
        STUDENT,
        CE_SOFT,
        Row("ce-soft-zhao2026", settings={"methods": [["ce-soft-zhao2026", {}]]}, source="zhao2026 Table 1, printed"),
        DKD,
        Row("dkd-zhao2026", settings={"methods": [["dkd-zhao2026", {}]]}, source="zhao2026 eq. 10, printed"),
        LOGIT_STD,
        Row(
            "logit-std-zhao2026", settings={"methods": [["logit-std-zhao2026", {}]]}, source="zhao2026 eq. 11, printed"
        ),
    ),
    seeds=SEEDS[:3],
    profiles={"smoke": SMOKE, "quick": QUICK},
    chapter="response",
)

# Three seeds: one image in four is asked about, so a row that is far behind shows early.
UNIX = Experiment(
    "response-unix",
    "UNIX, asking about one image in four",
    rows=(
        Row(
            "unix-quarter",
            settings={"scheme": "unix-kd", "keep": 0.25},
            source="a quarter of the batch, less than the default's three quarters",
        ),
    ),
    seeds=SEEDS[:3],
    profiles={"smoke": SMOKE, "quick": QUICK},
    chapter="response",
)

EXPERIMENTS = (RESPONSE, ZHAO2026_TABLE1, PRINTED, UNIX)

ENTRIES = (Entry("zhao-table1", "table", "zhao2026-table1", {}, "four losses, one task"),)
