"""From notebooks and records to a book: executes, generates pages, builds, and says what happened.

`make_book` is all of it in order; `kdcore book` and ``make book`` call it. Nothing here is imported by the library.
"""

from __future__ import annotations

from pathlib import Path


def make_book(
    profile: str = "quick",
    device: str = "cpu",
    notebooks: str = "",
    jobs: int | None = None,
    root: Path | None = None,
) -> int:
    """Execute what is out of date, build the HTML book, print a summary on stdout; returns the exit status.

    Args:
        profile: how long experiments train; smoke, quick, short or paper.
        device: where they train, as torch names it.
        notebooks: names, separated by commas or blanks; all where empty.
        jobs: notebooks at once; as many as there are usable cores where None.
        root: the clone; the one this package stands in where None.

    Raises:
        Refusal: (a ValueError) where the request cannot be served, in one sentence.
    """
    from kdcore.publishing.book import make

    return make(profile, device, notebooks, jobs, root)
