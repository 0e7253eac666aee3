"""Claims on why distillation works: what its gradient is at high temperatures."""

from __future__ import annotations

from kdcore.claims.evidence import gap, values
from kdcore.claims.foundations import LEARNER, SEEDS, SIZES
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.foundations import at_temperature
from kdcore.experiments.profiles import profile
from kdcore.experiments.types import Experiment, Row

# ---------------------------------------------------------------- the squared temperature

FALL, NONE = -2.0, 0.0  # slopes of the logarithm of the gradient's length against that of the temperature
TOLERANCE = 0.1


def squared_temperature_steadies(records: Records) -> Verdict:
    """Without the factor the gradient falls with the square of the temperature, with it it does not."""
    slopes = {row: values(records, row, "slope") for row in ("unscaled", "scaled")}
    fits = [abs(slope - FALL) <= TOLERANCE for slope in slopes["unscaled"].values()]
    fits += [abs(slope - NONE) <= TOLERANCE for slope in slopes["scaled"].values()]
    means = {row: round(sum(found.values()) / len(found), 2) + 0.0 for row, found in slopes.items()}
    helped = gap(values(records, "kd-t20", "accuracy"), values(records, "kd-t20-unscaled", "accuracy"))
    because = (
        f"from T = 16 on the gradient's length falls as T to the power {means['unscaled']:.2f} without the factor and "
        f"{means['scaled']:.2f} with it ({len(fits) // 2} seeds); trained at T = 20 the factor is worth {helped}"
    )
    if all(fits):
        return Verdict("supported", because)
    return Verdict("undecided" if any(fits) else "contradicted", because)


def norms(key: str, squared: bool) -> Row:
    return Row(
        key,
        measure="kdcore.claims.measures:gradient_norms",
        settings={
            "learner": LEARNER,
            "temperatures": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0],
            "squared": squared,
        },
        source="zhao2026 eq. 2, si2023 eq. 1" if squared else "huang2022 eq. 6 (errata H-05)",
    )


SCALING = Experiment(
    "t2-gradient-scaling",
    "The gradient of distillation with and without the squared temperature",
    rows=(
        norms("unscaled", squared=False),
        norms("scaled", squared=True),
        at_temperature(20.0),
        Row(
            "kd-t20-unscaled",
            settings={"methods": [["kd", {"temperature": 20.0, "weight": 0.9 / 400}]]},
            source="huang2022 eq. 6 at 0.9 and T = 20, no squared temperature",
        ),
    ),
    seeds=SEEDS,
    profiles=SIZES,
    chapter="mechanism",
)

T2 = Claim(
    "t2-gradient-scaling",
    statement="The gradient of the softened term falls as 1 / T^2; the factor T^2 keeps its size.",
    by="Hinton 2015; zhao2026 eq. 2, si2023 eq. 1",
    against="A slope of the logarithms, from T = 16 on, further than 0.1 from -2 without the factor or from 0 with it.",
    experiment=SCALING,
    rule=squared_temperature_steadies,
)

# ---------------------------------------------------------------- the limit

FAR = "10000"  # the highest temperature
CLOSE = 1e-3  # relative distance below which the limit counts as reached
SAME = 1e-9  # and below which two formulas are one


def becomes_logit_matching(records: Records) -> Verdict:
    """The limit is reached with both means at zero, and missed where one is not."""
    rows = {row: values(records, row, "printed", FAR) for row in ("both-centred", "student-centred", "raw")}
    exact = max(max(values(records, row, "exact", FAR).values()) for row in rows)
    uniform = max(values(records, "raw", "uniform", FAR).values())
    half = max(values(records, "raw", "half_square").values())
    reached = max(rows["both-centred"].values()) < CLOSE and exact < CLOSE and half < SAME
    missed = min(min(rows[row].values()) for row in ("student-centred", "raw")) > CLOSE
    because = (
        f"at T = {FAR} the gradient is off the printed limit by {max(rows['both-centred'].values()):.1e} with both "
        f"means zero, {min(rows['student-centred'].values()):.2g} with the student's alone and "
        f"{min(rows['raw'].values()):.2g} with none; off the limit with both means taken off by {exact:.1e} at most; "
        f"no probability is further than {uniform:.1e} from 1/K; the limit is the gradient of |z - u|^2 / (2 K T^2) "
        f"to {half:.1e}"
    )
    if reached and missed:
        return Verdict("supported", because)
    return Verdict("contradicted" if not reached else "undecided", because)


def limit(key: str, centred: list[str], source: str) -> Row:
    return Row(
        key,
        measure="kdcore.claims.measures:high_temperature",
        settings={"centred": centred, "temperatures": [1.0, 10.0, 100.0, 1000.0, 10000.0]},
        source=source,
    )


ALIKE = dict.fromkeys(SIZES, profile({}, {}, "a core-second in all"))

LIMIT = Experiment(
    "high-temperature-logit-matching",
    "The gradient of distillation beside that of logit matching",
    rows=(
        limit("both-centred", ["student", "teacher"], "Hinton 2015 eq. 4"),
        limit("student-centred", ["student"], "huang2022 eq. 5 as printed (errata H-03)"),
        limit("raw", [], "note-hinton section 2 as printed (errata N-02)"),
    ),
    seeds=SEEDS,
    profiles=ALIKE,
    chapter="mechanism",
)

HIGH_TEMPERATURE = Claim(
    "high-temperature-logit-matching",
    statement="For a high temperature the gradient of distillation becomes (z - u) / (K T^2), that of logit matching, "
    "if both networks' scores have mean zero, and not if only one's do.",
    by="Hinton 2015; huang2022 eq. 4 and 5, note-hinton section 2 (conditions amended: errata H-03, N-02)",
    against="At T = 10000, a relative distance of 1e-3 or more from the limit with both means at zero; one of at most "
    "1e-3 without would leave the condition open.",
    experiment=LIMIT,
    rule=becomes_logit_matching,
)

EXPERIMENTS = (SCALING, LIMIT)

ENTRIES = (
    Entry("t2-gradient-scaling", "mechanism", T2, {}, "arXiv:1503.02531"),
    Entry("high-temperature-logit-matching", "mechanism", HIGH_TEMPERATURE, {}, "arXiv:1503.02531"),
)
