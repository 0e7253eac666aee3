"""Distillation itself: its weights and temperatures, its forerunners, and what it is learned from."""

from __future__ import annotations

from kdcore.experiments.profiles import PAPER100, QUICK, SHORT, SMOKE
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2, 3, 4)
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}

STUDENT = Row("student", settings={"teacher": None}, source="labels alone")
KD = Row("kd", settings={"methods": [["kd", {}]]}, source="0.9 beside 0.1, T = 4: RepDistiller; si2023 eq. 1 at 0.1")

WEIGHTINGS = Experiment(
    "kd-weightings",
    "One loss, four weightings",
    rows=(
        STUDENT,
        KD,
        Row("kd-zhao2026", settings={"methods": [["kd-zhao2026", {}]]}, source="zhao2026 eq. 3, both weights at 1"),
        Row("kd-huang2022", settings={"methods": [["kd-huang2022", {}]]}, source="huang2022 eq. 6 at 0.9, without T^2"),
        Row("kd-note-hinton", settings={"methods": [["kd-note-hinton", {}]]}, source="note-hinton, half and half"),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="foundations",
)

FORERUNNERS = Experiment(
    "forerunners",
    "Learning from a model before it was called distillation",
    rows=(
        STUDENT,
        KD,
        Row("logit-mse", settings={"methods": [["logit-mse", {}]]}, source="zhao2026 eq. 4"),
        Row(
            "output-distribution-kl",
            settings={"methods": [["output-distribution-kl", {}]]},
            source="huang2022 section 2: T = 1, no labels",
        ),
        Row(
            "model-compression",
            settings={"scheme": "model-compression", "teacher": None},
            source="zhao2026 section 2.3",
            under={"smoke": {"copies": 1}},
        ),
    ),
    seeds=SEEDS,
    profiles={"smoke": SMOKE, "quick": QUICK},
    chapter="foundations",
)


def at_temperature(temperature: float) -> Row:
    method = ["kd", {"temperature": temperature}]
    return Row(
        f"kd-t{temperature:g}", settings={"methods": [method]}, source=f"huang2022 section 2, T = {temperature:g}"
    )


KNOWLEDGE_FORMS = Experiment(
    "knowledge-forms",
    "Logits, probabilities, softened probabilities",
    rows=(
        STUDENT,
        Row("logit-mse", settings={"methods": [["logit-mse", {"task_weight": 0.1, "weight": 0.9}]]},
            source="huang2022 section 2, beside the labels as the others are"),
        *(at_temperature(temperature) for temperature in (1.0, 2.0, 4.0, 8.0, 20.0)),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="foundations",
)  # fmt: skip

ON_IMAGES = {"methods": [["output-distribution-kl", {}]]}
TRANSFER_SET = Experiment(
    "transfer-set",
    "One loss without labels, two transfer sets",
    rows=(
        Row("labelled-images", settings=ON_IMAGES, source="the labelled images, their labels withheld"),
        Row("all-images", settings={**ON_IMAGES, "data": "digits"}, source="all that the teacher has seen"),
    ),
    seeds=SEEDS,
    profiles={"smoke": SMOKE, "quick": QUICK},
    chapter="foundations",
)

# The claim on forms adds to the rows of KNOWLEDGE_FORMS what the gradient does, and is the one that is run.
EXPERIMENTS = (WEIGHTINGS, FORERUNNERS, TRANSFER_SET)
