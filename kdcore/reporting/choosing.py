"""From a table and its costs to what a practitioner should take, and how sure that is.

The highest mean is an answer only where nothing else is tied with it. Otherwise the rows that are not told apart from
it are the answer, and among them the cheapest; the student without a teacher is one of the candidates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from kdcore.reporting.formatting import MINUS, counted, percent
from kdcore.reporting.selection import Record, device_of
from kdcore.reporting.selection.reading import canonical
from kdcore.reporting.statistics import FEWEST, Paired, holm, verdict
from kdcore.reporting.tables import Line, PlainTable, ResultTable, plain_table
from kdcore.reporting.tables.lines import comparison

DRAWS = 20_000
LEAST = 4  # rows that two tables must share before their orders are compared


class Choice(NamedTuple):
    """What to take of the rows that are affordable.

    Attributes:
        best: the row with the best mean.
        tied: rows that are not told apart from it, itself included, the cheapest first.
        gain: of the best over the reference; None where it is the reference.
        lead: in how many of many redraws of all means, each with its standard error, the best row is best again; None
            where the seeds have no spread.
        candidates: how many rows were affordable.
        seeds: of the row with the fewest.
    """

    best: str
    tied: tuple[str, ...]
    gain: Paired | None
    lead: float | None
    candidates: int
    seeds: int

    @property
    def enough(self) -> bool:
        """Whether there are seeds enough to tell rows apart at all."""
        return self.seeds >= FEWEST


def choose(table: ResultTable, costs: Mapping[str, float], limit: float = math.inf) -> Choice | None:
    """The choice among rows of a table whose cost is at most `limit`; None where there is no such row.

    Args:
        table: whose rows are the candidates, those with failed or outdated runs left out.
        costs: row to cost; a row without one is no candidate.
        limit: in the unit of `costs`.
    """
    lines = [line for line in table.lines if _candidate(line) and line.key in costs and costs[line.key] <= limit]
    if not lines:
        return None
    sign = -1 if table.metric.better == "lower" else 1
    best, *others = sorted(lines, key=lambda line: -sign * line.summary.mean)
    compare = comparison(table.level, table.method, table.noise)
    pairs = [compare(best, other) for other in others]
    adjusted = holm([pair.p for pair in pairs])
    words = [verdict(pair, p, level=table.level) for pair, p in zip(pairs, adjusted)]
    tied = [best.key, *(other.key for other, word in zip(others, words) if word in ("not told apart", "no verdict"))]
    return Choice(
        best.key,
        tuple(sorted(tied, key=lambda key: (costs[key], key != best.key))),
        best.difference,
        _lead(
            [line.summary.mean for line in (best, *others)], [line.summary.n for line in (best, *others)], table, sign
        ),
        len(lines),
        min(line.summary.n for line in lines),
    )


def _candidate(line: Line) -> bool:
    return bool(line.values) and line.status == "done" and not (line.is_teacher or line.stale)


def _lead(means: Sequence[float], counts: Sequence[int], table: ResultTable, sign: int) -> float | None:
    """How often the first is best when every mean is drawn again about itself."""
    import numpy

    spread = table.noise.residual if table.noise.shared else table.noise.pooled
    if spread is None:
        return None
    errors = spread.std / numpy.sqrt(counts)
    drawn = numpy.random.default_rng(0).normal(means, errors, (DRAWS, len(means)))
    return float(((sign * drawn).argmax(1) == 0).mean())


def one_pair(records: Iterable[Record], name: str, profile: str, device: str) -> list[Record]:
    """Records of several experiments that were made alike, as those of one experiment called `name`.

    Kept are finished runs of one profile and kind of device without changed settings, of the data, student, teacher
    and recipe that most of them have; of a row that several experiments have, the first one's.
    """
    alike = [record for record in records if _fits(record, profile, device)]
    usual = Counter(_made(record) for record in alike if record["row"] != "student").most_common(1)
    homes: dict[str, str] = {}
    kept = []
    for record in alike:
        own = _made(record)
        same = any(own == common or (record["row"] == "student" and own[:2] == common[:2]) for common, _ in usual)
        if same and homes.setdefault(record["row"], record["experiment"]) == record["experiment"]:
            kept.append({**record, "experiment": name})
    return kept


def _fits(record: Record, profile: str, device: str) -> bool:
    """A finished, unchanged run of this profile and device that has an accuracy."""
    made = record["profile"] == profile and device_of(record) == device and record["status"] == "done"
    return made and not record.get("variant") and "accuracy" in (record.get("last") or {})


def _made(record: Record) -> tuple[Any, ...]:
    """What runs must have in common to stand in one comparison; a row may lack the teacher."""
    inputs, settings = record.get("inputs") or {}, record.get("settings") or {}
    return inputs.get("data"), canonical([settings.get("student"), record.get("recipe")]), inputs.get("teacher")


Pairs = Mapping[str, tuple[ResultTable, Mapping[str, float]]]  # title to a table and its rows' costs


def decision_table(
    pairs: Pairs, limits: Mapping[str, float], *, unit: str = "", caption: str, name: str = "tab-decision"
) -> PlainTable:
    """A line for every pair and budget: what leads, how surely, what is tied with it, what is the cheapest of these.

    Args:
        pairs: what there is to choose from.
        limits: budget in words to the most a row may cost.
        unit: the row in whose costs limits are given; in those of `pairs` where it is empty or has none.
        caption, name: see `kdcore.reporting.plain_table`.
    """
    header = (
        "pair", "a run may cost", "highest mean", "gain [interval], points", "leads again in", "tied with it",
        "cheapest of these",
    )  # fmt: skip
    rows = []
    for title, (table, costs) in pairs.items():
        for words, limit in limits.items():
            found = choose(table, costs, limit * costs.get(unit, 1.0))
            rows.append((title, words, *(_cells(found, table, costs) if found else ("no row", *("–",) * 4))))
    note = "In brackets what a run of it costs."
    return plain_table(header, rows, caption=caption, name=name, notes=(note,))


def _cells(found: Choice, table: ResultTable, costs: Mapping[str, float]) -> list[str]:
    gain = table.gain_text(found.best) if found.gain and found.gain.mean is not None else "–"
    lead = "–" if found.lead is None else percent(found.lead, 0)
    if not found.enough:
        seeds = counted(found.seeds, "seed")
        return [table.label(found.best), gain, lead, f"not known from {seeds}", "not known"]
    first = found.tied[0]
    tied = "nothing" if len(found.tied) == 1 else f"{len(found.tied) - 1} of {found.candidates - 1} others"
    return [table.label(found.best), gain, lead, tied, f"{table.label(first)} ({costs[first]:.2f} ×)"]


def in_words(pairs: Pairs) -> str:
    """What has the highest mean in each pair and what is tied with it, as a sentence's end, costs without a limit."""
    parts = []
    for title, (table, costs) in pairs.items():
        found = choose(table, costs)
        if found is None or not found.enough:
            parts.append(f"{title}: too few seeds to choose by")
        elif len(found.tied) == 1:
            parts.append(f"{title}: {table.label(found.best)} stands alone at the top")
        else:
            others = counted(len(found.tied) - 1, "other")
            cheapest = f"the cheapest of all tied is {table.label(found.tied[0])}"
            parts.append(f"{title}: {table.label(found.best)} leads in the mean, tied with {others}; {cheapest}")
    return "; ".join(parts) or "there were no records to choose by"


def transfer_table(tables: Mapping[str, ResultTable], *, caption: str, name: str = "tab-transfer") -> PlainTable:
    """How the order of gains in one table goes with that in another, for every two that share four rows or more.

    Args:
        tables: title to table.
        caption, name: see `kdcore.reporting.plain_table`.
    """
    rows = []
    for (one, first), (two, second) in combinations(tables.items(), 2):
        mine, theirs = gains(first), gains(second)
        shared = [key for key in mine if key in theirs]
        if len(shared) >= LEAST:
            rank, low, high = rank_correlation([mine[key] for key in shared], [theirs[key] for key in shared])
            rows.append((one, two, len(shared), f"{rank:.2f} [{low:.2f}, {high:.2f}]".replace("-", MINUS)))
    header = ("one comparison", "another", "shared rows", "rank correlation of gains [about 95 %]")
    return plain_table(header, rows, caption=caption, name=name, notes=("Intervals by Fisher's transformation.",))


def gains(table: ResultTable) -> dict[str, float]:
    """The mean paired difference of every row that has one."""
    pairs = {line.key: line.difference for line in table.lines if line.difference and not line.stale}
    return {key: pair.mean for key, pair in pairs.items() if pair.mean is not None}


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's rank correlation with an interval of about 95 %, rough for few values.

    Example:
        >>> [round(value, 2) for value in rank_correlation([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])]
        [0.94, 0.56, 0.99]
    """
    from scipy.stats import spearmanr

    if len(set(one)) < 2 or len(set(other)) < 2:
        return 0.0, -1.0, 1.0  # nothing to order
    rank = float(spearmanr(one, other).statistic)
    inside, reach = max(-0.9999, min(0.9999, rank)), 1.959964 / math.sqrt(len(one) - 3)
    return rank, math.tanh(math.atanh(inside) - reach), math.tanh(math.atanh(inside) + reach)
