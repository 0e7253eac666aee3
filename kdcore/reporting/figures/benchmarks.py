"""What a table of results cannot show at a glance: gain against cost, and what picking the best epoch would add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import FAINT, INK, WIDTH, role

if TYPE_CHECKING:
    from kdcore.reporting.effects import Effect
    from kdcore.reporting.tables import ResultTable

APART = 0.045  # of the panel's height: labels closer than that are moved


def pareto(
    table: ResultTable, costs: Mapping[str, float], *, xlabel: str, log: bool = False, caption: str, alt: str, name: str
) -> Figure:
    """Gain over the reference against cost, a mark and an interval for each row, the frontier joined by a line.

    The frontier is of means: a row on it may owe its place to chance, which the intervals show.

    Args:
        table: whose differences are drawn.
        costs: row to cost; rows without one are left out.
        xlabel: of the costs, with the unit.
        log: whether the axis of costs is logarithmic.
        caption: how the rows were made is added to it.
        alt, name: see `kdcore.reporting.figures.render`.

    Raises:
        ValueError: no row has both.
    """
    from kdcore.reporting.costs import frontier

    scale, pairs = table.metric.scale, {line.key: line.difference for line in table.lines if line.difference}
    points = {
        key: (costs[key], scale * pair.mean)
        for key, pair in pairs.items()
        if pair.mean is not None and costs.get(key) is not None
    }
    if not points:
        raise ValueError(f"no row of {table.experiment} has both a gain and a cost")
    if costs.get(table.reference) is not None:
        points[table.reference] = (costs[table.reference], 0.0)
    front, look = frontier(points), role("distilled")

    def draw(canvas: Any) -> None:
        panel = canvas.subplots()
        for key, (x, y) in points.items():
            one = look if key in front else role("student")
            if key == table.reference:
                panel.plot(x, y, color=role("student").colour, marker=role("student").marker, zorder=2)
            else:
                reach = _reach(pairs[key], scale)
                panel.errorbar(
                    x, y, yerr=reach, color=one.colour, ecolor=FAINT, marker=look.marker, capsize=2, zorder=2
                )
        panel.plot(*zip(*(points[key] for key in front)), color=look.colour, linewidth=1.0, zorder=1)
        panel.axhline(0, color=role("limit").colour, linestyle="--", linewidth=1.0)
        if log:
            panel.set_xscale("log")
        unit = f", {table.metric.gap}" if table.metric.gap else ""
        panel.set(xlabel=xlabel, ylabel=f"gain over {table.reference} in {table.metric.label}{unit}")
        _name(panel, points, table)

    added = f" Bars: {100 * table.level:g} % intervals; the line joins rows that no other beats in both. {table.made}."
    return render(draw, caption=caption + added, alt=alt, name=name, size=(WIDTH, 4.4))


def _reach(pair: Any, scale: float) -> list[list[float]] | None:
    """Down to the lower end of an interval and up to the upper one; None where there is none."""
    if pair.low is None:
        return None
    return [[scale * (pair.mean - pair.low)], [scale * (pair.high - pair.mean)]]


def _name(panel: Any, points: Mapping[str, tuple[float, float]], table: ResultTable) -> None:
    """Each row's name in the margin at the height of its mark, moved where two would meet, and a line to the mark."""
    low, high = panel.get_ylim()
    step, order = APART * (high - low), sorted(points, key=lambda key: points[key][1])
    heights: list[float] = []
    for key in order:
        heights.append(max(points[key][1], heights[-1] + step) if heights else max(points[key][1], low))
    excess = max(0.0, heights[-1] - high)
    for key, height in zip(order, heights):
        panel.annotate(
            table.labels.get(key, key),
            xy=points[key],
            xytext=(1.03, (height - excess - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            size=8,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkB": 3},
            annotation_clip=False,
        )


def selection_effect(table: ResultTable, effects: Mapping[str, Effect], *, caption: str, alt: str, name: str) -> Figure:
    """For each row what its best epoch would add to its last, every seed a dot, a larger mark at the mean.

    Args:
        table: of the last epochs.
        effects: as `kdcore.reporting.effects.selection_effects` gives them.
        caption: how the rows were made is added to it.
        alt, name: see `kdcore.reporting.figures.render`.

    Raises:
        ValueError: there is none.
    """
    if not effects:
        raise ValueError(f"no record of {table.experiment} judged more than its last epoch")
    scale, keys = table.metric.scale, list(effects)

    def draw(canvas: Any) -> None:
        panel = canvas.subplots()
        for place, key in enumerate(keys):
            look = role("student" if key == table.reference else "distilled")
            values = [scale * value for value in effects[key].values.values()]
            panel.plot(values, [place] * len(values), linestyle="", marker="o", markersize=3.2, color=look.colour)
            panel.plot(scale * effects[key].summary.mean, place, marker=look.marker, markersize=7, color=look.colour)
        panel.axvline(0, color=role("limit").colour, linestyle="--", linewidth=1.0)
        panel.set_yticks(range(len(keys)), [table.labels.get(key, key) for key in keys])
        unit = f", {table.metric.gap}" if table.metric.gap else ""
        panel.set(ylim=(len(keys) - 0.5, -0.6), xlabel=f"best epoch minus last in {table.metric.label}{unit}")
        panel.set_ylabel("row")
        panel.grid(axis="x")
        panel.set_axisbelow(True)

    added = f" Small dots: one seed each; large marks: their mean. {table.made}."
    return render(draw, caption=caption + added, alt=alt, name=name, size=(WIDTH, 1.0 + 0.34 * max(3, len(keys))))
