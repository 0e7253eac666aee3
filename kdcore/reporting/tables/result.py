"""A finished table: its words, and how it shows itself to a notebook, the book, a terminal and a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore.reporting import export
from kdcore.reporting.display import table_bundle
from kdcore.reporting.editions import Edition
from kdcore.reporting.formatting import capital, listed, seeds_text, shortest
from kdcore.reporting.markup import Grid, code, escape, to_plain
from kdcore.reporting.metrics import Metric
from kdcore.reporting.provenance import command
from kdcore.reporting.selection import WHICH, Selection
from kdcore.reporting.statistics import Paired
from kdcore.reporting.tables.lines import Line, Method, Noise, comparison
from kdcore.reporting.tables.notes import notes_under, protocols_of

if TYPE_CHECKING:
    from pandas import DataFrame

NONE = "–"


@dataclass(frozen=True)
class ResultTable:
    """Rows of one experiment under one metric, displayed by being the last line of a cell.

    Values are kept as recorded; `caption`, `grid` and `notes` are how they are shown.
    """

    title: str
    metric: Metric
    split: str
    which: str
    reference: str
    lines: tuple[Line, ...]
    noise: Noise
    edition: Edition
    selection: Selection
    left_out: tuple[str, ...] = ()
    level: float = 0.95
    method: Method = "t"
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    decimals: int | None = None

    @property
    def experiment(self) -> str:
        return self.selection.experiment

    @property
    def profile(self) -> str:
        return self.selection.profile

    @property
    def device(self) -> str:
        return self.selection.device

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({seed for line in self.lines for seed in (*line.values, *line.failures)}))

    @cached_property
    def caption(self) -> str:
        unit = f" ({self.metric.unit})" if self.metric.unit not in ("", "%") else ""
        measured = f"{self.metric.label}{unit} on the {self.split} split, {WHICH[self.which]}"
        made = [f"profile {self.profile or 'not recorded'}", self.device or "device not recorded"]
        made += [seeds_text(self.seeds) if self.seeds else "no seeds", f"edition {self.edition}"]
        origins = sorted({origin for line in self.lines for origin in line.origins})
        made += origins if len(origins) == 1 else []
        return f"{self.title}: {measured}, mean ± standard deviation over seeds (n). {capital(', '.join(made))}."

    @cached_property
    def grid(self) -> Grid:
        unit = f", {self.metric.unit}" if self.metric.unit else ""
        gap = f", {self.metric.gap}" if self.metric.gap else ""
        header = ["row", f"{self.metric.label}, {self.split}, {WHICH[self.which]}{unit}"]
        columns = [self._name, self._mean]
        if any(line.difference for line in self.lines):
            header.append(f"difference to {self.label(self.reference)}{gap} [{100 * self.level:g} % interval]")
            columns.append(self._difference)
        if any(line.published for line in self.lines):
            header.append(f"published by others{unit}{self._cited}")
            columns.append(self._published)
        rows = tuple(tuple(cell(line) for cell in columns) for line in self.lines)
        return Grid(tuple(header), rows, "l" + "r" * (len(header) - 1))

    def label(self, key: str) -> str:
        """A row's name as inline Markdown."""
        return escape(self.labels[key]) if key in self.labels else code(key)

    def _name(self, line: Line) -> str:
        return f"{self.label(line.key)} ‡" if line.stale else self.label(line.key)

    def _mean(self, line: Line) -> str:
        if not line.values:
            return line.status
        mean, std, n = line.summary
        spread = "" if std is None else f" ± {self.metric.show(std, self.decimals)}"
        shown = f"{self.metric.show(mean, self.decimals)}{spread} ({n})"
        shown += f", {len(line.failures)} failed" if line.failures else ""
        return f"**{shown}**" if line.best else shown

    def _difference(self, line: Line) -> str:
        if line.difference is None or line.difference.mean is None:
            return NONE
        return self._shown(line.difference) + (" †" if line.word in ("above", "below") else "")

    def _shown(self, pair: Paired) -> str:
        show = lambda value: self.metric.show(value, self.decimals, signed=True)
        interval = "no interval" if pair.low is None else f"{show(pair.low)}, {show(pair.high)}"
        return f"{show(pair.mean)} [{interval}]"

    @cached_property
    def _cited(self) -> str:
        """The citation of all published numbers, for the head of their column; empty where there are several."""
        keys = {one.citation for line in self.lines for one in line.published}
        return f" {{cite:p}}`{keys.pop()}`" if len(keys) == 1 else ""

    def _published(self, line: Line) -> str:
        cells, marks = [], protocols_of(self)
        for one in line.published:
            spread = "" if one.std is None else f" ± {shortest(self.metric.scale * one.std)}"
            cited = "" if self._cited else f" {{cite:p}}`{one.citation}`"
            cells.append(f"{shortest(self.metric.scale * one.value)}{spread}{cited}{marks[one.source]}")
        return "; ".join(cells) or NONE

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """The sentences under the table, as inline Markdown."""
        return notes_under(self)

    @property
    def again(self) -> str:
        """The command that makes it again; empty where the experiment has no name."""
        return command(self.experiment, self.profile, self.device) if self.experiment else ""

    @cached_property
    def made(self) -> str:
        """Profile, device, seeds, edition and command, as a figure of these rows says them."""
        facts = [f"profile {self.profile or 'not recorded'}", self.device or "device not recorded"]
        facts += [seeds_text(self.seeds) if self.seeds else "no seeds", f"edition {self.edition}"]
        facts += sorted({origin for line in self.lines for origin in line.origins})
        return f"{capital(', '.join(facts))}" + (f"; again: {code(self.again)}" if self.again else "")

    # ------------------------------------------------------------ the ways out

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([to_plain(self.caption), "", self.grid.text(), "", *map(to_plain, self.notes)])

    def csv(self) -> str:
        return export.csv_text(self)

    def latex(self) -> str:
        return export.latex_text(self)

    def bibtex(self) -> str:
        return export.bibtex_text(self)

    def json(self) -> str:
        return export.json_text(self)

    def files(self) -> dict[str, str]:
        """File name to content: the same table for a spreadsheet, a paper, a bibliography and a program."""
        return export.files(self)

    def save(self, folder: Path) -> list[Path]:
        """Write `files` into a folder that exists."""
        paths = []
        for name, content in self.files().items():
            paths.append(Path(folder) / name)
            paths[-1].write_text(content, "utf-8")
        return paths

    def frame(self) -> DataFrame:
        """The numbers for one's own analysis, unrounded: a line a row and seed."""
        import pandas

        cells = [(line.key, seed, value) for line in self.lines for seed, value in line.values.items()]
        return pandas.DataFrame(cells, columns=["row", "seed", self.metric.key])

    # ------------------------------------------------------------ for sentences

    def value(self, row: str) -> float:
        """A row's mean."""
        return self._line(row).summary.mean

    def gain(self, row: str, other: str = "") -> float:
        """The mean paired difference of a row to another, the reference where none is named."""
        return self.between(row, other or self.reference).mean

    def between(self, row: str, other: str) -> Paired:
        """The paired difference of any two rows, uncorrected: one comparison that was planned beforehand."""
        one, two = self._line(row), self._line(other)
        return comparison(self.level, self.method, self.noise)(one, two)

    def value_text(self, row: str) -> str:
        """As the table shows it: ``94.5 ± 0.7 (5)``."""
        return to_plain(self._mean(self._line(row)))

    def gain_text(self, row: str, other: str = "") -> str:
        """As the table shows it: ``+9.0 [+8.1, +9.9]``."""
        return self._shown(self.between(row, other or self.reference))

    def gap_text(self) -> str:
        """The smallest gap that the seeds could have shown, with its unit."""
        if self.noise.gap is None:
            return "unknown"
        return f"{self.metric.show(self.noise.gap, self.decimals)} {self.metric.gap}".strip()

    def _line(self, row: str) -> Line:
        for line in self.lines:
            if line.key == row and line.values:
                return line
        raise KeyError(
            f"the table has no finished row {row}, only {listed(one.key for one in self.lines if one.values)}"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        again = (f"Again: {code(self.again)}.",) if self.again else ()
        return table_bundle(self.grid, self.caption, self.name, (*self.notes, *again), self.files(), self.text())
