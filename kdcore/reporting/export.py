"""A table for other programs: CSV and JSON at full precision, LaTeX and BibTeX for a paper, each with its edition."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kdcore.reporting.editions import UNDATED, Edition
from kdcore.reporting.formatting import counted
from kdcore.reporting.markup import latex_escape, to_latex, to_plain

if TYPE_CHECKING:
    from kdcore.reporting.tables import Line, ResultTable, SearchTable

AUTHOR = "{The kdcore authors}"
COLUMNS = (
    "experiment", "row", "status", "metric", "split", "which", "profile", "device", "edition", "n", "seeds", "mean",
    "std", "reference", "difference", "low", "high", "p_holm", "verdict", "best", "published", "published_std",
    "citation", "protocol", "failures",
)  # fmt: skip


def makers(table: ResultTable | SearchTable) -> dict[str, Callable[[], str]]:
    """File ending to what makes the file."""
    return {"csv": table.csv, "tex": table.latex, "bib": table.bibtex, "json": table.json}


def files(table: ResultTable | SearchTable) -> dict[str, str]:
    """File name, with the edition, to content."""
    return {f"{table.name}-{table.edition.short}.{kind}": make() for kind, make in makers(table).items()}


def of_edition(edition: Edition) -> dict[str, Any]:
    """An edition as JSON has it; why it was published stands in the changelog."""
    return {"date": edition.date, "short": edition.short, "hashes": list(edition.hashes)}


def csv_text(table: ResultTable) -> str:
    """One line a row, values as recorded (fractions, not percentages), the edition in every line.

    Seeds, published numbers and failures of a row are joined by bars, published ones in the same order in each column.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in table.lines:
        writer.writerow({name: _cell(value) for name, value in flat(table, line).items()})
    return out.getvalue()


def flat(table: ResultTable, line: Line) -> dict[str, Any]:
    """Everything that is known of a row, by the names of `COLUMNS`."""
    pair, others = line.difference, line.published
    return {
        "experiment": table.experiment,
        "row": line.key,
        "status": line.status,
        "metric": table.metric.key,
        "split": table.split,
        "which": table.which,
        "profile": table.profile,
        "device": table.device,
        "edition": str(table.edition),
        "n": line.summary.n,
        "seeds": sorted(line.values),
        "mean": line.summary.mean,
        "std": line.summary.std,
        "reference": table.reference,
        "difference": pair.mean if pair else None,
        "low": pair.low if pair else None,
        "high": pair.high if pair else None,
        "p_holm": line.p,
        "verdict": line.word,
        "best": line.best,
        "published": [one.value for one in others],
        "published_std": [one.std for one in others],
        "citation": [one.citation for one in others],
        "protocol": [one.protocol for one in others],
        "failures": [f"seed {seed}: {reason}" for seed, reason in line.failures.items()],
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " | ".join(_cell(part) for part in value)
    return repr(value) if isinstance(value, float) else str(value)


def json_text(table: ResultTable) -> str:
    """Everything behind the table, each seed's value and each record's hash."""
    noise = table.noise
    head = {name: getattr(table, name) for name in ("title", "experiment", "split", "which", "profile", "device")}
    head |= {"metric": table.metric.key, "unit": "fraction" if table.metric.scale == 100 else table.metric.unit}
    head |= {"reference": table.reference, "level": table.level, "method": table.method}
    head["edition"] = of_edition(table.edition)
    head["noise"] = {
        "pooled_std": noise.pooled.std if noise.pooled else None,
        "freedom": noise.pooled.freedom if noise.pooled else 0,
        "smallest_gap": noise.gap,
        "not_told_apart": [list(group) for group in noise.groups if len(group) > 1],
    }
    head["caption"], head["notes"] = to_plain(table.caption), [to_plain(note) for note in table.notes]
    head["rows"] = [_row(table, line) for line in table.lines]
    return json.dumps(head, indent=1, ensure_ascii=False) + "\n"


def _row(table: ResultTable, line: Line) -> dict[str, Any]:
    own = ("row", "status", "n", "mean", "std", "difference", "low", "high", "p_holm", "verdict", "best")
    said = {name: value for name, value in flat(table, line).items() if name in own}
    return said | {
        "values": {str(seed): value for seed, value in line.values.items()},
        "failures": {str(seed): reason for seed, reason in line.failures.items()},
        "published": [one._asdict() for one in line.published],
        "origins": list(line.origins),
    }


def latex_text(table: ResultTable) -> str:
    """A ``table`` environment for booktabs, its caption with the edition, its notes under it."""
    notes = [to_latex(note) for note in table.notes]
    lines = [f"% needs \\usepackage{{booktabs}}; edition {table.edition}"]
    lines += [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{to_latex(table.caption)}}}",
        rf"\label{{tab:{table.name.removeprefix('tab-')}}}",
    ]
    lines += [table.grid.latex()]
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def bibtex_text(table: ResultTable | SearchTable) -> str:
    """A ``@misc`` entry for this edition of the table; it has no address, since the table has none of its own."""
    day = table.edition.date
    made = ["kdcore", f"experiment {table.experiment}", table.profile and f"profile {table.profile}", table.device]
    fields = {
        "author": AUTHOR,
        "title": f"{{{latex_escape(to_plain(table.title))}: {latex_escape(table.metric.label)}}}",
        "howpublished": latex_escape(", ".join(filter(None, made))),
        "note": latex_escape(f"Edition {table.edition}, {counted(len(table.edition.hashes), 'record')}"),
    }
    if day != UNDATED:
        fields["year"] = day[:4]
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{_entry_key(table)},\n{body}}}\n"


def _entry_key(table: ResultTable | SearchTable) -> str:
    """One table has one key, wherever its entry is read: what was run, how, and the edition."""
    metric = "" if table.metric.key == "accuracy" else table.metric.key
    words = [table.experiment, table.profile, table.device, metric, table.edition.short]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(["kdcore", *filter(None, words)]).lower())
