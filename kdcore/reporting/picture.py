"""A small table as a drawing for places that show no table of ours: numbers, and beside them mean and spread."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdcore.reporting.tables import Line, ResultTable

WIDTH, LINE, TOP = 760, 34, 74
COLUMNS = (24, 250, 400, 430)  # row, end of published, end of ours, begin of the drawing
INK, QUIET, ACCENT = "#1f2933", "#616e7c", "#1b6ca8"
FONT = "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\""


def svg_table(table: ResultTable, source: str, remark: str = "") -> str:
    """Each row's published number, its mean and standard deviation over seeds, and both drawn to one scale.

    Args:
        table: of published records.
        source: where the published numbers stand, for the head of their column.
        remark: what has to be known before a number is read.
    """
    lines = [line for line in table.lines if line.values]
    low, high = _range(lines)
    place = lambda value: COLUMNS[3] + 10 + (WIDTH - COLUMNS[3] - 50) * (value - low) / (high - low)
    height = TOP + LINE * len(lines) + 62
    head = f"{table.title}: {table.metric.label} in {table.metric.unit or 'units'}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" {FONT} font-size="14">',
        f"<title>{html.escape(head)}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff" stroke="#cbd2d9"/>',
        _text(COLUMNS[0], 30, head, weight="600"),
        _text(COLUMNS[1], 56, f"published, {source}", fill=QUIET, anchor="end"),
        _text(COLUMNS[2], 56, "our record", fill=QUIET, anchor="end"),
    ]
    for number, line in enumerate(lines):
        parts += _row(table, line, TOP + LINE * number, place)
    note = f"Edition {table.edition}; bars: one standard deviation over seeds (n)."
    for said, below in ((remark, 36), (note, 16)):
        parts.append(_text(COLUMNS[0], height - below, said, fill=QUIET, size=12))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _range(lines: Sequence[Line]) -> tuple[float, float]:
    ends = [line.summary.mean + side * (line.summary.std or 0) for line in lines for side in (-1, 1)]
    margin = 0.05 * (max(ends) - min(ends)) or 1e-3
    return min(ends) - margin, max(ends) + margin


def _row(table: ResultTable, line: Line, top: float, place) -> Iterator[str]:
    middle, mean, std = top + LINE / 2, line.summary.mean, line.summary.std or 0.0
    published = ", ".join(f"{table.metric.scale * one.value:.2f}" for one in line.published) or "–"
    yield f'<line x1="{COLUMNS[0]}" x2="{WIDTH - 24}" y1="{top}" y2="{top}" stroke="#e4e7eb"/>'
    yield _text(COLUMNS[0], middle + 5, line.key, weight="600" if line.best else "400")
    yield _text(COLUMNS[1], middle + 5, published, fill=QUIET, anchor="end")
    yield _text(COLUMNS[2], middle + 5, table.value_text(line.key), anchor="end")
    left, right, dot = place(mean - std), place(mean + std), place(mean)
    yield f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}" stroke="{ACCENT}" stroke-width="2"/>'
    yield f'<circle cx="{dot:.1f}" cy="{middle}" r="4.5" fill="{ACCENT}"/>'


def _text(
    x: float, y: float, text: str, *, fill: str = INK, anchor: str = "start", weight: str = "400", size: int = 14
) -> str:
    style = f'fill="{fill}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}"'
    return f'<text x="{x}" y="{y}" {style}>{html.escape(text)}</text>'
