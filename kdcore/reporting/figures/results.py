"""Rows of a result table as dots: every seed is shown, so that a mean never hides its spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import FAINT, INK, WIDTH, Style, role
from kdcore.reporting.formatting import ranges

if TYPE_CHECKING:
    from kdcore.reporting.tables import Line, ResultTable


def dot_plot(table: ResultTable, *, teacher: bool = True, caption: str, alt: str, name: str) -> Figure:
    """Every seed of every row, joined across rows, with mean and standard deviation.

    Args:
        table: a result table; its rows, values and failures are drawn.
        teacher: draw the teacher too; its distance may leave the others little room.
        caption: the number of seeds and how the rows were made are added to it.
        alt, name: see `kdcore.reporting.figures.render`.
    """
    lines = [line for line in table.lines if teacher or not line.is_teacher]
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    scale = table.metric.scale

    def draw(canvas):
        panel = canvas.subplots()
        for line_of_seed in _paths(lines, scale):
            panel.plot(*line_of_seed, color=FAINT, linewidth=0.8, zorder=1)
        for place, line in enumerate(lines):
            _row(panel, place, line, _look(line, table.reference), scale)
        panel.set_yticks(range(len(lines)), [table.labels.get(line.key, line.key) for line in lines])
        panel.set(ylim=(len(lines) - 0.5, -0.6), xlabel=f"{table.metric.label} on {table.split}{unit}", ylabel="row")
        panel.grid(axis="x")
        panel.set_axisbelow(True)

    counts = {line.summary.n for line in lines if line.values}
    added = " Small dots: one seed each, joined across rows; large marks: mean ± 1 standard deviation, "
    added += f"n = {ranges(counts)}. {table.made}."
    return render(draw, caption=caption + added, alt=alt, name=name, size=(WIDTH, 1.0 + 0.34 * max(3, len(lines))))


def _look(line: Line, reference: str) -> Style:
    return role("teacher" if line.is_teacher else "student" if line.key == reference else "distilled")


def _paths(lines: list[Line], scale: float) -> list[tuple[list[float], list[float]]]:
    """One path a seed, through the rows that have it."""
    seeds = sorted({seed for line in lines for seed in line.values if not line.is_teacher})
    paths = []
    for seed in seeds:
        points = [
            (scale * line.values[seed], y)
            for y, line in enumerate(lines)
            if not line.is_teacher and seed in line.values
        ]
        paths.append(([x for x, _ in points], [y + 0.16 for _, y in points]))
    return paths


def _row(panel: Any, place: int, line: Line, look: Style, scale: float) -> None:
    if not line.values:
        panel.annotate(
            line.status, (0.01, place), xycoords=("axes fraction", "data"), va="center", color=INK, style="italic"
        )
        return
    values = [scale * value for value in line.values.values()]
    panel.plot(values, [place + 0.16] * len(values), linestyle="", marker="o", markersize=3.2, color=look.colour)
    spread = scale * line.summary.std if line.summary.std else None
    panel.errorbar(
        scale * line.summary.mean,
        place - 0.12,
        xerr=spread,
        color=look.colour,
        marker=look.marker,
        markersize=7,
        capsize=3,
    )
