"""Language models: the chapter's comparison, the temperature of a language model, who writes, and encoders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdcore.experiments.text import SEEDS, sizes, taught_by
from kdcore.experiments.types import Experiment, Row

WRITING = "kdcore.experiments.measures.text:writing"
PAIR = sizes(
    taught_by("text-teacher", "text-student", reader={"experiment": "text-teacher", "row": "teacher", "seed": 0}),
    cost="2 core-seconds a run",
)


def method(
    key: str, source: str, *, name: str = "", search: float | None = None, quick: float | None = None, **settings: Any
) -> Row:
    """A row of one method; `search` is its published weight and `quick` the one that the search chose, if another."""
    return Row(
        name or key,
        measure=WRITING,
        settings={"methods": [[key, settings]]},
        source=source,
        under={} if quick is None else {"quick": {"methods": [[key, {**settings, "weight": quick}]]}},
        search={} if search is None else {"weight": search},
    )


def scheme(key: str, source: str, *, name: str = "", **settings: Any) -> Row:
    return Row(name or key, measure=WRITING, settings={"scheme": key, **settings}, source=source)


def decoded(key: str, source: str) -> Row:
    """A row whose teacher continues a sixth of the texts before it starts."""
    return scheme(key, source, texts=1024)


STUDENT = Row("student", measure=WRITING, settings={"teacher": None}, source="the text alone")
KD = method("kd", "0.9 beside 0.1, T = 4: RepDistiller; every position is an example", search=0.9, quick=0.009)
TOKEN = method("token-level-kd", "zhao2026 eq. 14 with both weights 1", search=1.0)
WARM = 0.5  # half of the steps on the text alone, since on-policy students are taken up when they can write
GKD = scheme("gkd", "zhao2026 section 5.3; on-policy share 0.5 and even mixture: TRL", warm_up=WARM)

# Weights under `quick` are those that `kdcore run llm --search` chose; where none stands it chose the published.
MINILM = method("minilm", "zhao2026 section 5.3, huang2022 section 6.9: both terms with weight 1", search=1.0)

LLM = Experiment(
    "llm",
    "Language models taught by a language model",
    rows=(
        replace(STUDENT, keep=True),
        KD,
        replace(TOKEN, keep=True),
        method("hidden-state-align", "zhao2026 eq. 15 as TinyBERT's mean of squares, weight 1", search=1.0),
        replace(MINILM, keep=True),
        decoded("seq-level-kd", "zhao2026 section 5.3, huang2022 section 4.1: five beams"),
        decoded("seq-inter", "Kim and Rush 2016: of five beams the closest to the text"),
        GKD,
    ),
    seeds=SEEDS,
    profiles=PAIR,
    chapter="llm",
)


def softened(temperature: float) -> Row:
    name = f"kd-t{temperature:g}"
    return method("kd", f"0.9 beside 0.1, T = {temperature:g}", name=name, temperature=temperature)


def with_labels(temperature: float) -> Row:
    name = f"token-level-kd-t{temperature:g}"
    return method("token-level-kd", f"both weights 1, T = {temperature:g}", name=name, temperature=temperature)


# Which of the settings of plain distillation costs a language model its nats: temperature, or the labels' weight.
# One setting changes at a time, so every row has its published weight.
TEMPERATURE = Experiment(
    "text-temperature",
    "The temperature of a language model",
    rows=(
        STUDENT,
        softened(1.0),
        softened(2.0),
        replace(KD, search={}, under={}),
        replace(TOKEN, search={}),
        with_labels(4.0),
    ),
    seeds=SEEDS,
    profiles=PAIR,
    chapter="llm",
)

ON_POLICY = Experiment(
    "text-on-policy",
    "Who writes the texts, and which divergence is lowered on them",
    rows=(
        STUDENT,
        scheme("gkd", "the data's texts alone", name="gkd-data", on_policy=0.0, warm_up=WARM),
        GKD,
        scheme("gkd", "the student's texts alone", name="gkd-own", on_policy=1.0, warm_up=WARM),
        scheme("gkd", "half and half, the forward divergence", name="gkd-forward", beta=0.0, warm_up=WARM),
        scheme("gkd", "half and half, the reverse divergence", name="gkd-reverse", beta=1.0, warm_up=WARM),
    ),
    seeds=SEEDS,
    profiles=PAIR,
    chapter="llm",
)

ENCODER = Experiment(
    "text-encoder",
    "Encoders that guess hidden characters",
    rows=(
        Row("student", settings={"teacher": None}, source="the text alone"),
        Row("token-level-kd", settings={"methods": [["token-level-kd", {}]]}, source="zhao2026 eq. 14"),
        Row("hidden-state-align", settings={"methods": [["hidden-state-align", {}]]}, source="zhao2026 eq. 15"),
        Row("minilm", settings={"methods": [["minilm", {}]]}, source="zhao2026 section 5.3, huang2022 section 6.9"),
    ),
    seeds=SEEDS,
    profiles=sizes(
        taught_by("text-encoder-teacher", "text-encoder-student", "topics-masked"), cost="2 core-seconds a run"
    ),
    chapter="llm",
)

EXPERIMENTS = (LLM, TEMPERATURE, ON_POLICY, ENCODER)
