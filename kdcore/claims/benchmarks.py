"""What the surveys conclude from their tables: three sentences each, every one with a rule that was fixed before.

Rows are compared as on the tables' pages: paired over seeds, by the spread that all students of the table share
(`kdcore.reporting.blocks`). A finished teacher has no seed of theirs, so its gaps are told by their own spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean

from kdcore.claims.evidence import Gap, gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.tables import SI2023_TABLE1, ZHAO2026_TABLE2
from kdcore.reporting.blocks import residual

BOTH = 0.975  # level of each of two intervals that are to hold together at 95 %
HEADS = ("teacher", "student")
Seeds = Mapping[int, float]


def accuracies(records: Records, rows: Iterable[str]) -> dict[str, Seeds]:
    return {row: values(records, row, "accuracy") for row in rows}


def usual(found: Mapping[str, Seeds]) -> dict[int, float]:
    """The mean of some rows, seed by seed."""
    common = set.intersection(*(set(row) for row in found.values()))
    return {seed: mean(row[seed] for row in found.values()) for seed in sorted(common)}


def highest(found: Mapping[str, Seeds]) -> str:
    """The row with the highest mean."""
    return max(found, key=lambda row: mean(found[row].values()))


def methods(records: Records, *without: str) -> list[str]:
    """The rows of a table that are neither its teacher nor its student alone."""
    return [row for row in dict.fromkeys(one["row"] for one in records) if row not in (*HEADS, *without)]


def word(supported: bool, contradicted: bool) -> str:
    return "supported" if supported else "contradicted" if contradicted else "undecided"


def together(*rules: Callable[[Records], Verdict]) -> Callable[[Records], Verdict]:
    """Supported where every rule is, contradicted where one is."""

    def all_of(records: Records) -> Verdict:
        found = [rule(records) for rule in rules]
        words = [one.word for one in found]
        because = "; ".join(f"({number}) {one}" for number, one in enumerate(found, start=1))
        return Verdict(word(set(words) == {"supported"}, "contradicted" in words), because)

    return all_of


def between(records: Records, upper: Sequence[str], lower: Sequence[str], level: float = 0.95) -> Gap:
    """How far the mean of some rows lies above that of others.

    By the spread that all students of these records share, of which a mean of rows has less than one row; by their own
    where there is none, or where one of them does not share it.
    """
    shared = residual(accuracies(records, ["student", *methods(records)]))
    if shared is not None:
        shared = shared._replace(std=shared.std * math.sqrt((1 / len(upper) + 1 / len(lower)) / 2))
        shared = None if {*upper, *lower} & set(shared.restless) else shared
    return gap(usual(accuracies(records, upper)), usual(accuracies(records, lower)), level=level, pooled=shared)


def first_above(records: Records, upper: Sequence[str], lower: Sequence[str]) -> tuple[bool, bool, str]:
    """Whether the mean of some rows lies above that of others or below it, and by how much."""
    found = between(records, upper, lower)
    return found.above, found.below, f"the mean of {', '.join(upper)} lies {found} from that of {', '.join(lower)}"


# ---------------------------------------------------------------- si2023 section 4

ONE_TO_ONE = ("kd", "crd", "takd")  # the table's group of traditional methods
EXTRACTED, STRUCTURED = ("at", "afds", "fsp"), ("rkd", "irg", "sp")
ONLINE = ("dml", "one", "okddip")


def between_student_and_teacher(records: Records) -> Verdict:
    """Every row above the student alone and below the teacher, all of them together at 95 %."""
    rows = accuracies(records, methods(records))
    level = 1 - 0.05 / (2 * len(rows))
    teacher = values(records, "teacher", "accuracy")
    gains = {row: between(records, [row], ["student"], level) for row in rows}
    rests = {row: gap(teacher, found, level=level) for row, found in rows.items()}
    worst, nearest = min(gains, key=lambda row: gains[row].mean), min(rests, key=lambda row: rests[row].mean)
    because = (
        f"{sum(one.above for one in gains.values())} of {len(rows)} rows lie above the student alone, the least of "
        f"them {worst} by {gains[worst]}; {sum(one.above for one in rests.values())} lie below the teacher, the "
        f"nearest {nearest} by {rests[nearest]}"
    )
    each = [*gains.values(), *rests.values()]
    return Verdict(word(all(one.above for one in each), any(one.below for one in each)), because)


def online_wins(records: Records) -> Verdict:
    """The best of the online rows above the best of all others, and their mean above that of one-to-one methods."""
    rows = accuracies(records, methods(records, "okddip-networks"))
    own = {row: rows.pop(row) for row in ONLINE}
    first, second = highest(own), highest(rows)
    lead = between(records, [first], [second], BOTH)
    over = between(records, ONLINE, ONE_TO_ONE, BOTH)
    because = (
        f"{first}, the best of them, lies {lead} from {second}, the best of the others; the mean of "
        f"{', '.join(ONLINE)} lies {over} from that of {', '.join(ONE_TO_ONE)}"
    )
    return Verdict(word(lead.above and over.above, lead.below or over.below), because)


def structure_wins(records: Records) -> Verdict:
    above, below, because = first_above(records, STRUCTURED, EXTRACTED)
    return Verdict(word(above, below), because)


ALL_BETWEEN = Claim(
    "si-table1-claims-1",
    statement="Every method trains a better student than the labels alone, and none a student as good as the teacher.",
    by="si2023 section 4, first conclusion",
    against="A row below the student alone, or one above the teacher (paired over seeds, all intervals together at "
    "95 % by Bonferroni).",
    experiment=SI2023_TABLE1,
    rule=between_student_and_teacher,
)
ONLINE_BEST = Claim(
    "si-table1-claims-2",
    statement="Methods without a finished teacher are the best, and in general above those that match a finished "
    "teacher's answers one to one.",
    by="si2023 section 4, second conclusion",
    against="The best of DML, ONE and OKDDip (its leader, on shared layers) below the best other row, or their mean "
    "below that of KD, CRD and TAKD, the table's traditional methods (paired, 97.5 % each).",
    experiment=SI2023_TABLE1,
    rule=online_wins,
)
STRUCTURE_BEST = Claim(
    "si-table1-claims-3",
    statement="Structured knowledge teaches more than what is extracted from a network's maps.",
    by="si2023 section 4, third conclusion; printed numbers hold for the means alone",
    against="A mean accuracy of RKD, IRG and SPKD below that of AT, AFD (of 2020) and FSP, the table's groups (paired "
    "over seeds, 95 %).",
    experiment=SI2023_TABLE1,
    rule=structure_wins,
)
SI2023_CONCLUSIONS = Claim(
    "si-table1-claims",
    statement="All methods lie between student and teacher, those without a finished teacher are the best, and "
    "structured knowledge teaches more than extracted knowledge.",
    by="si2023 section 4, its three conclusions",
    against="Any one of the three contradicted by its own rule; all three must be supported.",
    experiment=SI2023_TABLE1,
    rule=together(between_student_and_teacher, online_wins, structure_wins),
)

# ---------------------------------------------------------------- zhao2026 section 6

FEATURES, RELATIONS = ("fitnet-joint", "at"), ("sp", "crd")
DESIGNED = ("dkd", "normkd")  # the two that the section names
FUSED = "crld"


def relations_win(records: Records) -> Verdict:
    above, below, because = first_above(records, RELATIONS, FEATURES)
    return Verdict(word(above, below), because)


def answers_return(records: Records) -> Verdict:
    """Each of the two designed losses on answers above plain distillation."""
    found = {row: between(records, [row], ["kd"], BOTH) for row in DESIGNED}
    because = "; ".join(f"{row} lies {one} from kd" for row, one in found.items())
    return Verdict(word(all(one.above for one in found.values()), any(one.below for one in found.values())), because)


def fusion_wins(records: Records) -> Verdict:
    """The method that is said to join kinds of knowledge above the best other row, at the same budget."""
    rows = accuracies(records, methods(records, FUSED, "crld-all-steps"))
    second = highest(rows)
    lead = between(records, [FUSED], [second])
    because = f"{FUSED} lies {lead} from {second}, the best of the others"
    return Verdict(word(lead.above, lead.below), because)


RELATIONS_BEST = Claim(
    "zhao-table2-claims-1",
    statement="Relations between samples bring more than features that are matched layer by layer.",
    by="zhao2026 section 6, first observation",
    against="A mean accuracy of SPKD and CRD below that of FitNet (in one stage, as copied) and AT (paired, 95 %).",
    experiment=ZHAO2026_TABLE2,
    rule=relations_win,
)
ANSWERS_BACK = Claim(
    "zhao-table2-claims-2",
    statement="Finer designs of losses on answers bring more than plain distillation.",
    by="zhao2026 section 6, second observation, of DKD and NormKD",
    against="An accuracy with DKD or with NormKD (alone) below that of plain distillation (paired, 97.5 % each).",
    experiment=ZHAO2026_TABLE2,
    rule=answers_return,
)
FUSION_BEST = Claim(
    "zhao-table2-claims-3",
    statement="The method that joins kinds of knowledge is the best.",
    by="zhao2026 section 6, third observation, of CRLD, which matches answers of two views alone (errata Z-20)",
    against="An accuracy with CRLD, in half the steps for its two views, below that of the best other row (paired, "
    "95 %).",
    experiment=ZHAO2026_TABLE2,
    rule=fusion_wins,
)
ZHAO2026_OBSERVATIONS = Claim(
    "zhao-table2-claims",
    statement="Relations bring more than matched features, finer losses on answers more than plain distillation, and "
    "the method that joins both is the best.",
    by="zhao2026 section 6, its three observations",
    against="Any one of the three contradicted by its own rule; all three must be supported.",
    experiment=ZHAO2026_TABLE2,
    rule=together(relations_win, answers_return, fusion_wins),
)

ENTRIES = (
    Entry("si-table1-claims", "mechanism", SI2023_CONCLUSIONS, {}, "si2023 section 4, three conclusions"),
    Entry("zhao-table2-claims", "mechanism", ZHAO2026_OBSERVATIONS, {}, "zhao2026 section 6, three observations"),
)
