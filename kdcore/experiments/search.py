"""What a search for weights chose, by the validation split alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kdcore.experiments.store import Record
from kdcore.experiments.types import SCALES, Experiment, Row

LOWER = ("perplexity",)  # scores of which the lowest is the best


class Choice(NamedTuple):
    """What was tried for one row.

    Attributes:
        scale: the one that was chosen, in multiples of the published weight.
        scores: mean over the search's seeds by scale; a scale at which a run failed has none.
    """

    scale: float
    scores: Mapping[float, float]


def weights(experiment: Experiment, row: Row, profile: str) -> dict[str, float]:
    """What a row has under a profile in place of the published weights that a search scales."""
    settings = experiment.settings(row, profile)
    own = settings["methods"][0][1] if settings.get("methods") else settings
    return {name: own.get(name, published) for name, published in row.search.items()}


def reweighted(experiment: Experiment, profile: str) -> tuple[str, ...]:
    """The rows that a search gave another weight under this profile."""
    return tuple(row.key for row in experiment.rows if weights(experiment, row, profile) != dict(row.search))


def choices(records: Sequence[Record]) -> dict[str, Choice]:
    """The best scale of every row; of equal ones that which is nearest to the published weight."""
    found: dict[str, dict[float, list[Record]]] = {}
    for record in records:
        row, _, scale = record["row"].rpartition("-x")
        found.setdefault(row, {}).setdefault(float(scale), []).append(record)
    scored = {row: _scores(scales) for row, scales in found.items()}
    return {row: Choice(max(scores, key=lambda s: (scores[s], s)), _shown(found[row], scores))
            for row, scores in scored.items() if scores}  # fmt: skip


def _scores(scales: Mapping[float, Sequence[Record]]) -> dict[float, float]:
    """Higher is better, whatever the score."""
    whole = {scale: runs for scale, runs in scales.items() if all(run["status"] == "done" for run in runs)}
    return {scale: statistics.fmean(_goodness(run) for run in whole[scale]) for scale in SCALES if scale in whole}


def _goodness(record: Record) -> float:
    value = record["last"][record["score"]]
    return -value if record["score"] in LOWER else value


def _shown(scales: Mapping[float, Sequence[Record]], scores: Mapping[float, float]) -> dict[float, float]:
    return {scale: statistics.fmean(run["last"][run["score"]] for run in scales[scale]) for scale in scores}
