"""One look for every figure: the same role keeps its colour, its marker and its line through the whole book.

The six colours stay apart under the three kinds of colour blindness and against white (tested); the page turns them
round for its dark scheme. A figure with several students or methods differs in markers and lines as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

INK = "#222222"
GREY = "#808080"
FAINT = "#c4c4c4"
ACCENTS = ("#0072b2", "#d55e00", "#6a1a6a", "#00a050")
WIDTH = 6.4  # inches; of the page's text column, so that letters keep their size


class Style(NamedTuple):
    """How one role is drawn."""

    colour: str
    marker: str
    line: str = "-"


ROLES: Mapping[str, Style] = {
    "teacher": Style(INK, "s"),
    "student": Style(GREY, "o"),
    "distilled": Style(ACCENTS[0], "D"),
    "target": Style(ACCENTS[1], "o"),
    "others": Style(ACCENTS[0], "o"),
    "limit": Style(INK, "", "--"),
}
# Methods that return from page to page; the others take what is free, in the order in which they are drawn.
METHODS: Mapping[str, Style] = {
    "kd": ROLES["distilled"],
    "dkd": Style(ACCENTS[1], "^"),
    "logit-std": Style(ACCENTS[2], "v"),
    "normkd": Style(ACCENTS[3], "P"),
    "ce-ground-truth": Style(GREY, "d"),
    "logit-mse": Style(ACCENTS[1], "X", "--"),
    "ce-soft": Style(ACCENTS[2], "p", "--"),
    "ce-teacher-hard": Style(ACCENTS[3], "h", "--"),
    "crld": Style(ACCENTS[0], "*", "--"),
}
SPARE = tuple(style for style in METHODS.values() if style.colour in ACCENTS)
SHADES = ("#ffffff", "#9ec9e2", ACCENTS[0], "#00263d")  # of maps; the page's dark scheme turns them round

RC: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: no system font, the same letters everywhere
    "mathtext.fontset": "dejavusans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "axes.titlelocation": "left",
    "svg.fonttype": "path",
    "svg.hashsalt": "kdcore",
    "axes.unicode_minus": True,
}


def role(name: str) -> Style:
    """The fixed style of a role or method.

    Raises:
        KeyError: it has none.
    """
    return {**METHODS, **ROLES}[name]


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name of one figure, no two alike; roles and known methods keep theirs.

    Raises:
        ValueError: more names than can be told apart.
    """
    names = list(dict.fromkeys(names))
    fixed = {**METHODS, **ROLES}
    chosen: dict[str, Style] = {}
    for name in sorted(names, key=lambda name: name not in fixed):
        free = [style for style in ((fixed[name],) if name in fixed else SPARE) if style not in chosen.values()]
        free = free or [style for style in SPARE if style not in chosen.values()]
        if not free:
            raise ValueError(f"a figure can tell {len(chosen)} rows apart, got {len(names)}: split it")
        colours = {style.colour for style in chosen.values()}
        chosen[name] = min(free, key=lambda style: style.colour in colours)
    return {name: chosen[name] for name in names}
