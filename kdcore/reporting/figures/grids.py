"""Maps side by side in one scale: where networks look, which examples they find alike, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.reporting.figures.arrays import array
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import SHADES, WIDTH


def maps(
    shown: Mapping[str, Mapping[str, Any]],
    *,
    xlabel: str,
    ylabel: str,
    label: str,
    low: float | None = None,
    high: float | None = None,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """A row of maps for each network, a column for each thing that is looked at, one scale for all.

    Args:
        shown: row's name to column's title to a matrix; every row has the same columns.
        xlabel: what a matrix's columns are, with their unit.
        ylabel: what its rows are.
        label: what the shades mean.
        low: lightest value. Default: the smallest of all maps.
        high: darkest value. Default: the largest.
        caption, alt, name: see `kdcore.reporting.figures.render`.

    Raises:
        ValueError: the rows do not have the same columns, or a map is no matrix.
    """
    values = {row: {title: array(matrix) for title, matrix in cells.items()} for row, cells in shown.items()}
    titles = list(next(iter(values.values()), {}))
    if not titles or any(list(cells) != titles for cells in values.values()):
        raise ValueError(f"every row of maps needs the same columns, got {[list(cells) for cells in values.values()]}")
    each = [matrix for cells in values.values() for matrix in cells.values()]
    if wrong := [matrix.shape for matrix in each if matrix.ndim != 2]:
        raise ValueError(f"a map must be a matrix, got shape {wrong[0]}")
    low = min(matrix.min() for matrix in each) if low is None else low
    high = max(matrix.max() for matrix in each) if high is None else high

    def draw(canvas: Any) -> None:
        panels = canvas.subplots(len(values), len(titles), squeeze=False)
        for number, (row, (network, cells)) in enumerate(zip(panels, values.items()), start=1):
            for panel, matrix in zip(row, cells.values()):
                image = _image(panel, matrix, low, high)
                panel.set(xlabel=xlabel if number == len(values) else " ", ylabel=" ")
            row[0].set_ylabel(f"{network}\n{ylabel}")
        for panel, title in zip(panels[0], titles):
            panel.set_title(title)
        canvas.colorbar(image, ax=panels, label=label, shrink=0.7)

    height = 0.9 + (WIDTH - 1.2) / len(titles) * len(values)
    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, height))


def _image(panel: Any, matrix: Any, low: float, high: float) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    rows, columns = matrix.shape
    panel.set(xticks=sorted({0, columns - 1}), yticks=sorted({0, rows - 1}))
    shades = LinearSegmentedColormap.from_list("kdcore", SHADES)
    return panel.imshow(matrix, cmap=shades, vmin=low, vmax=high, interpolation="none", aspect="equal")
