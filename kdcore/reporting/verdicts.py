"""What our records say of numbers that others printed, by rules that were fixed before the records were made.

Like is compared with like: a published last epoch with our last, a published best epoch with our best, one that does
not say which with our last. Gains are compared, each over its own student without a teacher, since recipes move whole
tables up and down.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kdcore.reporting.formatting import counted, ranges
from kdcore.reporting.selection import WHICH, Record
from kdcore.reporting.statistics import FEWEST, Paired, pool
from kdcore.reporting.tables import Line, PlainTable, Published, ResultTable, plain_table, result_table

BASELINE = "cannot be told from the baseline"
REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NO_VERDICT = "no verdict"
SETTING = ("paper",)  # profiles that are the publications' own setting

RULES = (
    "A row *cannot be told from the baseline* where the paired interval of its gain holds zero after Holm's correction "
    "over the table.",
    "A published gain is *reproduced* where it lies in the interval in which such a gain is expected by our records: "
    "our mean gain, its uncertainty, and the spread of a difference of two means over as many runs as the publication "
    "has (one where it does not say), whose seeds need not have been shared. Rows that scatter alike share one spread.",
    "Otherwise it is *not reproduced*, and the verdict says on which side ours lies.",
    f"Fewer than {FEWEST} paired seeds, a failed seed, or another setting than the publication's give no verdict.",
)


class Verdict(NamedTuple):
    """What may be said of one published number, or of a row without one.

    Attributes:
        row: its key.
        labels: `BASELINE`, `REPRODUCED`, `NOT_REPRODUCED` with a direction; two may stand together. Where none of them
            can be given, how the row stands to the baseline, or `NO_VERDICT`.
        because: the numbers behind it, or the reason why there is none.
        which: the epoch that was compared.
        ours: our gain over the student without a teacher.
        published: the number that is judged; None where nothing was published.
        gain: the published one over its own baseline.
        expected: where a published gain is expected to lie.
    """

    row: str
    labels: tuple[str, ...]
    because: str
    which: str = "last"
    ours: Paired | None = None
    published: Published | None = None
    gain: float | None = None
    expected: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        return "; ".join(self.labels)


def verdicts(
    records: Iterable[Record], experiment: Any = None, *, setting: Collection[str] = SETTING, **options: Any
) -> tuple[Verdict, ...]:
    """A verdict for each published number of an experiment, and one for each row without any.

    Args:
        records: of one experiment, profile and kind of device.
        experiment: itself or its key; its rows say what was published.
        setting: profiles under which a published number may be compared.
        options: of `kdcore.reporting.result_table`, such as ``reference``, ``metric``, ``published``, ``method``.
    """
    records = list(records)
    table = result_table(records, experiment, **options)
    best = None
    if any(epoch_of(one) == "best" for line in table.lines for one in line.published):
        best = result_table(records, experiment, which="best", **options)
    return judge(table, best, setting=setting)


def judge(
    table: ResultTable, best: ResultTable | None = None, *, setting: Collection[str] = SETTING
) -> tuple[Verdict, ...]:
    """As `verdicts`, of tables that are there already.

    Args:
        table: of the last epochs.
        best: the same rows at their best epochs, for numbers that were published as such.
        setting: see `verdicts`.
    """
    found = []
    for line in table.lines:
        if line.is_teacher or line.key == table.reference:
            continue
        for published in line.published or (None,):
            found.append(_judged(line, published, table, best, setting))
    return tuple(found)


def _judged(
    line: Line, published: Published | None, table: ResultTable, best: ResultTable | None, setting: Collection[str]
) -> Verdict:
    """One row beside one number, from the table of the epoch that the number is of where it can be judged at all."""
    judged = published is not None and table.profile in setting
    which = "best" if judged and epoch_of(published) == "best" else "last"
    if which == "best":
        other = next((one for one in best.lines if one.key == line.key), None) if best else None
        if other is None or (line.values and not other.values):
            reason = "no best epochs were recorded"
            return Verdict(line.key, (NO_VERDICT,), reason, which, None, published, gain_of(published, table))
        table, line = best, other
    gain = gain_of(published, table)
    if reason := hindrance(line, table):
        return Verdict(line.key, (NO_VERDICT,), reason, which, line.difference, published, gain)
    told = (BASELINE,) if line.word == "not told apart" else ()
    label, because, expected = _reproduction(line, published, gain, table, setting)
    labels = (*told, *((label,) if label else ())) or (f"{line.word} the baseline",)
    return Verdict(line.key, labels, because, which, line.difference, published, gain, expected)


def epoch_of(published: Published) -> str:
    """``last``, ``best`` or ``unknown``, as its selection or else its protocol says."""
    if published.selection != "unknown":
        return published.selection
    return next((one for one in ("best", "last") if f"{one} epoch" in published.protocol), "unknown")


def hindrance(line: Line, table: ResultTable) -> str:
    """Why nothing can be said of a row; empty where something can."""
    pair = line.difference
    if line.status != "done":
        return {"not run": "it has not been run", "failed": "it failed"}.get(line.status, "one of its seeds failed")
    if line.stale:
        return f"its records are of {line.stale}"
    if pair is None:
        return f"the reference {table.reference} has no finished run"
    if len(pair.seeds) < FEWEST:
        return f"{counted(len(pair.seeds), 'paired seed')}, and no fewer than {FEWEST} can tell"
    if pair.low is None:
        return pair.why
    return "" if line.p is not None else "a seed of the reference failed"


def _reproduction(
    line: Line, published: Published | None, gain: float | None, table: ResultTable, setting: Collection[str]
) -> tuple[str, str, tuple[float, float] | None]:
    """The label of a published number, the reason, and where its gain was expected; no label where none fits."""
    ours, show = line.difference, lambda value: table.metric.show(value, table.decimals, signed=True)
    here = f"{show(ours.mean)} [{show(ours.low)}, {show(ours.high)}] here"
    if published is None:
        return "", f"{here}, nothing is published", None
    if table.profile not in setting:
        return "", f"{here} under profile {table.profile}, which is not the publication's setting", None
    if gain is None:
        return "", f"{here}, and the publication gives no student without a teacher", None
    low, high = expected_gain(line, table, published.runs or 1)
    because = f"{here}, {show(gain)} published, {show(low)} to {show(high)} expected"
    if low <= gain <= high:
        return REPRODUCED, because, (low, high)
    return f"{NOT_REPRODUCED}, ours is {'smaller' if gain > high else 'larger'}", because, (low, high)


def gain_of(published: Published | None, table: ResultTable) -> float | None:
    """A published number over its own baseline; None where that is not known."""
    base = None if published is None else baseline_of(published, table)
    return None if base is None else published.value - base


def baseline_of(published: Published, table: ResultTable) -> float | None:
    """The student without a teacher of the same publication; None where it is not known or there are several."""
    if published.baseline is not None:
        return published.baseline
    own = [one for line in table.lines if line.key == table.reference for one in line.published]
    same = [one for one in own if one.source == published.source]
    same = same or [one for one in own if one.citation == published.citation]
    return same[0].value if len({one.value for one in same}) == 1 else None


def expected_gain(line: Line, table: ResultTable, runs: int) -> tuple[float, float]:
    """Where the gain of somebody else's `runs` runs of a row is expected, at the table's level.

    Our mean has its standard error; theirs scatters about the same truth like a difference of two means of `runs`
    values each, every row with its spread over seeds.
    """
    from scipy.stats import t

    ours = line.difference
    theirs = math.hypot(_spread(line.key, table), _spread(table.reference, table)) / math.sqrt(runs)
    half = float(t.ppf((1 + table.level) / 2, ours.freedom)) * math.hypot(ours.error, theirs)
    return ours.mean - half, ours.mean + half


def _spread(row: str, table: ResultTable) -> float:
    """Over seeds: its own for a row that scatters more than the others, else that which these share."""
    noise = table.noise
    restless = noise.residual.restless if noise.residual else ()
    if not restless:
        return noise.pooled.std
    seen = {line.key: list(line.values.values()) for line in table.lines if not (line.is_teacher or line.stale)}
    return pool({row: seen[row]} if row in restless else {key: seen[key] for key in seen if key not in restless}).std


def counts(found: Iterable[Verdict]) -> dict[str, int]:
    """How often each label was given, directions together."""
    totals: dict[str, int] = {}
    for verdict in found:
        for label in verdict.labels:
            name = label.partition(",")[0]
            totals[name] = totals.get(name, 0) + 1
    return totals


def verdict_table(
    found: Sequence[Verdict], table: ResultTable, *, caption: str = "", name: str = "tab-verdicts"
) -> PlainTable:
    """Verdicts as a table of the book, with their rules under it.

    Args:
        found: as `judge` gives them.
        table: that they were made from.
        caption: what stands before how the table was made.
        name: see `kdcore.reporting.plain_table`.
    """
    show = lambda value: table.metric.show(value, table.decimals, signed=True)
    span = lambda low, high: "–" if low is None else f"{show(low)} to {show(high)}"
    unit = f", {table.metric.gap}" if table.metric.gap else ""
    header = (
        "row",
        "epoch published, ours",
        f"gain published{unit}",
        f"our gain{unit} [interval]",
        "expected",
        "verdict",
    )
    rows = []
    for one in found:
        ours = one.ours if one.ours and one.ours.mean is not None else None
        mine = f"{show(ours.mean)} [{span(ours.low, ours.high)}]" if ours else "–"
        said = f"{one.text}: {one.because}" if one.labels == (NO_VERDICT,) else one.text
        gain, expected = "–" if one.gain is None else show(one.gain), span(*(one.expected or (None, None)))
        rows.append((table.label(one.row), _epochs(one), gain, mine, expected, said))
    seeds = sorted({len(one.ours.seeds) for one in found if one.ours and one.ours.seeds})
    about = f"Gains over {table.label(table.reference)} in {table.metric.label}, n = {ranges(seeds) or 'no'} seeds. "
    caption = f"{caption.rstrip()} {about}{table.made}.".strip()
    one = "An interval shown is of one comparison alone; the verdict corrects for all of them."
    return plain_table(header, rows, caption=caption, name=name, notes=(*_other_setting(table), one, *RULES))


def _epochs(one: Verdict) -> str:
    ours = WHICH[one.which].removesuffix(" epoch")
    return f"{epoch_of(one.published)}, {ours}" if one.published else f"–, {ours}"


def _other_setting(table: ResultTable) -> tuple[str, ...]:
    if table.profile in SETTING:
        return ()
    return (f"Profile {table.profile} is not the publications' setting, so their numbers are shown and not judged.",)


def by_row(found: Iterable[Verdict]) -> Mapping[str, Verdict]:
    """One verdict a row: of its first published number."""
    first: dict[str, Verdict] = {}
    for verdict in found:
        first.setdefault(verdict.row, verdict)
    return first
