"""What a search for weights tried and chose: a line a row, a column a multiple of its weight."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kdcore.reporting import export
from kdcore.reporting.display import check_name, table_bundle
from kdcore.reporting.editions import Edition, edition_of, published_editions
from kdcore.reporting.formatting import counted, listed, shortest
from kdcore.reporting.markup import Grid, code
from kdcore.reporting.metrics import Metric, metric_of
from kdcore.reporting.provenance import caption, command
from kdcore.reporting.selection import Record, of_one_kind, sound
from kdcore.reporting.tables.library import outdated_parts
from kdcore.reporting.tables.plain import PlainTable

if TYPE_CHECKING:
    from kdcore.experiments import Experiment
    from kdcore.experiments.search import Choice


COLUMNS = ("experiment", "row", "metric", "split", "profile", "device", "edition", "scale", "mean", "chosen")


@dataclass(frozen=True)
class SearchTable(PlainTable):
    """Scores on the validation split, which no result of the book is; the way out is that of every table."""

    title: str = ""
    metric: Metric = metric_of("accuracy")
    experiment: str = ""
    profile: str = ""
    device: str = ""
    edition: Edition = Edition("undated", "", ())
    found: Mapping[str, Choice] | None = None

    @cached_property
    def grid(self) -> Grid:
        return replace(super().grid, align="l" + "r" * (len(self.header) - 1))

    def csv(self) -> str:
        """Scores as recorded; the chosen multiple, not the weight that it makes."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        head = [self.metric.key, "validation", self.profile, self.device, str(self.edition)]
        for row, one in (self.found or {}).items():
            for scale, score in one.scores.items():
                writer.writerow([self.experiment, row, *head, scale, repr(score), scale == one.scale])
        return out.getvalue()

    def bibtex(self) -> str:
        return export.bibtex_text(self)

    def json(self) -> str:
        names = ("title", "experiment", "profile", "device")
        head = {name: getattr(self, name) for name in names} | {"metric": self.metric.key, "split": "validation"}
        head["edition"] = export.of_edition(self.edition)
        rows = {row: {"scores": one.scores, "chosen": one.scale} for row, one in (self.found or {}).items()}
        return json.dumps(head | {"rows": rows}, indent=1, ensure_ascii=False) + "\n"

    def files(self) -> dict[str, str]:
        return export.files(self) if self.found else {}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        again = f"Again: {code(command(self.experiment, self.profile, self.device))}."
        return table_bundle(self.grid, self.caption, self.name, (*self.notes, again), self.files(), self.text())


def search_table(
    experiment: str | Experiment,
    records: Iterable[Record] | None = None,
    *,
    profile: str | None = None,
    device: str | None = None,
    name: str = "",
    edition: Edition | None = None,
) -> SearchTable:
    """The scores of a search for weights, the best multiple of each row and the weight that it makes.

    Args:
        experiment: whose rows were searched, or its key, with or without ``-search``.
        records: of the search; what the store holds of it where None.
        profile: which to show where the records are of several.
        device: likewise, ``cpu`` or ``cuda``.
        name: label for ``{numref}``; ``tab-<experiment>-search`` where empty.
        edition: a published one that is to be shown as it was.

    Raises:
        ValueError: records of several profiles or devices without a choice.
        Refusal: no row of the experiment names a weight that could be searched.
    """
    from kdcore.experiments import get, read
    from kdcore.experiments.search import choices
    from kdcore.experiments.types import SCALES, SEARCH

    about = get((experiment if isinstance(experiment, str) else experiment.key).removesuffix(SEARCH))
    asked = about.searching()
    every, left_out = sound(list(read(asked.key) if records is None else records), asked.key)
    if edition is not None:
        every = [record for record in every if record["hash"] in edition.hashes]
    mine, profile, device, _ = of_one_kind(every, profile, device) if every else ([], profile, device, [])
    found = choices(mine)
    metric = metric_of(next((record["score"] for record in mine if record.get("score")), "accuracy"))
    name = name or f"tab-{asked.key}"
    check_name(name)
    lines = [_line(row, found.get(row.key), metric, SCALES) for row in about.rows if row.search]
    unit = f", in {'percent' if metric.unit == '%' else metric.unit}" if metric.unit else ""
    said = (
        f"{asked.title}: {metric.label} on that split{unit}, mean over the seeds of the search, at each multiple of "
        "the row's weight (published, or ours where none is), and what it chose."
    )
    return SearchTable(
        ("row", "weight", *(f"× {scale:g}" for scale in SCALES), "chosen"),
        tuple(lines),
        caption(said, mine, edition=edition) if mine else said,
        name,
        (*_notes(lines, mine), *(f"Left out: {note}." for note in left_out)),
        title=asked.title,
        metric=metric,
        experiment=asked.key,
        profile=profile or "",
        device=device or "",
        edition=edition or edition_of(mine, published_editions(asked.key).entries),
        found=found,
    )


def _line(row: Any, choice: Choice | None, metric: Metric, scales: Sequence[float]) -> tuple[Any, ...]:
    published = " and ".join(shortest(value) for value in row.search.values())
    if choice is None:
        return (code(row.key), published, *(None for _ in scales), None)
    scores = {s: metric.show(score, 1 if metric.unit == "%" else 2) for s, score in choice.scores.items()}
    scores[choice.scale] = f"**{scores[choice.scale]}**"
    chosen = " and ".join(shortest(value * choice.scale) for value in row.search.values())
    return (code(row.key), published, *map(scores.get, scales), chosen)


def _notes(lines: Sequence[Sequence[Any]], records: Sequence[Record]) -> Iterable[str]:
    if not records:
        yield "Nothing is recorded of this search."
        return
    yield "Of equal scores the one nearest to the whole weight is chosen."
    if any(None in line for line in lines):
        yield "A dash: no run is recorded, or one failed."
    parts = sorted({part for record in records for part in outdated_parts(record.get("revision"))})
    if parts:
        older = sum(bool(outdated_parts(record.get("revision"))) for record in records)
        yield f"{counted(older, 'run')} of an older revision of {listed(map(code, parts))}."
