"""Pictures for losses on answers: samples as a network gets to see them, and three answers in their plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.reporting.figures.arrays import array
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import FAINT, INK, SHADES, WIDTH, role
from kdcore.reporting.formatting import compact

STEP, LINE = 1.12, 1.6  # width and height of the place of an image of size 1, with room for its words


def pictures(
    images: Mapping[str, Any],
    below: Mapping[str, Sequence[str]] | None = None,
    *,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """Samples as images, one row a view, with a few words under each.

    Args:
        images: view to ``(samples, height, width)``, all rows equally long; rows share one scale.
        below: view to what stands under each of its images.
        caption, alt, name: see `kdcore.reporting.figures.drawing.render`.
    """
    rows, words = {view: array(values) for view, values in images.items()}, below or {}
    shapes = {view: values.shape for view, values in rows.items()}
    if any(len(shape) != 3 for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) != 1:
        raise ValueError(f"each row must have shape (samples, height, width), equally many samples, got {shapes}")
    columns = len(next(iter(rows.values())))
    if wrong := {view: len(said) for view, said in words.items() if len(said) != len(rows[view])}:
        raise ValueError(f"below must have as many texts as a row has images, {columns}, got {wrong}")
    low, high = min(values.min() for values in rows.values()), max(values.max() for values in rows.values())

    def draw(canvas):
        from matplotlib.colors import LinearSegmentedColormap

        shades = LinearSegmentedColormap.from_list("kdcore", SHADES)
        panel = canvas.subplots()
        panel.set(xlim=(0, columns * STEP), ylim=(len(rows) * LINE, 0), aspect="equal")
        panel.set_axis_off()
        for top, (view, values) in enumerate(rows.items()):
            panel.text(0, top * LINE + 0.1, view, va="bottom")
            for place, image in enumerate(values):
                left, upper = place * STEP, top * LINE + 0.16
                panel.imshow(image, cmap=shades, vmin=low, vmax=high, interpolation="none", aspect="equal",
                             extent=(left, left + 1, upper + 1, upper))  # fmt: skip
                if view in words:
                    panel.text(left + 0.5, upper + 1.06, words[view][place], ha="center", va="top", size=9)
        panel.set(xlim=(0, columns * STEP), ylim=(len(rows) * LINE, 0))

    height = WIDTH * len(rows) * LINE / (columns * STEP)
    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, height))


def triplet_plane(anchor: Any, near: Any, far: Any, *, margin: float, caption: str, alt: str, name: str) -> Figure:
    """Three answers in the plane that they span, with their true distances, and where the negative should be.

    Args:
        anchor: the teacher's answer to an example, one value a class.
        near: the student's answer to it.
        far: the student's answer to an example of another class.
        margin: by how much the negative must be farther from the anchor.
        caption, alt, name: see `kdcore.reporting.figures.drawing.render`.
    """
    positive, negative = in_plane(anchor, near, far)
    wanted = positive[0] + margin
    distance = (negative[0] ** 2 + negative[1] ** 2) ** 0.5
    loss = max(0.0, wanted - distance)

    def draw(canvas):
        from matplotlib.patches import Circle

        panel = canvas.subplots()
        panel.add_patch(Circle((0, 0), wanted, facecolor=FAINT, alpha=0.35, edgecolor=INK, linestyle="--"))
        panel.plot((0, positive[0]), (0, 0), color=INK, linewidth=0.8)
        panel.plot((0, negative[0]), (0, negative[1]), color=INK, linewidth=0.8)
        for label, place, look in (
            ("teacher, the anchor", (0.0, 0.0), role("teacher")),
            ("student, same example", positive, role("distilled")),
            ("student, another class", negative, role("target")),
        ):
            panel.plot(*place, linestyle="", marker=look.marker, color=look.colour, markersize=8, label=label)
        if loss:
            _arrow(panel, positive, (-1.0, 0.0), wanted)
            _arrow(panel, negative, (negative[0] / distance, negative[1] / distance) if distance else (0, 0), wanted)
        reach = 1.12 * max(wanted, distance)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        panel.set(xlabel="in the plane of the three answers (logits)", ylabel="across (logits)")
        panel.set_title(f"loss {compact(loss)}")
        panel.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, 3.6))


def in_plane(anchor: Any, near: Any, far: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Places of `near` (on the axis) and `far` (above it) around the anchor, all distances kept.

    Example:
        >>> in_plane([0, 0, 1], [0, 2, 1], [3, 0, 1])
        ((2.0, 0.0), (0.0, 3.0))
    """
    import numpy

    centre = array(anchor)
    first, second = array(near) - centre, array(far) - centre
    length = float(numpy.linalg.norm(first))
    along = float(second @ first) / length if length else 0.0
    across = max(0.0, float(second @ second) - along**2) ** 0.5
    return (length, 0.0), (along, across)


def _arrow(panel: Any, start: tuple[float, float], direction: tuple[float, float], reach: float) -> None:
    """Where a gradient step moves an answer."""
    end = tuple(here + 0.28 * reach * way for here, way in zip(start, direction))
    panel.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.6})
