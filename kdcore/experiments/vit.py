"""Vision transformers: a teacher of tokens, the chapter's comparison, and the same student under another teacher."""

from __future__ import annotations

from kdcore.experiments.profiles import ADAM, DIGITS, profile
from kdcore.experiments.types import Experiment, Row

# Adam's steps, not those of the convolutional pairs; rate and length were chosen on the validation split.
RECIPE = {**ADAM, "learning_rate": 1e-2, "batch_size": 64}
TEACHING = {**RECIPE, "learning_rate": 5e-3}
LONG = {**RECIPE, "learning_rate": 1e-3, "epochs": 240.0, "batch_size": 128, "precision": "bfloat16"}
PLAIN, BOTH = "digits-vit-student", "digits-deit-student"  # with a class token, and with a distillation token too
SEEDS = (0, 1, 2)  # a step takes three times one of the convolutional pair, and the chapter has room for so many


def teacher(data: str, student: str) -> dict[str, object]:
    return {"data": data, "student": student, "teacher": None}


DIGITS_TEACHER = Experiment(
    "digits-vit-teacher",
    "A teacher of tokens for the quick task",
    rows=(Row("teacher", source="16 patches, four layers, 52,000 parameters, all 1,000 labels", keep=True),),
    seeds=(0,),
    profiles={
        "smoke": profile({**TEACHING, "steps": 60}, teacher("digits", "digits-vit-teacher"), "3 core-seconds"),
        "quick": profile({**TEACHING, "epochs": 60.0}, teacher("digits", "digits-vit-teacher"), "20 core-seconds"),
    },
    chapter="vit",
)

CIFAR100_TEACHER = Experiment(
    "cifar100-vit-teacher",
    "A teacher of tokens for CIFAR-100",
    rows=(Row("teacher", source="64 patches, twelve layers, DeiT-Ti's width; recipe ours", keep=True),),
    seeds=(0,),
    profiles={
        "paper": profile({**LONG, "evaluate": "epoch"}, teacher("cifar100", "vit-tiny-32"), "an hour on one GPU"),
    },
    chapter="vit",
)

TAUGHT_BY_TOKENS = {
    "data": "digits-100",
    "student": PLAIN,
    "teacher": {"experiment": "digits-vit-teacher", "row": "teacher", "seed": 0},
}
ON_CIFAR100 = {
    "data": "cifar100",
    "student": "vit-micro-32",
    "teacher": {"experiment": "cifar100-vit-teacher", "row": "teacher", "seed": 0},
}
SIZES = {
    "smoke": profile({**RECIPE, "steps": 8}, TAUGHT_BY_TOKENS, "0.1 core-seconds a run", seeds=(0,)),
    "quick": profile({**RECIPE, "steps": 300, "tabulate": True}, TAUGHT_BY_TOKENS, "3 core-seconds a run"),
    "paper": profile({**LONG, "evaluate": "epoch"}, ON_CIFAR100, "a table in some hours on one GPU (estimated)"),
}

# ViTKD's weights belong to sums over 14 x 14 patches of width 384 (a DeiT III-Small teacher). On smaller grids and
# narrower teachers the same weights are kept for the mean over patches and widths.
ENTRIES_OF_VITKD = 14 * 14 * 384
ON_DIGITS, ON_64_PATCHES = ENTRIES_OF_VITKD / (16 * 32), ENTRIES_OF_VITKD / (64 * 192)


def with_both_tokens(key: str, source: str, keep: bool = False) -> Row:
    """A row whose student has a distillation token."""
    return Row(
        key,
        settings={"methods": [[key, {}]], "student": BOTH},
        source=source,
        under={"paper": {"student": "deit-micro-32"}},
        search={"weight": 0.5},
        keep=keep,
    )


# Weights under `quick` are those that `kdcore run vit --search` chose; where none stands it chose the published.
VIT = Experiment(
    "vit",
    "Losses for vision transformers",
    rows=(
        Row("student", settings={"teacher": None}, source="labels alone", keep=True),
        Row(
            "kd",
            settings={"methods": [["kd", {}]]},
            source="0.9 beside 0.1, T = 4: RepDistiller, mdistiller, on the class token",
            under={"quick": {"methods": [["kd", {"weight": 0.009}]]}},
            search={"weight": 0.9},
            keep=True,
        ),
        with_both_tokens("deit-soft", "zhao2026 eq. 12; weights and temperature of the authors' code", keep=True),
        with_both_tokens("deit-hard", "zhao2026 section 5.2; half and half, the paper's", keep=True),
        Row(
            "attn-map-distill",
            settings={"methods": [["attn-map-distill", {}]]},
            source="zhao2026 eq. 13, weight 1",
            under={"quick": {"methods": [["attn-map-distill", {"weight": 0.1}]]}},
            search={"weight": 1.0},
            keep=True,
        ),
        Row(
            "vitkd",
            settings={"methods": [["vitkd", {"weight": ON_DIGITS}]]},
            source="the authors' code, its weights brought from 75,264 numbers a layer to ours",
            under={"paper": {"methods": [["vitkd", {"weight": ON_64_PATCHES}]]}},
            search={"weight": ON_DIGITS},
            keep=True,
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="vit",
)

# The convolutional teacher of the quick task in the place of the one of tokens: DeiT's own setting.
FROM_CONVOLUTIONS = {**TAUGHT_BY_TOKENS, "teacher": DIGITS["teacher"]}
VIT_TEACHERS = Experiment(
    "vit-teachers",
    "A vision transformer taught by convolutions",
    rows=(
        Row("kd", settings={"methods": [["kd", {}]]}, source="0.9 beside 0.1, T = 4, on the class token"),
        with_both_tokens("deit-hard", "DeiT's setting: a convolutional teacher"),
    ),
    seeds=SEEDS,
    profiles={
        "smoke": profile({**RECIPE, "steps": 8}, FROM_CONVOLUTIONS, "0.1 core-seconds a run", seeds=(0,)),
        "quick": profile({**RECIPE, "steps": 300, "tabulate": True}, FROM_CONVOLUTIONS, "3 core-seconds a run"),
    },
    chapter="vit",
)

EXPERIMENTS = (DIGITS_TEACHER, CIFAR100_TEACHER, VIT, VIT_TEACHERS)
