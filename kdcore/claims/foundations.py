"""Claims on what is taught: scores, probabilities, softened probabilities; and the figure of what came after."""

from __future__ import annotations

from dataclasses import replace

from kdcore.claims.evidence import gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.foundations import KNOWLEDGE_FORMS
from kdcore.experiments.profiles import PAPER100, QUICK, SHORT, SMOKE
from kdcore.experiments.types import Experiment, Row

SEEDS = (0, 1, 2, 3, 4)
SIZES = {"smoke": SMOKE, "quick": QUICK, "short": SHORT, "paper": PAPER100}
LEARNER = {"experiment": "kd-early-knowledge-forms", "row": "student"}  # trained on labels alone, under the same seed

# ---------------------------------------------------------------- scores, probabilities, softened probabilities

SOFT = "4"  # the temperature that stands for softened answers, chosen before: the usual one
BOTH = 0.975  # level of each of two intervals that are to hold together at 95 %


def soft_is_best(records: Records) -> Verdict:
    """Softened answers teach more than either earlier form, and T = 1 hides what they show of the other classes."""
    soft = values(records, f"kd-t{SOFT}", "accuracy")
    over_scores = gap(soft, values(records, "logit-mse", "accuracy"), level=BOTH)
    over_plain = gap(soft, values(records, "kd-t1", "accuracy"), level=BOTH)
    names = ("teacher", "unlike")  # what the teacher leaves to the other classes, what tells them apart
    hard, eased = ([values(records, "negative-mass", name, t) for name in names] for t in ("1", SOFT))
    hidden = all(low[seed] < high[seed] for low, high in zip(hard, eased) for seed in low)
    left = [100 * sum(found[0].values()) / len(found[0]) for found in (hard, eased)]
    because = (
        f"T = {SOFT} over raw scores {over_scores}; over T = 1 {over_plain}; the teacher leaves {left[0]:.2g} % to the "
        f"other classes at T = 1 and {left[1]:.2g} % at T = {SOFT}"
    )
    if over_scores.above and over_plain.above and hidden:
        return Verdict("supported", because)
    if over_scores.below or over_plain.below or not hidden:
        return Verdict("contradicted", because)
    return Verdict("undecided", because)


FORMS = Experiment(
    "kd-early-knowledge-forms",
    "Scores, probabilities and softened probabilities as what is taught",
    rows=(
        replace(KNOWLEDGE_FORMS.row("student"), keep=True),
        *(row for row in KNOWLEDGE_FORMS.rows if row.key != "student"),
        Row(
            "negative-mass",
            measure="kdcore.claims.measures:negative_mass",
            settings={"learner": LEARNER, "temperatures": [1.0, 2.0, 4.0, 8.0, 20.0]},
            source="huang2022 section 2, Fig. 3",
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="foundations",
)

KNOWLEDGE = Claim(
    "kd-early-knowledge-forms",
    statement="A student learns more from softened probabilities than from raw scores or from probabilities at "
    "T = 1, which hide what the softened ones show of the other classes.",
    by="huang2022 section 2 and Fig. 3, after Ba and Caruana 2014 and Hinton 2015",
    against="An accuracy with T = 4 below that with raw scores or with T = 1 (paired, 97.5 % each), or a seed for "
    "which T = 4 leaves the other classes no more of the answer, or of the gradient that tells them apart, than T = 1.",
    experiment=FORMS,
    rule=soft_is_best,
)

# ---------------------------------------------------------------- the temperature after training


def one_at_test(records: Records) -> Verdict:
    """Deploying at the training temperature leaves every answer as it is and spoils its confidence."""
    here, there = (values(records, "kd-t4", name) for name in ("accuracy", "accuracy_softened"))
    moved = [seed for seed in here if here[seed] != there[seed]]
    spoilt = gap(values(records, "kd-t4", "calibration_error_softened"), values(records, "kd-t4", "calibration_error"))
    because = (
        f"the accuracy changes for {len(moved)} of {len(here)} seeds; left at T = 4 the calibration error changes by "
        f"{spoilt}"
    )
    if not moved and spoilt.above:
        return Verdict("supported", because)
    return Verdict("contradicted" if moved or spoilt.below else "undecided", because)


DEPLOYED = Experiment(
    "temperature-train-high-test-one",
    "A student of T = 4, deployed at 1 and at 4",
    rows=(
        Row(
            "kd-t4",
            measure="kdcore.claims.measures:deployed",
            settings={"methods": [["kd", {"temperature": 4.0}]], "temperature": 4.0},
            source="huang2022 section 2, si2023 section 0, note-hinton section 1",
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="foundations",
)

DEPLOYMENT = Claim(
    "temperature-train-high-test-one",
    statement="A student trained at a high temperature is deployed at 1: its answers are the same at both, its "
    "confidence is right only at 1.",
    by="Hinton 2015; huang2022 section 2, si2023 section 0, note-hinton section 1",
    against="An accuracy that changes with the temperature at test, or a calibration error that falls when the "
    "student is left at its training temperature (paired, 95 %).",
    experiment=DEPLOYED,
    rule=one_at_test,
)

# ---------------------------------------------------------------- the survey's figure

ZHAO2026_FIG1 = Experiment(
    "zhao2026-fig1",
    "From values to maps to relations: three losses on one batch",
    rows=(
        Row(
            "values",
            measure="kdcore.claims.measures:one_batch",
            settings={"what": "values", "learner": LEARNER},
            source="zhao2026 section 7, Fig. 1: a point; eq. 2",
        ),
        Row(
            "maps",
            measure="kdcore.claims.measures:one_batch",
            settings={"what": "maps", "learner": LEARNER},
            source="zhao2026 section 7, Fig. 1: a line; attention transfer as published",
        ),
        Row(
            "relations",
            measure="kdcore.claims.measures:one_batch",
            settings={"what": "relations", "learner": LEARNER},
            source="zhao2026 section 7, Fig. 1: a plane; eq. 8 with normalised rows, on the last maps as published",
            revision=2,
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="foundations",
)

EXPERIMENTS = (FORMS, DEPLOYED, ZHAO2026_FIG1)

ENTRIES = (
    Entry("kd-early-knowledge-forms", "mechanism", KNOWLEDGE, {}, "huang2022 section 2"),
    Entry("temperature-train-high-test-one", "mechanism", DEPLOYMENT, {}, "arXiv:1503.02531"),
    Entry("zhao-fig1", "table", "zhao2026-fig1", {}, "one measured loss a stage"),
)
