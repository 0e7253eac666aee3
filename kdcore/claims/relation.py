"""Claims on relations: whom they help most, whether they beat extracted maps, what noise leaves of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from kdcore.claims.evidence import gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.relation import BETWEEN_SAMPLES, EXTRACTED, HETEROGENEOUS, NOISE, STRUCTURE, STRUCTURED


def usual(records: Records, rows: Sequence[str]) -> dict[int, float]:
    """The mean accuracy of some rows, seed by seed."""
    found = [values(records, row, "accuracy") for row in rows]
    return {seed: mean(row[seed] for row in found) for seed in found[0] if all(seed in row for row in found)}


# ---------------------------------------------------------------- a student of another family


def helps_the_far_student_more(records: Records) -> Verdict:
    """What relations have over plain distillation, and by how much more for the student of another family."""
    gains = {}
    for name, ending in (("near", ""), ("far", "-far")):
        relations = usual(records, [row + ending for row in BETWEEN_SAMPLES])
        answers = values(records, f"kd{ending}", "accuracy")
        gains[name] = {seed: relations[seed] - answers[seed] for seed in relations if seed in answers}
    zero = dict.fromkeys(gains["near"], 0.0)
    more = gap(gains["far"], gains["near"])
    because = (
        f"the mean of {', '.join(BETWEEN_SAMPLES)} lies {gap(gains['near'], zero)} from kd for a student of the "
        f"teacher's family and {gap(gains['far'], zero)} for one of another: {more} more"
    )
    return Verdict("supported" if more.above else "contradicted" if more.below else "undecided", because)


FAMILIES = Claim(
    "relation-heterogeneous-claim",
    statement="What relations between samples gain over plain distillation is larger where the student's architecture "
    "is of another family than the teacher's.",
    by="zhao2026 section 4.3; huang2022 sections 4.3 and 8(2) hold that relations do not depend on capacity",
    against="A gain over plain distillation that is smaller for the student of another family (the mean of four "
    "losses, paired over seeds, 95 %).",
    experiment=HETEROGENEOUS,
    rule=helps_the_far_student_more,
)

# ---------------------------------------------------------------- structured beside extracted


def structure_wins(records: Records) -> Verdict:
    """The mean of what si2023 calls structured against the mean of what it calls extracted."""
    structured, extracted = usual(records, STRUCTURED), usual(records, EXTRACTED)
    found = gap(structured, extracted)
    rows = {row: mean(values(records, row, "accuracy").values()) for row in (*STRUCTURED, *EXTRACTED)}
    best = max(EXTRACTED, key=rows.__getitem__)
    below = [row for row in STRUCTURED if rows[row] < rows[best]]
    because = (
        f"the mean of {', '.join(STRUCTURED)} lies {found} from that of {', '.join(EXTRACTED)}; "
        f"{len(below)} of the former have a lower mean than the best of the latter, {best}"
    )
    return Verdict("supported" if found.above else "contradicted" if found.below else "undecided", because)


BEATS_EXTRACTED = Claim(
    "structural-beats-extracted",
    statement="Structured knowledge teaches more than what is extracted from a network's maps.",
    by="si2023 section 4, third conclusion; in its Table 1 RKD and AT have the same number",
    against="A mean accuracy of RKD, IRG and SPKD below that of AT and FSP (paired over seeds, 95 %).",
    experiment=STRUCTURE,
    rule=structure_wins,
)

# ---------------------------------------------------------------- under noise

SCALE = "0.2"  # of the noise, chosen before: a fifth of the range from black to white


def similarities_stay(records: Records) -> Verdict:
    """Noise moves similarities less than features, and less than answers, as parts of what tells samples apart."""
    similar = values(records, "noise", "similarities", SCALE)
    others = {name: values(records, "noise", name, SCALE) for name in ("features", "answers")}
    gaps = {name: gap(other, similar) for name, other in others.items()}
    share = lambda found: f"{100 * mean(found.values()):.0f} %"
    because = (
        f"noise of {SCALE} moves similarities by {share(similar)} of what lies between samples, features by "
        f"{share(others['features'])}, answers by {share(others['answers'])} ({len(similar)} seeds)"
    )
    if all(found.above for found in gaps.values()):
        return Verdict("supported", because)
    return Verdict("contradicted" if any(found.below for found in gaps.values()) else "undecided", because)


ROBUST = Claim(
    "similarity-under-noise",
    statement="Similarities between samples change less when the input does than the features and the answers from "
    "which they might have been matched.",
    by="zhao2026 section 4.1, which calls them more robust to changes of the input",
    against="Under noise of a fifth of the range, a change of similarities, over the differences between samples, "
    "above that of features or of answers (paired over batches, 95 %).",
    experiment=NOISE,
    rule=similarities_stay,
)

ENTRIES = (
    Entry("relation-heterogeneous-claim", "mechanism", FAMILIES, {}, "zhao2026 section 4.3"),
    Entry("structural-beats-extracted", "mechanism", BEATS_EXTRACTED, {}, "si2023 section 4"),
    Entry("similarity-under-noise", "mechanism", ROBUST, {}, "zhao2026 section 4.1"),
)
