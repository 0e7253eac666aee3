"""Claims on features: whether they teach more than answers do, and between which layers."""

from __future__ import annotations

from statistics import median

from kdcore.claims.evidence import gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.feature import FEATURE, LAYER_MAPPING

# ---------------------------------------------------------------- features against answers

ANSWERS = "kd"  # what matches the output alone
ROWS = tuple(row.key for row in FEATURE.rows if row.key not in ("student", ANSWERS))


def features_usually_win(records: Records) -> Verdict:
    """The median of the rows on features, seed by seed, against plain distillation."""
    answers = values(records, ANSWERS, "accuracy")
    features = [values(records, row, "accuracy") for row in ROWS]
    usual = {seed: median(row[seed] for row in features) for seed in answers}
    found = gap(usual, answers)
    better = sum(gap(row, answers).mean > 0 for row in features)
    because = (
        f"the median of {len(ROWS)} rows on features lies {found} from {ANSWERS}; "
        f"{better} of them have a higher mean than it"
    )
    return Verdict("supported" if found.above else "contradicted" if found.below else "undecided", because)


FEATURE_BEATS_RESPONSE = Claim(
    "feature-beats-response-claim",
    statement="A student that matches features usually does better than one that matches answers alone.",
    by="zhao2026 section 3.3; its own Table 2 has FitNet and AT below KD",
    against="The median accuracy of the chapter's rows below that of plain distillation (paired over seeds, 95 %). "
    "Rows that match answers too, as their papers do, count among them.",
    experiment=FEATURE,
    rule=features_usually_win,
)

# ---------------------------------------------------------------- where

BOTH = 0.975  # level of each of two intervals that are to hold together at 95 %


def spread_is_best(records: Records) -> Verdict:
    """Layers paired by relative depth, against the lowest ones and against the last one alone."""
    spread = values(records, "skip", "accuracy")
    over_low = gap(spread, values(records, "layer-by-layer", "accuracy"), level=BOTH)
    over_top = gap(spread, values(records, "top", "accuracy"), level=BOTH)
    over_none = gap(spread, values(records, "student", "accuracy"))
    because = (
        f"layers paired by relative depth over layers paired by number {over_low}; over the last layer alone "
        f"{over_top}; over no distillation {over_none}"
    )
    if over_low.above and over_top.above:
        return Verdict("supported", because)
    return Verdict("contradicted" if over_low.below or over_top.below else "undecided", because)


WHERE = Claim(
    "layer-mapping-strategies",
    statement="At one loss and one weight, layers paired by relative depth teach more than layers paired by number "
    "from below, and more than the last layer alone.",
    by="huang2022 section 4.2 lists the ways, zhao2026 section 5.3 prefers layers at intervals; the comparison is ours",
    against="An accuracy with layers paired by relative depth below that of either other way (paired, 97.5 % each).",
    experiment=LAYER_MAPPING,
    rule=spread_is_best,
)

ENTRIES = (
    Entry("feature-beats-response-claim", "mechanism", FEATURE_BEATS_RESPONSE, {}, "zhao2026 section 3.3"),
    Entry("layer-mapping-strategies", "mechanism", WHERE, {}, "huang2022 section 4.2"),
)
