"""The catalogue: every row of the inventory joined to the code, tests, notebook and errata that belong to its key.

Loads no torch; `load` imports what an entry makes.
"""

from kdcore.catalogue.chapters import ALIASES, CHAPTERS, Chapter, chapter_of, row_of
from kdcore.catalogue.coverage import Coverage, Covered, coverage, why
from kdcore.catalogue.entries import Listed, entries, listed, load, nearest
from kdcore.catalogue.show import Shown, show
from kdcore.survey import additions, inventory

__all__ = [
    "ALIASES",
    "CHAPTERS",
    "Chapter",
    "Coverage",
    "Covered",
    "Listed",
    "Shown",
    "additions",
    "chapter_of",
    "coverage",
    "entries",
    "inventory",
    "listed",
    "load",
    "nearest",
    "row_of",
    "show",
    "why",
]
