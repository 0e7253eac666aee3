"""From a drawing to a figure of the book: SVG alike on every run, a caption, and words for who cannot see it.

Drawing needs no pyplot and no global state: a matplotlib figure is made, checked and turned into text.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdcore.reporting.display import check_name, fenced
from kdcore.reporting.figures.style import RC, WIDTH
from kdcore.reporting.markup import to_html, to_plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

KEEP = ("backend", "interactive", "toolbar", "timezone", "webagg", "_internal", "date.epoch", "savefig.directory")
LATIN = "figures carry Latin text only"


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption and alternative text, displayed by being the last line of a cell.

    In the book it is a numbered figure that ``{numref}`` finds under `name`; `linked` figures are put into the page
    as they are (`kdcore.reporting.figures.inline`), so that their links work.
    """

    svg: str
    caption: str
    alt: str
    name: str
    linked: bool = False

    @property
    def uri(self) -> str:
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # "dark-light" tells the theme not to lay a white card under the drawing.
        classes = "kd-figure dark-light kd-inline" if self.linked else "kd-figure dark-light"
        options = {"name": self.name, "alt": self.alt, "class": classes}
        image = f'<img src="{self.uri}" alt="{html.escape(self.alt)}" style="max-width:100%">'
        return {
            "text/markdown": fenced("figure", self.uri, options, self.caption),
            "text/html": f"<figure>{image}<figcaption>{to_html(self.caption)}</figcaption></figure>",
            "text/plain": f"{to_plain(self.caption)}\n[{self.alt}]",
        }


def render(
    draw: Callable[[Canvas], None],
    *,
    caption: str,
    alt: str,
    name: str,
    size: tuple[float, float] = (WIDTH, 3.2),
    linked: bool = False,
) -> Figure:
    """Draw, check and keep.

    Args:
        draw: fills an empty matplotlib figure.
        caption: what the figure shows, inline Markdown.
        alt: what is to be seen in it, for who does not see it; not the caption again.
        name: label for ``{numref}``.
        size: in inches.
        linked: the drawing holds links.

    Raises:
        ValueError: caption, alternative text or an axis's name is missing, or a letter that the font does not have.
    """
    caption, alt = " ".join(caption.split()), " ".join(alt.split())
    _check_words(caption, alt, name)
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    default = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith(KEEP)}
    with matplotlib.rc_context(default | dict(RC)), _strict_glyphs():
        canvas = Canvas(figsize=size, layout="constrained")
        draw(canvas)
        _check_axes(canvas)
        _check_letters(canvas)
        out = io.StringIO()
        canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Figure(_tidy(out.getvalue(), alt), caption, alt, name, linked)


def _check_words(caption: str, alt: str, name: str) -> None:
    if not caption:
        raise ValueError("a figure needs a caption")
    if len(alt.split()) < 4 or alt == caption:
        raise ValueError(f"alt must say what is to be seen in the figure, in words of its own, got {alt!r}")
    check_name(name)


def _check_axes(canvas: Canvas) -> None:
    """Every axis that is drawn has a name; panels that share an axis share its name, a colour bar has one axis."""
    for number, axes in enumerate(canvas.axes, start=1):
        if not axes.axison:
            continue
        unnamed = [axis for axis in "xy" if not _named(axes, axis)]
        if unnamed and not (axes.get_label() == "<colorbar>" and len(unnamed) == 1):
            raise ValueError(f"panel {number} must name its {unnamed[0]} axis, with its unit")


def _named(axes: Axes, axis: str) -> bool:
    together = getattr(axes, f"get_shared_{axis}_axes")().get_siblings(axes)
    return any(getattr(one, f"get_{axis}label")() for one in together)


def _check_letters(canvas: Canvas) -> None:
    """Matplotlib warns of a missing letter once and then draws a box; here every text is looked at, every time."""
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.text import Text

    known = get_font(findfont(RC["font.family"][0])).get_charmap()
    for text in canvas.findobj(Text):
        if lacking := [letter for letter in text.get_text() if not letter.isspace() and ord(letter) not in known]:
            raise ValueError(f"{LATIN}: {text.get_text()!r} has {lacking[0]!r}, which the font has not")


@contextlib.contextmanager
def _strict_glyphs() -> Iterator[None]:
    """What is drawn without a text of its own, such as the label of a tick, must have its letters too."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Glyph .* missing from font")
            yield
    except UserWarning as warning:
        if "missing from font" not in str(warning):
            raise
        raise ValueError(f"{LATIN}: {warning}") from None


def _tidy(svg: str, alt: str) -> str:
    """The drawing alone, with its words, without what a page cannot use."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)
