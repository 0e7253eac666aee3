"""Commands that move records: into the book, and home from another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdcore.cli.answers import DONE, FAILED, say
from kdcore.cli.results import Name
from kdcore.cli.runs import Folder


def publish(
    experiment: Name,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the changelog.")],
    profile: Annotated[str, typer.Option(help="Only runs of this one.")] = "",
    records: Folder = None,
) -> None:
    """Copy the runs that were last asked for into the book's records, as a new edition."""
    from kdcore import experiments
    from kdcore.experiments import records as publishing
    from kdcore.experiments.store import Store

    asked = experiments.get(experiment)
    if profile:
        asked.profile(profile)
    made = publishing.publish(asked.key, why, Store(records), profile or None)
    print(
        f"{made.experiment}: {made.new} new records, edition {made.edition}, {len(made.edition.hashes)} records in it"
    )
    print(made.path)


def merge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of records, of another machine.")],
    records: Folder = None,
) -> int:
    """Take over the records, networks and unfinished runs of another store; what is here stays as it is.

    Runs that are here with other numbers, and files that are damaged, are named, and the exit status is 1.
    """
    from kdcore.experiments import merging
    from kdcore.experiments.store import Store

    made = merging.merge(folder, Store(records))
    print(*merging.told(made), sep="\n")
    for line in dict.fromkeys([*made.conflicts, *made.problems]):
        say(line)
    return FAILED if made.conflicts or made.problems else DONE
