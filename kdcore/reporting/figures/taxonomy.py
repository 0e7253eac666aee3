"""The map of methods: a tree that grows to the right, each node a link, with the places in the surveys beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import ACCENTS, GREY, INK, WIDTH

STEP = 0.215  # inches between two leaves
FORK = 0.32  # inches between a label and the children of the widest one
GAP = 0.18  # inches between columns
HEAD = {"fontsize": 8.5, "fontweight": "bold"}


@dataclass(frozen=True)
class Node:
    """A node of the map.

    Attributes:
        label: Latin letters.
        link: where it leads, relative to the page that shows the map; no link where empty.
        children: what belongs to it; a node without children is a leaf.
        marks: column to what stands there, a section number or a count.
    """

    label: str
    link: str = ""
    children: tuple[Node, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)

    def leaves(self) -> Iterator[Node]:
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def method_map(root: Node, columns: Sequence[str] = (), *, caption: str, alt: str, name: str) -> Figure:
    """Draw a tree of methods.

    Args:
        root: its top; the drawing grows downwards with the number of leaves.
        columns: names of the columns beside the leaves, for instance the surveys; `Node.marks` fills them.
        caption, alt, name: see `kdcore.reporting.figures.render`.
    """
    leaves = list(root.leaves())
    levels, end = _levels(root)
    widths = [max(_width(text, HEAD) for text in (column, *_texts(leaves, column))) + GAP for column in columns]
    places = [end + GAP + sum(widths[:place]) + width / 2 for place, width in enumerate(widths)]
    width, top = max(WIDTH, end + GAP + sum(widths)), 1.7 if columns else 0.6

    def draw(canvas):
        canvas.set_layout_engine("none")
        panel = canvas.add_axes((0, 0, 1, 1))
        panel.set(xlim=(0, width), ylim=(len(leaves) - 0.4, -top))
        panel.set_axis_off()
        _branch(panel, root, 0, iter(range(len(leaves))), levels, end if columns else 0)
        for x, column in zip(places, columns):
            panel.text(x, -1.0, column, ha="center", va="center", **HEAD)
            for y, leaf in enumerate(leaves):
                panel.text(x, y, leaf.marks.get(column, ""), ha="center", va="center", fontsize=HEAD["fontsize"])

    size = (width, STEP * (len(leaves) - 0.4 + top))
    return render(draw, caption=caption, alt=alt, name=name, size=size, linked=True)


def _texts(leaves: Sequence[Node], column: str) -> list[str]:
    return [leaf.marks.get(column, "") for leaf in leaves]


def _font(node: Node) -> dict[str, Any]:
    return {"fontsize": 9, "fontweight": "bold" if node.children else "normal"}


def _width(text: str, font: Mapping[str, Any]) -> float:
    """How wide a text is, in inches, from the outlines of its letters."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    letters = FontProperties(family="DejaVu Sans", weight=font["fontweight"])
    return float(TextPath((0, 0), text, size=font["fontsize"], prop=letters).get_extents().x1) / 72


def _levels(root: Node) -> tuple[list[float], float]:
    """Where each level of the tree begins, so that no label meets its children, and where the last label ends."""
    starts, end, nodes, x = [], 0.0, [root], 0.04
    while nodes:
        starts.append(x)
        end = max(end, *(x + _width(node.label, _font(node)) for node in nodes))
        inner = [node for node in nodes if node.children]
        x += max((_width(node.label, _font(node)) for node in inner), default=0.0) + FORK
        nodes = [child for node in inner for child in node.children]
    return starts, end


def _branch(panel: Any, node: Node, level: int, rows: Iterator[int], levels: Sequence[float], end: float) -> float:
    """Draw a node behind its children; its height is the middle of theirs."""
    x, right = levels[level], levels[level] + _width(node.label, _font(node)) + 0.06
    heights = [_branch(panel, child, level + 1, rows, levels, end) for child in node.children]
    y = (heights[0] + heights[-1]) / 2 if heights else float(next(rows))
    if heights:
        fork, start = levels[level + 1] - 0.16, levels[level + 1] - 0.05
        panel.plot((right, fork), (y, y), color=GREY, linewidth=0.9)
        for height in heights:
            panel.plot((fork, fork, start), (y, height, height), color=GREY, linewidth=0.9)
    elif end > right:
        panel.plot((right, end + GAP), (y, y), color=GREY, linewidth=0.7, linestyle=(0, (1, 3)))
    text = panel.text(x, y, node.label, va="center", color=ACCENTS[0] if node.link else INK, **_font(node))
    if node.link:
        text.set_url(node.link)
    return y
