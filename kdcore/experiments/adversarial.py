"""Losses with a critic: with a finished teacher, without one, a posterior over networks, texts that are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdcore.experiments.profiles import DIGITS, PAPER100, QUICK, QUICK_RECIPE, SHORT, SMOKE, profile
from kdcore.experiments.response import KD as KD_ROW
from kdcore.experiments.response import STUDENT as STUDENT_ROW
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2)
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}


def matching(key: str, source: str, weight: float = 1.0, quick: float | None = None, **more: Any) -> Row:
    """A row whose student learns the labels beside one method; `quick` is a weight that the search chose."""
    under = {} if quick is None else {"quick": {"methods": [[key, {"weight": quick}]]}}
    return Row(key, settings={"methods": [[key, {}]]}, source=source, under=under, search={"weight": weight}, **more)


def peers(key: str, source: str, quick: float | None = None, **settings: Any) -> Row:
    """Two networks that pass for each other, judged also by how often they disagree."""
    return Row(
        key,
        measure="kdcore.experiments.measures.adversarial:peers",
        settings={"scheme": "online-adversarial-kd", "teacher": None, **settings},
        source=source,
        under={} if quick is None else {"quick": {"weight": quick}},
        search={} if settings else {"weight": 1.0},
    )


def beside_a_larger(key: str, source: str, weight: float, quick: float | None = None) -> Row:
    """A student and an untrained network of the teacher's architecture, which learns along."""
    return Row(
        key,
        settings={"scheme": key, "teacher": None, "teacher_network": "digits-teacher"},
        source=source,
        under={
            "quick": {} if quick is None else {"weight": quick},
            "short": {"teacher_network": "resnet56"},
            "paper": {"teacher_network": "resnet32x4"},
        },
        search={"weight": weight},
    )


STUDENT, KD = replace(STUDENT_ROW, keep=True), replace(KD_ROW, keep=True)
GAN_KD = matching(
    "gan-kd", "si2023 eq. 9 and 10 as they must read (errata S-01, S-02), of probabilities", quick=0.01, keep=True
)

# Weights under `quick` are those that `kdcore run EXPERIMENT --search` chose; where none stands it chose the published.
ADVERSARIAL = Experiment(
    "adversarial",
    "Losses with a critic, with a finished teacher",
    rows=(
        STUDENT,
        KD,
        GAN_KD,
        Row(
            "gan-kd-logits",
            settings={"methods": [["gan-kd", {"of": "logits"}]]},
            source="the same game of scores, which have no bound",
            search={"weight": 1.0},
            under={"quick": {"methods": [["gan-kd", {"of": "logits", "weight": 0.001}]]}},
        ),
        matching("cgan-kd", "si2023 section 2.3.5; the parts of the paper, weights ours"),
        matching("feature-discriminator-kd", "si2023 section 2.3.5; sizes and weight ours", 0.1),
        matching("anc", "huang2022 section 6.1; no labels, sizes and weights ours", quick=0.01),
        Row(
            "bss",
            settings={"methods": [["bss", {"samples": 16}]]},  # a quarter of the batch, as in the code
            source="T = 3, attack of ten steps, weights that fall over training: the authors' code",
            search={"weight": 2.0},
            under={"short": {"methods": [["bss", {"samples": 32}]]}},
        ),
        Row(
            "adversarial-portable-student",
            settings={"scheme": "adversarial-portable-student"},
            source="huang2022 section 5.3; sizes and weights ours",
            under={"quick": {"weight": 0.01}},
            search={"weight": 0.1},
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="adversarial",
)

TOGETHER = Experiment(
    "adversarial-together",
    "Losses with a critic, without a finished teacher",
    rows=(
        STUDENT_ROW,
        peers("online-without-game", "mutual learning alone: the same networks, no critic has a say", weight=0.0),
        peers(
            "online-adversarial-kd", "equations of a public account; temperature, sizes and the game's rate ours", 0.1
        ),
        beside_a_larger("ms-mgans", "si2023 section 2.3.5; the abstract's parts, numbers ours", 0.1, quick=0.001),
        beside_a_larger("kdgan", "weights of the authors' code for 100 images", 1.0),
    ),
    seeds=SEEDS,
    profiles={
        **SIZES,
        "quick": profile({**QUICK_RECIPE, "steps": 150}, DIGITS, "2 core-seconds a run"),
    },
    chapter="adversarial",
)

# The perceptron has one hidden layer of 16 units, so its accuracy stands beside no other row's.
WALK = {"learning_rate": 0.1, "schedule": "constant", "batch_size": 50}
PERCEPTRON = {"data": "digits", "student": "digits-student"}
SMALL = {"kept": 20, "hidden": 8, "rows": 10, "networks": 5}
# Fewer and longer steps than in the code, whose chain takes 200,000 on sixty times as many images.
SHORTER = {"kept": 300, "rate": 0.2, "rows": 50, "networks": 50, "game_rate": 1e-3}
POSTERIOR = Experiment(
    "adversarial-posterior",
    "A generator of small networks, learned from a chain of them",
    rows=(Row("apd", settings={"scheme": "apd"}, source="zhao2026 section 4.3; settings of the authors' code"),),
    seeds=SEEDS,
    profiles={
        "smoke": profile({**WALK, "steps": 10}, PERCEPTRON | SMALL, "0.2 core-seconds a run", seeds=(0,)),
        "quick": profile({**WALK, "steps": 1000}, PERCEPTRON | SHORTER, "6 core-seconds a run", seeds=(0,)),
        "short": profile({**WALK, "steps": 100000}, PERCEPTRON | {"units": 100}, "some minutes a run (estimated)"),
    },
    chapter="adversarial",
)

WRITERS = {
    "data": {"name": "kdcore.experiments.measures.adversarial:texts", "length": 24},
    "student": "text-student",
}
TINY = {"hidden": 8, "noise": 4, "width": 8, "blocks": 1}
LITTLE = {"hidden": 32, "noise": 16, "width": 24, "blocks": 1, "game_rate": 2e-3, "autoencoder_rate": 1e-2}


def writing(key: str, source: str, real: str) -> Row:
    measure = "kdcore.experiments.measures.adversarial:writers"
    return Row(key, measure=measure, settings={"scheme": "textkd-gan", "real": real}, source=source)


SOFT_TEXT = Experiment(
    "soft-text",
    "A generator of texts, against real texts as they are and against an autoencoder's soft copies",
    rows=(
        writing("gan-text", "the plain game, what the paper starts from", "one-hot"),
        writing("textkd-gan", "huang2022 section 6.1", "autoencoder"),
    ),
    seeds=SEEDS,
    profiles={
        "smoke": profile({"steps": 6, "batch_size": 8}, WRITERS | TINY, "0.3 core-seconds a run", seeds=(0,)),
        "quick": profile({"steps": 600, "batch_size": 16}, WRITERS | LITTLE, "6 core-seconds a run", seeds=(0,)),
        "short": profile({"steps": 20000, "batch_size": 64}, WRITERS, "hours on a CPU, minutes on a GPU (estimated)"),
    },
    chapter="adversarial",
)

EXPERIMENTS = (ADVERSARIAL, TOGETHER, POSTERIOR, SOFT_TEXT)
