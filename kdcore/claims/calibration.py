"""Whether a table may be made in half precision: no survey's claim but our own condition, with a rule all the same."""

from __future__ import annotations

from kdcore.claims.evidence import gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.experiments.calibration import PRECISION

# What counts as no loss has to be said: on CIFAR-10 the smallest gap that three seeds of the table can tell apart, half
# a point; on the quick task, where seeds differ five times as much, two points of the nine that KD is worth there.
SMALL = {"smoke": 0.02, "quick": 0.02, "short": 0.005, "paper": 0.005}
FEWEST = 5  # seeds


def nothing_is_lost(records: Records) -> Verdict:
    """Half precision is below single precision by less than what counts, over five paired seeds at least."""
    small = min(SMALL[record["profile"]] for record in records)
    found = gap(values(records, "bfloat16", "accuracy"), values(records, "float32", "accuracy"))
    because = f"bfloat16 over float32 {found}; a loss of {100 * small:g} points would count"
    if found.below:
        return Verdict("contradicted", because)
    return Verdict("supported" if found.seeds >= FEWEST and found.low > -small else "undecided", because)


NO_LOSS = Claim(
    "precision",
    statement="A student that learns with its networks in bfloat16 is no less accurate than one in single precision.",
    by="the condition under which a table of this book is made in bfloat16",
    against="An accuracy in bfloat16 below that in float32 (paired, 95 %); an interval that reaches a loss of half a "
    "point on CIFAR-10, or of two on the quick task, leaves it undecided.",
    experiment=PRECISION,
    rule=nothing_is_lost,
)
