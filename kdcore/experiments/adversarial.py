"""Losses with a critic: the chapter's comparison, a posterior over small networks, and texts that are written."""

from __future__ import annotations

from typing import Any

from kdcore.experiments.profiles import PAPER100, QUICK, SHORT, SMOKE, profile
from kdcore.experiments.response import KD as KD_ROW
from kdcore.experiments.response import STUDENT as STUDENT_ROW
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2)
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}


def matching(key: str, source: str, weight: float = 1.0, **more: Any) -> Row:
    """A row whose student learns the labels beside one method."""
    return Row(key, settings={"methods": [[key, {}]]}, source=source, search={"weight": weight}, **more)


def larger(*roles: str) -> dict[str, Any]:
    """Untrained networks that learn beside the student: of the teacher's architecture in every profile."""
    under = {"short": "resnet56", "paper": "resnet32x4"}
    return {
        "settings": dict.fromkeys(roles, "digits-teacher"),
        "under": {name: dict.fromkeys(roles, network) for name, network in under.items()},
    }


def together(key: str, source: str, weight: float, roles: tuple[str, ...] = (), **more: Any) -> Row:
    """A row whose networks all learn at once, from no finished teacher."""
    beside = larger(*roles) if roles else {"settings": {}}
    settings = {"scheme": key, "teacher": None, **beside.pop("settings")}
    return Row(key, settings=settings, source=source, search={"weight": weight}, **beside, **more)


STUDENT = Row("student", settings=STUDENT_ROW.settings, source=STUDENT_ROW.source, keep=True)
KD = Row("kd", settings=KD_ROW.settings, source=KD_ROW.source, search=KD_ROW.search, keep=True)
GAN_KD = matching("gan-kd", "si2023 eq. 9 and 10 as they must read (errata S-01, S-02), of probabilities", keep=True)
ONLINE = together(
    "online-adversarial-kd",
    "the equations of a public account; temperature, sizes and the game's rate are ours",
    1.0,
    measure="kdcore.experiments.measures.adversarial:peers",
)

ADVERSARIAL = Experiment(
    "adversarial",
    "Losses with a critic",
    rows=(
        STUDENT,
        KD,
        GAN_KD,
        matching("cgan-kd", "si2023 section 2.3.5; the parts of the paper, weights ours"),
        matching("feature-discriminator-kd", "si2023 section 2.3.5; sizes and weight ours", 0.1),
        matching("anc", "huang2022 section 6.1; no labels, sizes and weights ours"),
        matching("bss", "T = 3, attack of ten steps, weights that fall over training: the authors' code", 2.0),
        Row(
            "adversarial-portable-student",
            settings={"scheme": "adversarial-portable-student"},
            source="huang2022 section 5.3; sizes and weights ours",
            search={"weight": 0.1},
        ),
        ONLINE,
        together("ms-mgans", "si2023 section 2.3.5; the abstract's parts, numbers ours", 0.1, ("teacher_network",)),
        together(
            "kdgan",
            "weights of the authors' code for 100 images",
            1.0,
            ("teacher_network", "discriminator_network"),
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="adversarial",
)

# The perceptron has one hidden layer of 16 units, so its accuracy stands beside no other row's.
WALK = {"learning_rate": 0.1, "schedule": "constant", "batch_size": 50}
SMALL = {"kept": 20, "hidden": 8, "rows": 10, "networks": 5}
POSTERIOR = Experiment(
    "adversarial-posterior",
    "A generator of small networks, learned from a chain of them",
    rows=(Row("apd", settings={"scheme": "apd"}, source="zhao2026 section 4.3; settings of the authors' code"),),
    seeds=SEEDS,
    profiles={
        "smoke": profile(
            {**WALK, "steps": 10},
            {"data": "digits-100", "student": "digits-student", **SMALL},
            "0.2 core-seconds a run",
            seeds=(0,),
        ),
        "quick": profile(
            {**WALK, "steps": 3000},
            {"data": "digits-100", "student": "digits-student", "game_rate": 1e-3},
            "15 core-seconds a run",
        ),
        "short": profile(
            {**WALK, "steps": 100000}, {"data": "digits", "student": "digits-student", "units": 100}, "some minutes"
        ),
    },
    chapter="adversarial",
)

WRITERS = {
    "data": {"name": "kdcore.experiments.measures.adversarial:texts", "length": 32},
    "student": "text-student",
}
TINY = {"hidden": 8, "noise": 4, "width": 8, "blocks": 1}
LITTLE = {"hidden": 64, "noise": 32, "width": 32, "blocks": 2, "game_rate": 1e-3, "autoencoder_rate": 1e-2}


def writing(key: str, source: str, real: str) -> Row:
    return Row(key, settings={"scheme": "textkd-gan", "real": real}, source=source)


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
        "quick": profile({"steps": 800, "batch_size": 32}, WRITERS | LITTLE, "10 core-seconds a run"),
        "short": profile({"steps": 20000, "batch_size": 64}, WRITERS, "hours on a CPU, minutes on a GPU (estimated)"),
    },
    chapter="adversarial",
)

EXPERIMENTS = (ADVERSARIAL, POSTERIOR, SOFT_TEXT)
