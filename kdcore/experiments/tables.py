"""The surveys' benchmark tables, at their own setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdcore.experiments.contrastive import CONTRASTIVE
from kdcore.experiments.feature import FEATURE
from kdcore.experiments.profiles import QUICK, SHORT, SMOKE
from kdcore.experiments.relation import RELATION
from kdcore.experiments.response import KD, STUDENT
from kdcore.experiments.types import Experiment, Row

PROTOCOL = "Table 1: CIFAR-10, ResNet56 to ResNet20, mean of 3 runs, epoch not said"


def printed(row: Row, value: float | None = None, source: str = "") -> Row:
    """A chapter's row beside what si2023 printed for it; chosen weights of the chapter's quick task go with it."""
    published: dict[str, Any] = {}
    if value is not None:
        published = {"accuracy": {"value": value, "citation": "si2023", "protocol": PROTOCOL}}
    return replace(row, published=published, source=source or row.source, search={})


SI2023_TABLE1 = Experiment(
    "si2023-table1",
    "si2023 Table 1: CIFAR-10, ResNet56 to ResNet20",
    rows=(
        printed(STUDENT, 0.9236),
        printed(KD, 0.9243),
        printed(CONTRASTIVE.row("crd"), 0.9269),
        printed(FEATURE.row("fitnet"), 0.9286),
        printed(FEATURE.row("fitnet-joint")),
        printed(FEATURE.row("at"), 0.9289),
        printed(FEATURE.row("afds"), 0.9290, "the AFD of 2020; weight 1, ours: the paper could not be read"),
        printed(FEATURE.row("afd-attention-matching"), 0.9290, "the AFD of 2021, with distillation: the authors' code"),
        printed(RELATION.row("fsp"), 0.9248),
        printed(RELATION.row("rkd"), 0.9289),
        printed(RELATION.row("irg"), 0.9295),
        printed(RELATION.row("sp"), 0.9314),
        Row(
            "dml",
            settings={"scheme": "dml", "peers": 3, "teacher": None},
            source="three students, as the survey says; temperature and weight 1: the paper's",
            published={"accuracy": {"value": 0.9293, "citation": "si2023", "protocol": PROTOCOL}},
        ),
    ),
    seeds=(0, 1, 2),
    profiles={"smoke": SMOKE, "quick": QUICK, "short": SHORT},
    chapter="benchmarks",
)

EXPERIMENTS = (SI2023_TABLE1,)

ENTRIES = ()
