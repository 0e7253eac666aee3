"""Losses on what lies between input and answer: the chapter's comparison, and where layers are paired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdcore.experiments.profiles import PAPER100, QUICK, SHORT, SMOKE
from kdcore.experiments.response import KD, STUDENT, table2
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2)  # of a table with more than fifteen rows
BRIEF = replace(SMOKE, recipe={**SMOKE.recipe, "steps": 6}, seeds=(0,), cost="0.1 core-seconds a run")
SIZES = {"smoke": BRIEF, "quick": QUICK, "short": SHORT, "paper": PAPER100}


def matched(key: str, source: str, weight: float, quick: float | None = None, **more: Any) -> Row:
    """A row of one method at its published weight; `quick` is a weight that the search chose."""
    chosen = {} if quick is None else {"quick": {"methods": [[key, {"weight": quick}]]}}
    under = chosen | more.pop("under", {})
    return Row(key, settings={"methods": [[key, {}]]}, source=source, search={"weight": weight}, under=under, **more)


def learned(key: str, source: str, weight: float | None = None, quick: float | None = None, **more: Any) -> Row:
    """A row of one scheme."""
    settings, search = {"scheme": key, **more.pop("settings", {})}, {"weight": weight} if weight else {}
    under = ({} if quick is None else {"quick": {"weight": quick}}) | more.pop("under", {})
    return Row(key, settings=settings, source=source, search=search, under=under, **more)


def readme(value: float, protocol: str = "last epoch", citation: str = "tian2020contrastive") -> dict[str, Any]:
    """A number of a public README for zhao2026's pair that the survey does not repeat."""
    pair = "CIFAR-100, ResNet32x4 to ShuffleNetV2"
    return {"accuracy": {"value": value, "citation": citation, "protocol": f"README: {pair}, {protocol}"}}


FITTED = (
    Row(
        "fitnet",
        settings={"methods": [["fitnet", {}]]},
        source="two stages, distillation at 4 falling to 1: the authors' CIFAR settings; the hint by its mean, as in "
        "zhao2026 eq. 5, since their half-sum takes their optimiser, RMSprop",
        search={"weight": 4.0},
    ),
    matched(
        "fitnet-joint",
        "one stage, weight 100 on the mean: RepDistiller, mdistiller",
        100.0,
        quick=1.0,
        published=table2(0.7354, "last epoch"),
    ),
    learned("stage-by-stage-kd", "si2023 section 2.2.1; a hint's weight of RepDistiller", 100.0),
    learned("knowledge-projection", "si2023 section 2.2.1; weights ours", 1.0, quick=0.1),
    learned(
        "rocket-launching",
        "lambda 0.03, gradient block: the authors' code; the booster is the teacher's architecture",
        0.03,
        settings={"booster": "digits-teacher", "teacher": None},
        under={"short": {"booster": "resnet56"}, "paper": {"booster": "resnet32x4"}},
    ),
    learned("interactive-kd", "si2023 section 2.2.1; half of the stages swapped, falling evenly to none: ours"),
)

AT = matched(
    "at",
    "weight 1000, mean of squares: the authors' code",
    1000.0,
    quick=10.0,
    published=table2(0.7273, "last epoch"),
)

LOOKED_AT = (
    matched(
        "channel-distillation", "6 for channels, 0.1 guided answers, early decay: the authors' code", 6.0, quick=0.06
    ),
    matched("gram-style-matching", "zhao2026 section 3.3, no weight printed: 1, ours", 1.0),
    matched("nst", "50: RepDistiller, mdistiller", 50.0, quick=5.0, published=readme(0.7468)),
    matched("weighted-channel-matching", "si2023 eq. 3, no weight printed: 1, ours", 1.0, quick=0.001),
    matched("delta", "0.01 at 64 images a batch, that is 0.64: the authors' code, for fine-tuning", 0.64, quick=0.064),
    matched(
        "afds",
        "its distillation part; weight 1, ours: the paper could not be read",
        1.0,
        quick=0.001,
        published={
            "accuracy": {
                "value": 0.9290,
                "citation": "si2023",
                "protocol": "Table 1: CIFAR-10, ResNet56 to ResNet20, mean of 3; which AFD is meant is open",
            }
        },
    ),
    # CIFAR-100's ShuffleNetV2 has more channels than its teacher in stages of one number. The teacher's next stage has
    # more than it, and maps of one size, so these are paired at `paper`.
    # 100 images are two steps an epoch: two of the authors' 120 epochs are two or three here, ten spare the time. The
    # search took the authors' two.
    matched(
        "mgd-matching",
        "0.0001, absolute maxima, matched every second epoch: the authors' code, for 224 x 224",
        1e-4,
        under={
            "quick": {"methods": [["mgd-matching", {"every": 10, "weight": 1e-7}]]},
            "smoke": {"methods": [["mgd-matching", {"every": 10}]]},
            "paper": {"methods": [["mgd-matching", {"pairs": [[0, 1], [1, 2]]}]]},
        },
    ),
    matched(
        "tofd", "0.05 of one distance over 128 images, answers 1, orthogonal 0.03: the authors' code", 0.05 * 128**0.5
    ),
    Row(
        "ab",
        settings={"methods": [["ab", {"then": "labels"}]]},
        source="3 / 1000, an eighth of the epochs before, labels alone after: RepDistiller",
        published=readme(0.7431),
        search={"weight": 0.003},
    ),
    matched(
        "ofd",
        "0.001: the authors' code for CIFAR-100, mdistiller",
        0.001,
        quick=1e-6,
        published=readme(0.7682, "best epoch", "zhao2022dkd"),  # mdistiller's README
    ),
    matched("vid", "1, variance 5 at the start: RepDistiller", 1.0, published=readme(0.7340)),
    matched(
        "factor-transfer",
        "500, half of the channels, L1: the authors' code for CIFAR-10",
        500.0,
        quick=5.0,
        published=readme(0.7250),
    ),
)

PAIRED = (
    learned("l2t-ww", "beta 0.5, two inner steps: the authors' code", 0.5, quick=0.005),
    matched("afd-attention-matching", "200, with distillation at 0.9: the authors' code for WRN-40-2", 200.0),
    matched("semckd", "400, with distillation at 1: the authors' script for ResNet32x4", 400.0),
    matched(
        "reviewkd",
        "8 for ResNet32x4 to ShuffleNetV2, warm-up 20 of 240 epochs: the authors' code",
        8.0,
        under={"short": {"methods": [["reviewkd", {"weight": 0.6}]]}},
    ),
)

BESIDE = (
    matched("srrl", "both parts at 1: the authors' code", 1.0),
    learned("simkd", "weight 1, no labels: the authors' code", 1.0),
)

# Weights under `quick` are those that `kdcore run feature --search` chose; where none stands it chose the published.
FEATURE = Experiment(
    "feature",
    "Losses on intermediate features",
    rows=(STUDENT, KD, *FITTED, AT, *LOOKED_AT, *PAIRED, *BESIDE),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="feature",
)

# ---------------------------------------------------------------- where

LAYERED = "kdcore.experiments.measures.feature:layered"


def mapping(key: str, source: str, *pairs: list[int]) -> Row:
    """Attention transfer between named convolutions: two of the student, four of the teacher."""
    settings = {"methods": [["at", {"pairs": list(pairs), "weight": 100.0}]]}
    return Row(key, LAYERED, settings, source=f"{source}; weight 100, a tenth of the published: ours")


LAYER_MAPPING = Experiment(
    "layer-mapping-strategies",
    "One loss between layers that are paired in four ways",
    rows=(
        STUDENT,
        mapping("layer-by-layer", "huang2022 section 4.2: each with the one of its number", [0, 0], [1, 1]),
        mapping("skip", "huang2022 section 4.2, zhao2026 section 5.3: every second one", [0, 1], [1, 3]),
        mapping("last", "huang2022 section 4.2: the higher layers", [0, 2], [1, 3]),
        mapping("top", "huang2022 section 4.2: the last convolution", [1, 3]),
    ),
    seeds=SEEDS,
    profiles={"smoke": BRIEF, "quick": QUICK},
    chapter="feature",
)

EXPERIMENTS = (FEATURE, LAYER_MAPPING)
