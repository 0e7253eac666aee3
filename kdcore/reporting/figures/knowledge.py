"""What of a network can be matched: values, maps, relations, from one real batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.reporting.figures.arrays import array
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import INK, SHADES, WIDTH, role
from kdcore.reporting.formatting import compact

STAGES = ("values", "maps", "relations")


def energy(features: Any) -> Any:
    """Where one example's feature map is active: squared channels added up, the largest position one."""
    squared = (array(features) ** 2).sum(0)
    return squared / (squared.max() or 1.0)


def similarity(embeddings: Any) -> Any:
    """How alike the examples of a batch are to a network: cosines of their flattened embeddings."""
    import numpy

    flat = array(embeddings)
    flat = flat.reshape(len(flat), -1)
    unit = flat / numpy.maximum(numpy.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def point_line_plane(
    logits: Mapping[str, Any],
    features: Mapping[str, Any],
    embeddings: Mapping[str, Any],
    *,
    example: int = 0,
    losses: Mapping[str, tuple[str, float]] | None = None,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """Three things to match, each network in a row: an example's values, its map, a batch's relations.

    Args:
        logits: network to ``(batch, classes)``; the rows are drawn in this order.
        features: network to ``(batch, channels, height, width)``.
        embeddings: network to ``(batch, ...)``.
        example: whose values and map are shown.
        losses: of ``values``, ``maps``, ``relations``: name and measured value of a loss between the networks.
        caption, alt, name: see `kdcore.reporting.figures.render`.
    """
    networks = list(logits)
    if not set(networks) == set(features) == set(embeddings):
        raise ValueError(f"logits, features and embeddings must be of the same networks, got {networks}, "
                         f"{list(features)} and {list(embeddings)}")  # fmt: skip
    said = losses or {}
    titles = [f"{stage}\n{said[stage][0]} {compact(said[stage][1])}" if stage in said else stage for stage in STAGES]

    def draw(canvas):
        panels = canvas.subplots(len(networks), 3, squeeze=False, width_ratios=(1.3, 1, 1))
        for panel in panels[1:, 0]:
            panel.sharey(panels[0, 0])
        for row, network in zip(panels, networks):
            _values(row[0], array(logits[network])[example], network)
            shown = [energy(array(features[network])[example]), similarity(embeddings[network])]
            images = [_image(row[1], shown[0], 0), _image(row[2], shown[1], -1)]
            row[1].set(xlabel="column", ylabel="row of the map")
            row[2].set(xlabel="example", ylabel="example")
            if network == networks[-1]:
                canvas.colorbar(images[0], ax=panels[:, 1], label="energy, largest = 1", location="bottom", shrink=0.8)
                canvas.colorbar(images[1], ax=panels[:, 2], label="cosine", location="bottom", shrink=0.8)
        for panel, title in zip(panels[0], titles):
            panel.set_title(title)

    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, 1.1 + 1.75 * len(networks)))


def _values(panel: Any, values: Any, network: str) -> None:
    look = role(network if network in ("teacher", "student") else "distilled")
    panel.axhline(0, color=INK, linewidth=0.8)
    panel.vlines(range(len(values)), 0, values, color=look.colour, linewidth=1.2)
    panel.plot(range(len(values)), values, linestyle="", marker=look.marker, color=look.colour)
    panel.set(xlabel="class", ylabel=f"{network}: logit")


def _image(panel: Any, values: Any, low: float) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ticks = sorted({0, (len(values) - 1) // 2, len(values) - 1})
    panel.set(xticks=ticks, yticks=ticks)
    shades = LinearSegmentedColormap.from_list("kdcore", SHADES)
    return panel.imshow(values, cmap=shades, vmin=low, vmax=1, interpolation="none", aspect="equal")
