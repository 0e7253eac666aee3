"""Commands that read records: how far runs are, and tables."""

from __future__ import annotations

from typing import Annotated

import typer

from kdcore.cli import names
from kdcore.cli.answers import columns
from kdcore.cli.runs import Folder
from kdcore.experiments.types import SEARCH, unknown

FORMATS = ("text", "csv", "latex", "bibtex", "json")
Name = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT", help="A name that `kdcore experiments` shows.", autocompletion=names.experiments
    ),
]


def status(
    experiment: Annotated[str, typer.Argument(help="Only this one.", autocompletion=names.experiments)] = "",
    records: Folder = None,
) -> None:
    """Say of every experiment how far its runs are, and how long the rest takes one process."""
    from kdcore import experiments
    from kdcore.experiments.progress import HEAD, Progress
    from kdcore.experiments.store import Store

    store = Store(records)
    known = [*experiments.names(), *(name for name in store.experiments() if name not in experiments.names())]
    if experiment and experiment not in known:
        experiment = experiments.get(experiment).key
    rows = [row for name in known if experiment in ("", name) for row in Progress.of(store, name).rows()]
    print(columns(rows, HEAD))


def table(
    experiment: Name,
    format_: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "text",
    profile: Annotated[str, typer.Option(help="Which, where there are records of several.")] = "",
    device: Annotated[str, typer.Option(help="Which, where there are records of several: cpu or cuda.")] = "",
    metric: Annotated[str, typer.Option(help="What is shown.")] = "accuracy",
    reference: Annotated[
        str, typer.Option(help="The row that the others are compared with; the student without a teacher.")
    ] = "",
    where: Annotated[str, typer.Option(help="local, published or both.")] = "both",
    edition: Annotated[
        str, typer.Option(metavar="HASH", help="Recompute a published edition; its caption names it.")
    ] = "",
    records: Folder = None,
) -> None:
    """Show an experiment's results: mean, spread, differences, published values."""
    from kdcore import experiments
    from kdcore.experiments import store
    from kdcore.reporting import result_table, search_table
    from kdcore.reporting.editions import edition_named

    if format_ not in FORMATS:
        raise unknown("format", format_, FORMATS)
    if where not in ("local", "published", "both"):
        raise unknown("place of records", where, ("local", "published", "both"))
    asked = experiments.get(experiment)
    older = edition_named(asked.key, edition, store.published_folder()) if edition else None
    found = store.read(asked.key, "published" if older else where, records)
    if not found:
        raise unknown_records(asked.key)
    kind = {"profile": profile or None, "device": device or None}
    if asked.key.endswith(SEARCH):
        made = search_table(asked, found, edition=older, **kind)
    else:
        made = result_table(found, asked, metric, reference, edition=older, **kind)
    shown = {"text": made.text, "csv": made.csv, "latex": made.latex, "bibtex": made.bibtex, "json": made.json}
    print(shown[format_]().rstrip("\n"))


def unknown_records(experiment: str) -> Exception:
    from kdcore.entry import Refusal

    return Refusal(f"{experiment} has no records yet, `kdcore run {experiment}` makes them")
