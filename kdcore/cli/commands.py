"""All commands in one place, each a few lines; the work is elsewhere."""

from __future__ import annotations

import logging

import typer

from kdcore.cli import library, results, runs
from kdcore.cli import records as moving

app = typer.Typer(
    name="kdcore",
    help="Knowledge distillation, reproduced: losses and schemes of the surveys, their experiments and tables.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)
records = typer.Typer(help="Published records and their editions.", rich_markup_mode=None)
data = typer.Typer(help="Data sets and public checkpoints.", rich_markup_mode=None)


@app.callback()
def _every_command() -> None:
    """Knowledge distillation, reproduced: losses and schemes of the surveys, their experiments and tables."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)


for command in (library.methods, library.show, library.coverage, library.experiments):
    app.command()(command)
for command in (runs.run, runs.train, results.status, results.table):
    app.command()(command)
app.command()(library.book)
for command in (moving.publish, moving.merge):
    records.command()(command)
data.command("list")(library.data_list)
data.command("get")(library.data_get)
data.command("check")(library.data_check)
app.add_typer(records, name="records")
app.add_typer(data, name="data")
