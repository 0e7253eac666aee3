"""Tables of plain numbers and words: values beside hand-worked ones, one thing set against another."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kdcore.reporting.display import check_name, table_bundle
from kdcore.reporting.formatting import compact
from kdcore.reporting.markup import Grid, escape, to_latex, to_plain


@dataclass(frozen=True)
class PlainTable:
    """Header and rows as given; numbers are rounded only where they are shown."""

    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str
    name: str
    notes: tuple[str, ...] = ()
    digits: int = 4

    @cached_property
    def grid(self) -> Grid:
        numeric = [all(_is_number(row[place]) for row in self.rows) for place in range(len(self.header))]
        rows = tuple(tuple(self._shown(cell) for cell in row) for row in self.rows)
        return Grid(self.header, rows, "".join("r" if one else "l" for one in numeric))

    def _shown(self, cell: Any) -> str:
        if cell is None:
            return "–"
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        return compact(cell, self.digits) if isinstance(cell, float) else str(cell)

    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(to_plain, self.header))
        writer.writerows([repr(c) if isinstance(c, float) else "" if c is None else to_plain(str(c)) for c in row]
                         for row in self.rows)  # fmt: skip
        return out.getvalue()

    def latex(self) -> str:
        lines = [r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering"]
        lines += [rf"\caption{{{to_latex(self.caption)}}}", rf"\label{{tab:{self.name.removeprefix('tab-')}}}"]
        lines += [self.grid.latex(), *(rf"\par\smallskip\footnotesize {to_latex(note)}" for note in self.notes)]
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def text(self) -> str:
        return "\n".join([to_plain(self.caption), "", self.grid.text(), *map(to_plain, self.notes)])

    def files(self) -> dict[str, str]:
        return {f"{self.name}.csv": self.csv(), f"{self.name}.tex": self.latex()}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return table_bundle(self.grid, self.caption, self.name, self.notes, self.files(), self.text())


def _is_number(cell: Any) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def plain_table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str,
    name: str,
    notes: Sequence[str] = (),
    digits: int = 4,
    verbatim: bool = False,
) -> PlainTable:
    """A numbered table of values that are no records.

    Args:
        header: of each column, with its unit; inline Markdown, as `caption` and `notes`.
        rows: floats, integers, truth values, None, and inline Markdown.
        caption: required.
        name: label for ``{numref}``, required.
        notes: sentences under the table.
        digits: significant digits of a float that is shown; the CSV has them all.
        verbatim: words in `rows` are shown letter by letter, not read as Markdown.

    Raises:
        ValueError: no caption, a name that no label can have, or a row of another length than the header.

    Example:
        >>> print(plain_table(["loss", "value"], [["kd", 0.020136]], caption="One value", name="tab-one").grid.text())
        loss    value
        ----  -------
        kd    0.02014
    """
    if not caption.strip():
        raise ValueError("a table needs a caption")
    check_name(name)
    plain = lambda cell: escape(cell) if verbatim and isinstance(cell, str) else _python(cell)
    cells = tuple(tuple(map(plain, row)) for row in rows)
    if wrong := [row for row in cells if len(row) != len(header)]:
        raise ValueError(f"every row must have {len(header)} cells as the header has, got {wrong[0]}")
    return PlainTable(tuple(header), cells, caption, name, tuple(notes), digits)


def _python(cell: Any) -> Any:
    """A tensor's or array's single number as Python's own."""
    return cell.item() if hasattr(cell, "item") else cell
