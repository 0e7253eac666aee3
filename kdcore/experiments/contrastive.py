"""Contrastive losses: the chapter's comparison."""

from __future__ import annotations

from typing import Any

from kdcore.experiments.profiles import PAPER100, QUICK, SHORT, SMOKE
from kdcore.experiments.response import KD, STUDENT, table2
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2, 3, 4)
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}
# The published number is a third of CIFAR's images; of a hundred digits this is a third too.
FEW = {"negatives": 33}


def banked(
    key: str,
    source: str,
    weight: float,
    few: dict[str, Any],
    *beside: list[Any],
    quick: float | None = None,
    **more: Any,
) -> Row:
    """A row with a memory: few negatives where there are few samples, the published number where there are many."""
    method = key.partition("+")[0]
    published = {"methods": [[method, {}], *beside]}
    chosen = {} if quick is None else {"quick": {"methods": [[method, {**few, "weight": quick}], *beside]}}
    return Row(
        key,
        settings={"methods": [[method, few], *beside]},
        source=source,
        search={"weight": weight},
        under={**chosen, "short": published, "paper": published},
        **more,
    )


def in_batch(key: str, source: str, quick: float | None = None) -> Row:
    under = {} if quick is None else {"quick": {"methods": [[key, {"weight": quick}]]}}
    return Row(key, settings={"methods": [[key, {}]]}, source=source, under=under, search={"weight": 1.0})


# Weights under `quick` are those that `kdcore run contrastive --search` chose; else it chose the published.
CONTRASTIVE = Experiment(
    "contrastive",
    "Contrastive losses",
    rows=(
        STUDENT,
        KD,
        banked(
            "crd",
            "weight 0.8, 16,384 negatives, T = 0.07: RepDistiller",
            0.8,
            FEW,
            quick=0.008,
            published=table2(0.7565, "last epoch"),
        ),
        banked(
            "crd+kd",
            "crd at 0.8 beside plain distillation at 1: RepDistiller",
            0.8,
            FEW,
            ["kd", {"weight": 1.0}],
            quick=0.0008,
        ),
        banked("crcd", "weight 1, 500 negatives, T = 0.05: the published code", 1.0, {**FEW, "anchors": 16}),
        in_batch("contrastive-kd-generic", "note-kd section 3; temperature of CRD, weights ours"),
        in_batch("contrastive-kd-binary", "the same with CRD's critic", quick=0.001),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="contrastive",
)

EXPERIMENTS = (CONTRASTIVE,)
