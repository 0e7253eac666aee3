"""Commands that train: an experiment's rows, or one pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdcore.cli import names
from kdcore.cli.answers import columns, say
from kdcore.experiments.types import SCALES, SEARCH

if TYPE_CHECKING:
    from kdcore.experiments.requests import Request
    from kdcore.experiments.store import Record

Profile = Annotated[str, typer.Option(help="The size: smoke, quick, short or paper.", autocompletion=names.profiles)]
Device = Annotated[str, typer.Option(help="Where to train, as torch names it: cpu, cuda, cuda:1.")]
Folder = Annotated[Path | None, typer.Option("--records", metavar="DIR", help="Folder of the records.")]
Precision = Annotated[str | None, typer.Option(help="float32 or bfloat16, in place of the recipe's.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the networks; eager where nothing can compile. Makes other records.")
]
Budget = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop after 90s, 25m, 1h30m; the same command resumes.")
]


def run(
    experiment: Annotated[
        str, typer.Argument(help="A name that `kdcore experiments` shows.", autocompletion=names.experiments)
    ],
    profile: Profile = "quick",
    methods: Annotated[str, typer.Option(help="Rows or methods, separated by commas; all by default.")] = "",
    seeds: Annotated[str, typer.Option(help="0, 0,1,2 or 0-4; the profile's by default.")] = "",
    device: Device = "cpu",
    precision: Precision = None,
    compile_: Compile = False,
    records: Folder = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="ROW.OPTION=VALUE", help="Change an option.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Try weights on the validation split instead.")] = False,
    budget: Budget = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run again what failed before.")] = False,
    save_every: Annotated[str, typer.Option(metavar="TIME", help="Time between checkpoints.")] = "30s",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    executor: Annotated[
        str, typer.Option(help="processes of this machine, or ray: tasks on any number of GPUs and machines.")
    ] = "processes",
) -> int:
    """Run what the store lacks of an experiment, teachers first."""
    from kdcore import experiments
    from kdcore.experiments.requests import Request, parse_overrides, parse_seeds

    asked = experiments.get(experiment)
    request = Request.of(
        asked.searching() if search else asked,
        profile,
        device,
        methods=[name.strip() for name in methods.split(",") if name.strip()],
        seeds=parse_seeds(seeds) if seeds else None,
        precision=precision,
        compile=compile_ or None,
        overrides=parse_overrides(set_ or ()),
    )
    options = {"retry": retry, "save_every": save_every, "workers": workers, "executor": executor}
    return _carried_out(request, records, budget, **options)


def train(
    student: Annotated[str, typer.Option(help="A network by name.")] = "",
    teacher: Annotated[
        str,
        typer.Option(
            help="A public checkpoint, or EXPERIMENT or EXPERIMENT/ROW that trains it; with --steps also a network by "
            "name, untrained."
        ),
    ] = "",
    method: Annotated[
        str, typer.Option(help="A key of the catalogue; none for plain training.", autocompletion=names.keys)
    ] = "",
    data: Annotated[str, typer.Option(help="A data set by name.")] = "",
    profile: Profile = "quick",
    steps: Annotated[int | None, typer.Option(min=1, help="A trial of so many steps, judged on one batch.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    precision: Precision = None,
    compile_: Compile = False,
    records: Folder = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="Change an option.")] = None,
    budget: Budget = None,
) -> int:
    """Train one student, with or without a teacher."""
    from kdcore.experiments.pair import pair, said_of
    from kdcore.experiments.requests import Request, parse_overrides

    asked = pair(profile, student=student, teacher=teacher, method=method, data=data, steps=steps)
    (row,) = asked.rows
    named = (f"{row.key}.", "recipe.")
    overrides = parse_overrides(text if text.startswith(named) else f"{row.key}.{text}" for text in set_ or ())
    request = Request.of(
        asked, profile, device, seeds=[seed], precision=precision, compile=compile_ or None, overrides=overrides
    )
    for sentence in said_of(asked):
        say(sentence)
    return _carried_out(request, records, budget)


def _carried_out(
    request: Request,
    folder: Path | None,
    budget: str | None,
    *,
    retry: bool = False,
    save_every: str = "30s",
    workers: int = 1,
    executor: str = "processes",
) -> int:
    """Run a request; its results to stdout, what is lacking to stderr. The budget counts from here, imports too."""
    begun = time.monotonic()
    from kdcore.experiments.executors import named
    from kdcore.experiments.narration import Narrator
    from kdcore.experiments.requests import parse_duration
    from kdcore.experiments.running import carry_out
    from kdcore.experiments.store import Store
    from kdcore.experiments.workers import company, terminated

    by = named(executor, workers)
    times = {"budget": None, "save_every": parse_duration(save_every)}
    if budget:
        times["budget"] = parse_duration(budget) - (time.monotonic() - begun)
    with terminated() as told, company(workers, told):
        found = carry_out(
            request, Store(folder), retry=retry, narrator=Narrator(), executor=by, told_to_stop=told, **times
        )
    print(searched(found.records) if request.experiment.key.endswith(SEARCH) else summary(found.records))
    if found.stopped:
        by_whom = "a signal" if told() else "the budget"
        say(f"stopped by {by_whom}: {len(found.records)} of {found.asked} runs are done, the same command resumes")
    say(*found.lacking) if found.lacking else None
    return found.status


def summary(records: Sequence[Record]) -> str:
    """Mean and spread of each row's last numbers; a row that yields none, only figures, is done all the same."""
    rows = []
    for key in dict.fromkeys(record["row"] for record in records):
        done = [record["last"] for record in records if record["row"] == key and record["status"] == "done"]
        cells = [f"{name} {_spread([last[name] for last in done])}" for name in _numbers(done)]
        rows.append([key, len(done), ", ".join(cells) or ("done" if done else "failed")])
    return columns(rows, ["row", "n", "last"])


def searched(records: Sequence[Record]) -> str:
    """The score at every scale of the published weight, and the scale that is best on the validation split."""
    from kdcore.experiments.search import choices

    found = choices(records)
    cells = {
        row: [f"{each.scores[s]:.4f}" if s in each.scores else "failed" for s in SCALES] for row, each in found.items()
    }
    rows = [[row, *cells[row], f"x{each.scale:g}"] for row, each in found.items()]
    return columns(rows, ["row", *(f"x{scale:g}" for scale in SCALES), "chosen"])


def _numbers(done: Sequence[dict[str, Any]]) -> list[str]:
    return [name for name, value in done[0].items() if isinstance(value, int | float)][:3] if done else []


def _spread(values: Sequence[float]) -> str:
    spread = f" +- {statistics.stdev(values):.4g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"
