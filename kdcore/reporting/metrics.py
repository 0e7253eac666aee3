"""What is measured: its name, its unit, which way is better, how it is shown."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from kdcore.reporting.formatting import compact, number


class Metric(NamedTuple):
    """One kind of number.

    Attributes:
        key: as records name it.
        label: as a table names it.
        unit: of a shown value, empty where it has none.
        gap: unit of a shown difference.
        scale: shown = recorded x scale.
        better: ``higher``, ``lower``, or empty where neither is; without it nothing is set in bold.
    """

    key: str
    label: str
    unit: str = ""
    gap: str = ""
    scale: float = 1.0
    better: Literal["higher", "lower", ""] = ""

    def show(self, value: float, decimals: int | None, *, signed: bool = False) -> str:
        """A value or difference as shown; three significant digits where `decimals` is None."""
        value *= self.scale
        if decimals is not None:
            return number(value, decimals, signed=signed)
        return ("+" if signed and value > 0 else "") + compact(value)

    def decimals(self, spread: float | None, largest: float) -> int | None:
        """How many decimals the spread over seeds deserves.

        Percentages get one, and two where the spread is below half a point; other values two digits of their
        spread, or three significant digits where there is none.
        """
        if self.unit == "%":
            return 2 if spread and self.scale * spread < 0.5 else 1
        if not spread or not 1e-3 <= self.scale * largest < 1e5:
            return None
        return max(0, min(6, 1 - math.floor(math.log10(self.scale * spread))))


def _percentage(key: str, label: str, better: Literal["higher", "lower"]) -> Metric:
    return Metric(key, label, "%", "points", 100.0, better)


METRICS = {
    metric.key: metric
    for metric in (
        _percentage("accuracy", "accuracy", "higher"),
        _percentage("agreement", "agreement with the teacher", "higher"),
        _percentage("ece", "expected calibration error", "lower"),
        Metric("cross_entropy", "cross-entropy", "nats", "nats", better="lower"),
        Metric("perplexity", "perplexity", better="lower"),
        Metric("nats_per_character", "nats a character", "nats", "nats", better="lower"),
        Metric("reader_nats", "the teacher's need for a drawn character", "nats", "nats", better="lower"),
        Metric("reader_nats_greedy", "the teacher's need for a likeliest character", "nats", "nats"),
    )
}


def metric_of(key: str) -> Metric:
    """The metric behind a name such as ``accuracy`` or ``networks.leader.accuracy``; an unknown one stays plain.

    Example:
        >>> metric_of("networks.leader.accuracy").label, metric_of("relative_gap").label
        ('accuracy of leader', 'relative gap')
    """
    *path, last = key.removeprefix("networks.").split(".")
    known = METRICS.get(last, Metric(last, last.replace("_", " ")))
    whose = f" of {' '.join(path)}" if path else ""
    return known._replace(key=key, label=known.label + whose)
