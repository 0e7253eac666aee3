"""The claim on large language models: aligning every layer costs too much, and choosing layers costs nothing."""

from __future__ import annotations

from collections.abc import Mapping

from kdcore.claims.evidence import Gap, gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.text import SEEDS, sizes, taught_by
from kdcore.experiments.types import Experiment, Row

LAYERS = 96  # the survey's example
COSTLY = 1.1  # a step that is a tenth dearer, in arithmetic or in what is kept; fixed before anything was counted
MARGIN = 0.05  # nats a character below which two students count as equal; fixed before anything was trained
# That the teacher's waiting states belong to what is kept was settled after a first look at the counts.


def every_layer_is_not_worth_it(records: Records) -> Verdict:
    """All layers cost a tenth more of the step, and every second layer teaches as much."""
    cost = next(record["last"] for record in records if record["row"] == "cost")  # counted, so alike for all seeds
    dearer = {what: ratio(cost[what], LAYERS) for what in ("arithmetic", "kept")}
    nats = {row: values(records, row, "nats_per_character") for row in ("every-2", "every-1")}
    lost = gap(nats["every-2"], nats["every-1"])
    because = (
        f"aligning all of {LAYERS} layers makes a step {_percent(dearer['arithmetic'])} dearer in arithmetic and "
        f"{_percent(dearer['kept'])} in what is kept; every second layer in place of all changes {in_nats(lost)}"
    )
    costly = max(dearer.values()) >= COSTLY
    if costly and lost.high < MARGIN:
        return Verdict("supported", because)
    if not costly or lost.low > MARGIN:
        return Verdict("contradicted", because)
    return Verdict("undecided", because)


def ratio(counts: Mapping[str, Mapping[str, float]], layers: int) -> float:
    """How much dearer a step with all layers aligned is than one with none, at any depth.

    Example:
        >>> ratio({"none": {"4": 10.0, "8": 20.0}, "every-1": {"4": 11.0, "8": 22.0}}, 96)
        1.1
    """
    return at(counts["every-1"], layers) / at(counts["none"], layers)


def at(by_depth: Mapping[str, float], layers: int) -> float:
    """A count at another depth: each layer adds the same, so two depths give all."""
    (one, first), (two, second) = ((int(depth), number) for depth, number in list(by_depth.items())[:2])
    return first + (second - first) / (two - one) * (layers - one)


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):.1f} %"


def in_nats(found: Gap) -> str:
    """A gap as it is told of language models."""
    interval = f"{found.low:+.3f} to {found.high:+.3f} at {100 * found.level:g} %"
    shown = "too few to tell" if found.low == float("-inf") else interval
    return f"{found.mean:+.3f} nats a character ({shown}, {found.seeds} seeds)"


def aligned(name: str, every: int, source: str) -> Row:
    return Row(name, settings={"methods": [["hidden-state-align", {"every": every}]]}, source=source)


DEEP = Experiment(
    "llm-challenges",
    "Aligning the states of all layers, of some, of one, of none",
    rows=(
        Row("student", settings={"teacher": None}, source="the text alone"),
        aligned("every-1", 1, "zhao2026 section 5.3: layer by layer"),
        aligned("every-2", 2, "zhao2026 section 5.3: interval sampling"),
        aligned("every-4", 4, "zhao2026 section 5.3: the last layer alone"),
        Row(
            "cost",
            measure="kdcore.experiments.measures.text:alignment_cost",
            settings={"depths": [4, 8], "student_width": 32, "teacher_width": 64, "every": [1, 2, 4]},
            source="zhao2026 section 5.3: a student half as wide as its teacher, counted",
            under={"smoke": {"depths": [1, 2], "every": [1]}},
        ),
    ),
    seeds=SEEDS,
    profiles=sizes(taught_by("text-deep-teacher", "text-deep-student", length=32), cost="2 core-seconds a run"),
    chapter="llm",
)

LLM_CHALLENGES = Claim(
    "llm-challenges",
    statement="Aligning a deep student layer by layer is too costly, and every second layer alone teaches it as much.",
    by="zhao2026 section 5.3 (GPT-3 has 96 layers) and section 7",
    against="A step that aligning all of 96 layers makes less than a tenth dearer, both in arithmetic and in what is "
    "kept; or every second layer worse than all by more than 0.05 nats a character (paired, 95 %).",
    experiment=DEEP,
    rule=every_layer_is_not_worth_it,
)

EXPERIMENTS = (DEEP,)

ENTRIES = (Entry("llm-challenges", "mechanism", LLM_CHALLENGES, {}, "zhao2026 section 5.3"),)
