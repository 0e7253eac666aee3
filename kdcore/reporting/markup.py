"""One text in four hands: inline Markdown as MyST reads it, turned into HTML, LaTeX and plain text.

Captions, notes and cells are written once, with `` `code` ``, ``**bold**``, ``$mathematics$`` and citation roles. What
comes from elsewhere (names, reasons of failures) goes through `escape` first.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TOKEN = re.compile(
    r"\\(?P<literal>[^a-zA-Z0-9\s])"
    r"|\{cite:\w+\}`(?P<cite>[^`]+)`"
    r"|\{\w+(?::\w+)?\}`(?P<role>[^`]+)`"
    r"|(?P<ticks>`+)(?P<code>.+?)(?P=ticks)"
    r"|\*\*(?P<bold>.+?)\*\*"
    r"|\$(?P<math>[^$]+)\$"
)
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"}
LATEX |= {
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\u00a0": "~",
    "–": "--",
    "…": r"\dots{}",
}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
LATEX |= {
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}
LATEX |= {raised: f"$^{{{plain}}}$" for raised, plain in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", ("-", *"0123456789"))}
LATEX |= {"→": r"$\rightarrow$", "·": r"$\cdot$", "∞": r"$\infty$"}


def escape(text: str) -> str:
    """Any text as inline Markdown that shows exactly it, on one line.

    Example:
        >>> escape("a*b_c | $5")
        'a\\\\*b\\\\_c \\\\| \\\\$5'
    """
    return re.sub(r"([\\`*_{}\[\]<>|$~#&])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """A name as inline code."""
    return f"`{text}`" if "`" not in text else escape(text)


def _convert(text: str, plain: Callable[[str], str], marks: dict[str, Callable[[str], str]]) -> str:
    parts, at = [], 0
    for found in TOKEN.finditer(text):
        kind = found.lastgroup if found.lastgroup != "ticks" else "code"
        parts += [plain(text[at : found.start()]), marks[kind](found[kind])]
        at = found.end()
    return "".join([*parts, plain(text[at:])])


def to_html(text: str) -> str:
    plain = lambda part: html.escape(part, quote=False)
    marks = {
        "literal": plain,
        "cite": lambda keys: f"[{plain(keys)}]",
        "role": plain,
        "code": lambda part: f"<code>{plain(part)}</code>",
        "bold": lambda part: f"<strong>{to_html(part)}</strong>",
        "math": lambda part: f"${plain(part)}$",
    }
    return _convert(text, plain, marks)


def latex_escape(text: str) -> str:
    """Any text for LaTeX; letters of other scripts stay as they are (the document needs a font that has them)."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def to_latex(text: str) -> str:
    marks = {
        "literal": latex_escape,
        "cite": lambda keys: f"\\cite{{{keys}}}",
        "role": latex_escape,
        "code": lambda part: f"\\texttt{{{latex_escape(part)}}}",
        "bold": lambda part: f"\\textbf{{{to_latex(part)}}}",
        "math": lambda part: f"${part}$",
    }
    return _convert(text, latex_escape, marks)


def to_plain(text: str) -> str:
    same = lambda part: part
    marks = dict.fromkeys(("literal", "role", "code", "math"), same)
    return _convert(text, same, marks | {"cite": lambda keys: f"[{keys}]", "bold": to_plain})


@dataclass(frozen=True)
class Grid:
    """Header and rows of inline Markdown; `align` has one letter a column, ``l`` or ``r``."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str

    def __post_init__(self) -> None:
        widths = {len(row) for row in (self.header, self.align, *self.rows)}
        if len(widths) > 1:
            raise ValueError(f"every row of a table must have as many cells as its header, got {sorted(widths)}")

    def markdown(self) -> str:
        bars = [":--" if letter == "l" else "--:" for letter in self.align]
        return "\n".join(_markdown_row(row) for row in (self.header, bars, *self.rows))

    def html(self, caption: str = "") -> str:
        head = "".join(f'<th scope="col" style="text-align:{_side(a)}">{to_html(c)}</th>' for a, c in self._cells(-1))
        body = "\n".join(f"<tr>{self._html_row(number)}</tr>" for number in range(len(self.rows)))
        title = f"<caption>{to_html(caption)}</caption>\n" if caption else ""
        return f"<table>\n{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def _cells(self, number: int) -> list[tuple[str, str]]:
        return list(zip(self.align, self.header if number < 0 else self.rows[number]))

    def _html_row(self, number: int) -> str:
        (side, first), *rest = self._cells(number)
        cells = [f'<th scope="row" style="text-align:{_side(side)}">{to_html(first)}</th>']
        return "".join(cells + [f'<td style="text-align:{_side(side)}">{to_html(cell)}</td>' for side, cell in rest])

    def latex(self) -> str:
        head, *body = (" & ".join(map(to_latex, row)) + r" \\" for row in (self.header, *self.rows))
        lines = [rf"\begin{{tabular}}{{{self.align}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        return "\n".join([*lines, r"\end{tabular}"])

    def text(self) -> str:
        rows = [[to_plain(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(_width, column)) for column in zip(*rows)]
        lines = [
            "  ".join(_pad(cell, width, side) for cell, width, side in zip(row, widths, self.align)) for row in rows
        ]
        return "\n".join(line.rstrip() for line in [lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _markdown_row(cells: Sequence[str]) -> str:
    barred = [re.sub(r"(?<!\\)[|]", r"\|", cell) for cell in cells]
    return f"| {' | '.join(barred)} |"


def _side(letter: str) -> str:
    return "left" if letter == "l" else "right"


def _width(text: str) -> int:
    """Columns that a text takes in a terminal: East Asian letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _pad(text: str, width: int, side: str) -> str:
    space = " " * (width - _width(text))
    return text + space if side == "l" else space + text
