"""A piece of a request that travels: what it stands on goes along, what came of it comes back, as files of a store."""

from __future__ import annotations

import getpass
import hashlib
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdcore.entry import Refusal
from kdcore.experiments.inputs import Inputs, Planned
from kdcore.experiments.requests import Request
from kdcore.experiments.store import Store, write_whole

Place = tuple[str, str, str]  # experiment, hash, kind of file
RESULTS = ("safetensors", "checkpoint", "jsonl")  # in the order in which they are put down: the record last


@dataclass(frozen=True)
class Piece:
    """Runs of one seed that are made together, elsewhere.

    Attributes:
        name: of the folder where they are made; the same runs of the same store find what they left there.
        request: the runs, as rows of an experiment under one seed.
        marks: hash by run, which must come out the same there.
        files: records and networks of teachers, and checkpoints.
        until: when the budget is spent, in seconds since 1970, since machines have that in common; None for never.
        retry: whether what failed before is made again.
        save_every: seconds between checkpoints.
    """

    name: str
    request: Request
    marks: Mapping[str, str]
    files: Mapping[Place, bytes]
    until: float | None
    retry: bool
    save_every: float


@dataclass(frozen=True)
class Made:
    """What came of a piece: files for the store it was sent from, and whether the budget ended it."""

    files: Mapping[Place, bytes]
    stopped: bool


def piece_of(
    group: Sequence[Planned], request: Request, store: Store, *, until: float | None, retry: bool, save_every: float
) -> Piece:
    """Pack runs of one experiment and seed."""
    first, marks = group[0].run, {one.run.name: one.mark for one in group}
    rows = tuple(one.run.row for one in group)
    if first.experiment != request.experiment.key:  # teachers of other experiments
        from kdcore.experiments import get

        request = Request(get(first.experiment), first.profile, request.device, rows, (first.seed,))
    asked = replace(request, rows=rows, seeds=(first.seed,))
    home = f"{platform.node()} {store.folder.resolve()} {sorted(marks.values())}"
    name = hashlib.sha256(home.encode()).hexdigest()[:16]
    return Piece(name, asked, marks, dict(_provisions(group, asked, store)), until, retry, save_every)


def _provisions(group: Sequence[Planned], request: Request, store: Store) -> Iterator[tuple[Place, bytes]]:
    inputs = Inputs(request, store, "cpu")
    for one in group:
        yield from _read(store, one.run.experiment, one.mark, ["checkpoint"])
        for teacher in _teachers(one, inputs):
            yield from _read(store, teacher.run.experiment, teacher.mark, ["safetensors", "jsonl"])


def _teachers(one: Planned, inputs: Inputs) -> Iterator[Planned]:
    """What a run learns from, and what that has learned from: its hash stands on theirs."""
    for teacher in inputs.teachers(one.run).values():
        if planned := inputs.planned(teacher):
            yield planned
            yield from _teachers(planned, inputs)


def _read(store: Store, experiment: str, mark: str, kinds: Iterable[str]) -> Iterator[tuple[Place, bytes]]:
    for kind in kinds:
        path = store.path(experiment, mark, kind)
        if path.is_file():
            yield (experiment, mark, kind), path.read_bytes()


def put_down(files: Mapping[Place, bytes], store: Store) -> None:
    """Write files into a store, each whole, records last."""
    for (experiment, mark, kind), content in sorted(files.items(), key=lambda item: RESULTS.index(item[0][2])):
        write_whole(store.path(experiment, mark, kind), content)


def scratch() -> Path:
    """Where pieces are made: a folder of this user's in the machine's place for temporary files (``$TMPDIR``)."""
    folder = Path(tempfile.gettempdir()) / f"kdcore-{getpass.getuser()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def make(piece: Piece) -> Made:
    """Make a piece in a store of its own and give back what came of it.

    A process that dies here leaves its checkpoints behind, and the next attempt on this machine goes on from them.

    Raises:
        Refusal: this machine gives the runs other names, because its code or its data differ.
    """
    from kdcore.experiments.running import carry_out

    store = Store(scratch() / piece.name)
    put_down({place: content for place, content in piece.files.items() if not store.path(*place).exists()}, store)
    _check_names(piece, store)
    budget = None if piece.until is None else piece.until - time.time()
    found = carry_out(piece.request, store, budget=budget, retry=piece.retry, save_every=piece.save_every)
    experiment = piece.request.experiment.key
    made = {
        place: content for mark in piece.marks.values() for place, content in _read(store, experiment, mark, RESULTS)
    }
    shutil.rmtree(store.folder, ignore_errors=True)
    return Made(made, found.stopped)


def _check_names(piece: Piece, store: Store) -> None:
    inputs = Inputs(piece.request, store)
    for run in piece.request.runs():
        planned = inputs.planned(run)
        if planned is None or planned.mark != piece.marks[run.name]:
            here = planned.mark if planned else "nothing, for want of its teacher"
            raise Refusal(
                f"{platform.node()} calls {run.experiment}: {run.name} {here} and not {piece.marks[run.name]}: "
                "its code, its data or its teacher differ from those where it was asked for"
            )
