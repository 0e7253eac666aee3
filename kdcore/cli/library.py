"""Commands that look things up: methods, coverage, experiments, data, the book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kdcore.cli import names
from kdcore.cli.answers import DONE, FAILED, columns, say
from kdcore.experiments.types import unknown

if TYPE_CHECKING:
    from kdcore.catalogue import Listed


def methods(
    kind: Annotated[str, typer.Option(help="Only these: loss, scheme, fusion, model, application, mechanism.")] = "",
    chapter: Annotated[
        str,
        typer.Option(help="Only rows of this chapter, as `kdcore coverage` names it.", autocompletion=names.chapters),
    ] = "",
    needs: Annotated[
        str, typer.Option(help="Only losses that need all of these, as in features,labels.", autocompletion=names.needs)
    ] = "",
    with_: Annotated[
        str,
        typer.Option("--with", help="Only losses that get by with these, as in logits.", autocompletion=names.needs),
    ] = "",
) -> None:
    """List what is implemented, by key, and what each loss needs of networks and batch."""
    from kdcore.catalogue import CHAPTERS, entries
    from kdcore.catalogue.needs import WORDS
    from kdcore.catalogue.needs import needs as needed

    found = [entry for entry in entries() if entry.kind != "table"]
    kinds = sorted({entry.kind for entry in found})
    if kind and kind not in kinds:
        raise unknown("kind", kind, kinds)
    if chapter and chapter not in CHAPTERS:
        raise unknown("chapter", chapter, tuple(CHAPTERS))
    asked, there = _words(needs, WORDS), _words(with_, WORDS)
    chosen = [entry for entry in found if kind in ("", entry.kind) and chapter in ("", chapter_of(entry, found))]
    of_losses, rows = needed(), []
    for entry in sorted(chosen):
        told = of_losses.get(entry.key, ())
        if (not asked or asked <= set(told)) and (not there or (told and set(told) <= there)):
            rows.append([entry.key, entry.kind, ", ".join(told), entry.note])
    print(columns(rows, ["key", "kind", "needs", "note"]))


def _words(text: str, known: tuple[str, ...]) -> set[str]:
    """Words separated by commas, each of them a known one."""
    words = {word.strip() for word in text.split(",") if word.strip()}
    if stranger := next((word for word in sorted(words) if word not in known), None):
        raise unknown("need", stranger, known)
    return words


def chapter_of(entry: Listed, entries: Sequence[Listed]) -> str:
    """The chapter of an entry's row, or of the row that its variant belongs to."""
    from kdcore.survey import rows

    family = [entry.key, *(other.key for other in entries if other.make == entry.make)]
    return next((rows()[key]["chapter"] for key in family if key in rows()), "")


def show(
    key: Annotated[
        str, typer.Argument(help="A key of the catalogue or of the surveys' inventory.", autocompletion=names.keys)
    ],
) -> None:
    """Tell what a key stands for: formula, papers, places in the surveys, defaults, cost."""
    from kdcore.cli.showing import told

    print(told(key))


def coverage(
    as_json: Annotated[bool, typer.Option("--json", help="Every row, for other programs.")] = False,
    why: Annotated[
        str,
        typer.Option(metavar="KEY", help="What there is of one row and what it lacks.", autocompletion=names.keys),
    ] = "",
) -> None:
    """Count what of the surveys is implemented, computed from the code."""
    from kdcore import catalogue
    from kdcore.catalogue.entries import ROOT
    from kdcore.entry import Refusal

    if not all((ROOT / name).is_dir() for name in ("tests", "notebooks")):
        raise Refusal("coverage is counted from code, tests and notebooks, and the last two are in a clone alone")
    if why:
        print(catalogue.why(why))
        return
    found = catalogue.coverage()
    if as_json:
        print(found.json())
        return
    chapters = dict.fromkeys(row.chapter for row in found.rows)
    rows = [[chapter, *found.counts(chapter), *found.named_in_passing(chapter)] for chapter in chapters]
    rows.append(["all", *found.counts(), *found.named_in_passing()])
    print(columns(rows, ["chapter", "implemented", "of", "in passing", "of"]))


def experiments() -> None:
    """List experiments with their profiles and what they cost."""
    from kdcore import experiments

    rows = []
    for experiment in experiments.all():
        for name, profile in experiment.profiles.items():
            count = len(experiment.rows) * len(experiment.seeds_of(name))
            title = experiment.title if name == next(iter(experiment.profiles)) else ""
            key = experiment.key if title else ""
            rows.append([key, name, count, profile.cost, title])
    print(columns(rows, ["experiment", "profile", "runs", "cost", "title"]))


def book(
    profile: Annotated[
        str,
        typer.Option(help="How long experiments train: smoke, quick, short or paper.", autocompletion=names.profiles),
    ] = "quick",
    device: Annotated[str, typer.Option(help="Where they train, as torch names it.")] = "cpu",
    notebooks: Annotated[str, typer.Option(help="Names separated by commas or blanks; all by default.")] = "",
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at once; one a core by default.")] = None,
) -> int:
    """Execute the notebooks that are out of date and build the HTML book."""
    from kdcore.publishing import make_book

    return make_book(profile, device, notebooks, jobs)


def data_list() -> None:
    """List data sets and public checkpoints, and which are here."""
    from kdcore import data

    rows = [[each["name"], each["kind"], each["state"], each["description"]] for each in data.listing()]
    print(columns(rows, ["name", "kind", "state", "description"]))


def data_get(name: Annotated[str, typer.Argument(help="A name that `kdcore data list` shows.")]) -> None:
    """Have a data set or checkpoint in the data folder, fetched where it is missing or damaged."""
    from kdcore import data

    found = data.get(name)
    print(" ".join(part for part in (found["name"], found["state"], found["path"]) if part))


def data_check() -> int:
    """Read every file of the data folder to its end, and say which are whole."""
    from kdcore import data

    found = data.check()
    print(columns([[each["name"], each["state"], each["path"]] for each in found], ["name", "state", "path"]))
    damaged = [each["problem"] for each in found if each["state"] in ("damaged", "other content")]
    say(*damaged) if damaged else None
    return FAILED if damaged else DONE
