"""Text with a number for every character: where two networks disagree, where one is surprised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.reporting.figures.arrays import array
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import INK, SHADES, WIDTH

SHOWN = {" ": "·", "\n": "¶", "\t": "»"}  # what a reader could not see
DARK = 0.6  # of the scale, from here on letters are light


def shaded_text(
    lines: Mapping[str, str], values: Mapping[str, Any], *, label: str, caption: str, alt: str, name: str
) -> Figure:
    """Lines of text, every character on a ground as dark as its number.

    Args:
        lines: title of a line to its characters; the longest decides the width. A space is shown as a dot, a new line
            as a paragraph mark.
        values: title to one number for each of its characters, at least 0.
        label: what the shades mean, with the unit.
        caption, alt, name: see `kdcore.reporting.figures.render`.

    Raises:
        ValueError: a line has not as many numbers as characters.
    """
    numbers = {title: array(values[title]) for title in lines}
    if wrong := [title for title, text in lines.items() if numbers[title].shape != (len(text),)]:
        shape = numbers[wrong[0]].shape
        raise ValueError(f"{wrong[0]} must have a number for each of {len(lines[wrong[0]])} characters, got {shape}")
    width, high = max(map(len, lines.values())), max(float(each.max()) for each in numbers.values()) or 1.0

    def draw(canvas: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        shades = LinearSegmentedColormap.from_list("kdcore", SHADES)
        panels = canvas.subplots(len(lines), 1, squeeze=False)[:, 0]
        for panel, (title, text) in zip(panels, lines.items()):
            image = panel.imshow(numbers[title][None], cmap=shades, vmin=0, vmax=high, aspect="auto")
            panel.set_axis_off()
            panel.set(xlim=(-0.5, width - 0.5))
            panel.set_title(title, loc="left", size=9)
            for place, character in enumerate(text):
                dark = numbers[title][place] > DARK * high
                shown, colour = SHOWN.get(character, character), SHADES[0] if dark else INK
                panel.text(place, 0, shown, ha="center", va="center", size=8, color=colour, parse_math=False)
        canvas.colorbar(image, ax=list(panels), label=label, location="bottom", shrink=0.6, aspect=40)

    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, 1.1 + 0.55 * len(lines)))
