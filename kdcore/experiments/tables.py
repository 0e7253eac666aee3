"""The surveys' benchmark tables, at an equal budget: the delivered student costs the same in every row.

It takes as many optimiser steps, and as many images go through it forward and backward. What prepares it comes out of
the same total (`kdcore.experiments.budget`), and a method that sees two views of every image takes half the steps; a
marked row shows it with all of them. What other networks cost is not made equal, nor what the student answers to
others without learning (mutual learning).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kdcore.entry import Entry
from kdcore.experiments.contrastive import CONTRASTIVE
from kdcore.experiments.feature import FEATURE
from kdcore.experiments.profiles import DIGITS, PAPER100, QUICK, SHORT, SMOKE, TABLE10, TRAINED10
from kdcore.experiments.relation import RELATION
from kdcore.experiments.response import KD, RESPONSE, STUDENT
from kdcore.experiments.types import Experiment, Profile, Row
from kdcore.survey import published

SEEDS = (0, 1, 2)
BUDGET = {"budget": "student"}
OPEN = "the survey does not say"
PROTOCOLS = {
    "si2023-table1": {"protocol": "Table 1: CIFAR-10, ResNet56 to ResNet20, mean of 3 runs, epoch not said", "runs": 3},
    "zhao2026-table2": {"protocol": "Table 2: CIFAR-100, ResNet32x4 to ShuffleNetV2"},
}


# ---------------------------------------------------------------- rows


def number(table: str, key: str, selection: str = "unknown") -> dict[str, Any]:
    """A table's number as a row carries it: a method's, or that of its teacher or student alone."""
    block = next(block for block in published() if block["id"] == table)
    value = block[key]["accuracy"] if key in ("teacher", "student") else block["values"][key]
    told = {**PROTOCOLS[table], "selection": selection}
    if selection != "unknown":
        told["protocol"] += f", {selection} epoch"
    return {"accuracy": {"value": round(value / 100, 4), "citation": table.partition("-")[0], **told}}


def printed(row: Row, said: Mapping[str, Any] | None = None, source: str = "", **settings: Any) -> Row:
    """A chapter's row beside what a table printed for it; chosen weights of the chapter's quick task go with it."""
    mine = {**row.settings, **settings}
    return replace(row, settings=mine, published=said or {}, source=source or row.source, search={})


def si2023(row: Row, key: str | None = None, source: str = "", **settings: Any) -> Row:
    return printed(row, number("si2023-table1", key) if key else None, source, **settings)


def zhao2026(row: Row, key: str | None = None, selection: str = "last", source: str = "") -> Row:
    return printed(row, number("zhao2026-table2", key, selection) if key else None, source)


def taught(key: str, source: str, said: Mapping[str, Any] | None = None, **more: Any) -> Row:
    return Row(key, published=said or {}, source=source, **more)


def head(said: Mapping[str, Any], source: str) -> Row:
    """The network that the table's rows learn from."""
    return Row("teacher", "kdcore.experiments.measures.tables:teacher", published=said, source=source)


def in_half_the_steps(row: Row, profiles: Mapping[str, Profile]) -> Row:
    """A row that asks its student twice at every step, under each profile half as long."""
    under = dict(row.under)
    for name, profile in profiles.items():
        recipe = profile.recipe
        shorter = {"steps": recipe["steps"] // 2} if "steps" in recipe else {"epochs": recipe["epochs"] / 2}
        under[name] = {**under.get(name, {}), "recipe": shorter}
    return replace(row, under=under)


def seeds_of(teacher: Mapping[str, Any], *seeds: int) -> list[dict[str, Any]]:
    """The same row's networks under other seeds."""
    return [{**teacher, "seed": seed} for seed in seeds]


# ---------------------------------------------------------------- si2023 Table 1

SIZES10 = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": TABLE10}
MIDDLE = {"name": "kdcore.models.digits:DigitNetwork", "width": 16, "depth": 2}  # as wide as one, as deep as the other
TAKD = taught(
    "takd",
    "ResNet32 as assistant, as the survey says, trained in the run under its seed; both steps at the weights of kd",
    number("si2023-table1", "takd"),
    settings={"scheme": "takd", "assistants": [MIDDLE]},
    under={"short": {"assistants": ["resnet32"]}, "paper": {"assistants": ["resnet32"]}},
)
DML = taught(
    "dml",
    "three students, as the survey says; temperature and weight 1: the paper's",
    number("si2023-table1", "dml"),
    settings={"scheme": "dml", "peers": 3, "teacher": None},
)
ONE = taught(
    "one",
    f"three branches, as the survey says, two stages shared; T = 3, rise over 80 of 300 epochs: the authors' code; "
    f"whether a branch or the ensemble was judged {OPEN}",
    number("si2023-table1", "one"),
    settings={"scheme": "one", "branches": 3, "teacher": None},
)
OKDDIP = taught(
    "okddip",
    f"a leader and two peers on shared layers, T = 3, rise over 80 of 300 epochs: the authors' code; which of its two "
    f"forms has three students, and whether the leader is one of them, {OPEN}",
    number("si2023-table1", "okddip"),
    settings={"scheme": "okddip", "peers": 2, "teacher": None},
)
AMTML = taught(
    "amtml-kd",
    "ALTKD; three teachers, as the survey says, here ResNet56 of three seeds; which it had it does not say; T = 5, 0.7 "
    "beside 0.3, first stage 80 beside 200 epochs: the authors' notebooks. At `short` the three public networks of "
    "56, 32 and 20 layers, the kind of teachers that the authors had",
    number("si2023-table1", "amtml-kd"),
    settings={"scheme": "amtml-kd", "others": seeds_of(DIGITS["teacher"], 1, 2), **BUDGET},
    under={
        "short": {"others": [{"checkpoint": "resnet32-a-cifar10"}, {"checkpoint": "resnet20-a-cifar10"}]},
        "paper": {"others": seeds_of(TRAINED10["teacher"], 1, 2)},
    },
)

SI2023_TABLE1 = Experiment(
    "si2023-table1",
    "si2023 Table 1: CIFAR-10, ResNet56 to ResNet20, at an equal budget",
    rows=(
        head(number("si2023-table1", "teacher"), "ResNet56; at `short` the public one, whose shortcuts are padded"),
        si2023(STUDENT, "student"),
        si2023(KD, "kd"),
        si2023(CONTRASTIVE.row("crd"), "crd"),
        TAKD,
        si2023(FEATURE.row("fitnet"), "fitnet", **BUDGET),
        si2023(FEATURE.row("fitnet-joint"), "fitnet"),
        si2023(FEATURE.row("at"), "at"),
        si2023(FEATURE.row("afds"), "afds", "the AFD of 2020; weight 1, ours: the paper could not be read"),
        si2023(FEATURE.row("afd-attention-matching"), "afds", "the AFD of 2021, with distillation: the authors' code"),
        si2023(RELATION.row("fsp"), "fsp", **BUDGET),
        si2023(RELATION.row("rkd"), "rkd"),
        si2023(RELATION.row("irg"), "irg"),
        si2023(RELATION.row("sp"), "sp"),
        DML,
        ONE,
        OKDDIP,
        taught(
            "okddip-networks",
            "the same with three networks that share nothing",
            number("si2023-table1", "okddip"),
            settings={"scheme": "okddip-networks", "peers": 2, "teacher": None},
        ),
        AMTML,
    ),
    seeds=SEEDS,
    profiles=SIZES10,
    chapter="benchmarks",
)

# ---------------------------------------------------------------- zhao2026 Table 2

# No public network of this pair's teacher exists, so at `short` the other table's pair stands in.
STAND_IN = replace(SHORT, cost="15 core-minutes a run, on CIFAR-10 with the public ResNet-56")
SIZES100 = {"smoke": SMOKE, "quick": QUICK, "short": STAND_IN, "paper": PAPER100}
CRLD = zhao2026(RESPONSE.row("crld"), "crld", "best")
ALL_STEPS = replace(CRLD, key="crld-all-steps", source=f"{CRLD.source}; with all steps, so twice the images")
SHARED = (
    head(number("zhao2026-table2", "teacher", "last"), "ResNet32x4; at `short` the public ResNet-56 on CIFAR-10"),
    zhao2026(STUDENT, "student"),
    zhao2026(
        FEATURE.row("fitnet-joint"),
        "fitnet",
        source="one stage, weight 100 on the mean: RepDistiller, whose number it is",
    ),
    zhao2026(KD, "kd"),
    zhao2026(FEATURE.row("at"), "at"),
    zhao2026(RELATION.row("sp"), "sp"),
    zhao2026(CONTRASTIVE.row("crd"), "crd"),
    zhao2026(RESPONSE.row("dkd"), "dkd", "best"),
    taught(
        "dkd-logit-std",
        "DKD on standardised logits, base temperature 2, alpha 9, beta 72: the authors' code for this pair",
        number("zhao2026-table2", "dkd+logit-std", "best"),
        settings={"methods": [["dkd-logit-std", {}]]},
    ),
    zhao2026(
        RESPONSE.row("normkd"),
        "normkd",
        "best",
        "NormKD alone: 0.9 beside 0.1, norm temperature 2: the authors' code; not confirmed that the number is its",
    ),
    taught(
        "normkd-dkd",
        "NormKD with DKD, alpha 4, beta 5: the authors' code for this pair, whose number it may be",
        number("zhao2026-table2", "normkd", "best"),
        settings={"methods": [["normkd-dkd", {}]]},
    ),
)
FITNET = FEATURE.row("fitnet")
TWO_STAGES = "two stages, the paper's form; the number is of the other one"

ZHAO2026_TABLE2 = Experiment(
    "zhao2026-table2",
    "zhao2026 Table 2: CIFAR-100, ResNet32x4 to ShuffleNetV2, at an equal budget",
    rows=(*SHARED, printed(FITNET, None, TWO_STAGES, **BUDGET), in_half_the_steps(CRLD, SIZES100), ALL_STEPS),
    seeds=SEEDS,
    profiles=SIZES100,
    chapter="benchmarks",
)

EXPERIMENTS = (SI2023_TABLE1, ZHAO2026_TABLE2)

ENTRIES = (
    Entry("si-table1", "table", "si2023-table1", {}, "sixteen rows in all their readings"),
    Entry("zhao-table2", "table", "zhao2026-table2", {}, "nine methods and two baselines in all their readings"),
    Entry("eval-protocol", "table", "book/protocol.md", {}, "a page: si2023's protocol beside ours"),
)
