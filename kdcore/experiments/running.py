"""Runs what the store lacks: teachers first, then what nobody else is at, then what others have claimed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdcore.entry import Refusal
from kdcore.experiments import plan
from kdcore.experiments.executors import Executor, Processes
from kdcore.experiments.inputs import Inputs, Planned
from kdcore.experiments.lockstep import Company, Stopped
from kdcore.experiments.narration import Narrator, outcome
from kdcore.experiments.requests import Request, Wanted
from kdcore.experiments.store import Record, Store
from kdcore.experiments.types import Experiment

if TYPE_CHECKING:
    from torch import nn

POLL = 0.5  # seconds between looks at runs that others have claimed


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        records: of the runs that were asked for, by row and seed; without those that are not in the store.
        asked: how many runs were asked for.
        stopped: whether the budget, or who told it to stop, ended it.
        lacking: why runs are not in the store, one sentence each.
    """

    records: list[Record]
    asked: int
    stopped: bool = False
    lacking: tuple[str, ...] = ()

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records if record["status"] != "done"]

    @property
    def status(self) -> int:
        """The command line's exit status: 0 done, 1 something failed, 3 stopped before the end."""
        if self.stopped:
            return 3
        return 1 if self.failed or len(self.records) < self.asked else 0


def carry_out(
    request: Request,
    store: Store | None = None,
    *,
    budget: float | None = None,
    retry: bool = False,
    save_every: float = 30.0,
    narrator: Narrator | None = None,
    executor: Executor | None = None,
    told_to_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """See that every run of a request is in the store, as far as the budget reaches.

    Args:
        request: what is wanted.
        store: where records are; the local one by default.
        budget: seconds after which to stop; what is unfinished is saved and resumed by the next call.
        retry: run again what failed before.
        save_every: seconds between checkpoints of unfinished runs.
        narrator: says how far things are.
        executor: who makes the runs; this process by default.
        told_to_stop: asked before every step, as the budget is.
    """
    store, executor = store or Store(), executor or Processes()
    store.make_writable()
    if executor.device is None:
        check_device(request.device)
    end = None if budget is None else time.monotonic() + budget
    late, told = _deadline(end), told_to_stop or (lambda: False)
    company = Company(store, narrator or Narrator(quiet=True), lambda: late() or told(), save_every)
    runner = Runner(request, company, retry, executor, end)
    stopped = False
    try:
        with executor:
            runner.complete(request.runs())
    except Stopped:
        stopped = True
    return runner.outcome(stopped)


def _deadline(end: float | None) -> Callable[[], bool]:
    return lambda: end is not None and time.monotonic() >= end


def check_device(device: str) -> None:
    """Refuse a device that is misspelt or not there."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise Refusal(f"device '{device}' is not there, this machine has {', '.join(there)}") from error


class Runner:
    """One request on its way: what is wanted, what is there, what is still to be done.

    Attributes:
        end: when the budget is spent, as `time.monotonic` counts; None for never.
    """

    def __init__(self, request: Request, company: Company, retry: bool, executor: Executor, end: float | None = None):
        self.request, self.company, self.retry, self.executor, self.end = request, company, retry, executor, end
        self.store, self.narrator, self.should_stop = company.store, company.narrator, company.should_stop
        self.inputs = Inputs(request, self.store, executor.device)
        self.retried: set[str] = set()

    def complete(self, runs: Sequence[Wanted]) -> None:
        """Have these runs in the store, those whose teacher failed excepted."""
        self._rehearse([run for run in runs if not self._there(run)])
        self._announce(runs)
        teachers = list({key: run for run in runs for key, run in self.inputs.teachers(run).items()}.values())
        if lacking := [teacher for teacher in teachers if not self.inputs.has_network(teacher)]:
            self.complete(lacking)
            self._announce(runs)
        planned = [found for run in runs if (found := self.inputs.planned(run))]
        pending = [one for one in planned if not self.recorded(one)]
        self.narrator.left = len(pending)
        self._train(pending)

    def _there(self, run: Wanted) -> bool:
        planned = self.inputs.planned(run)
        return planned is not None and self.recorded(planned)

    def recorded(self, one: Planned) -> bool:
        """Whether the store holds this run; one that was made under another name is taken over."""
        record = self.store.get(one.run.experiment, one.mark)
        if record is None and not one.run.row.keep:
            record = self.store.elsewhere(one.run.experiment, one.mark)
        if record is None or (one.run.row.keep and not self.inputs.whole(record)):
            return False
        if record["experiment"] != one.run.experiment or not (one.run.variant or one.fits(record)):
            self.store.write(one.relabelled(record))
        return record["status"] == "done" or not self.retry or one.mark in self.retried

    def _rehearse(self, runs: Sequence[Wanted]) -> None:
        """Try one run of each row before anything is trained, so that what cannot work is refused now."""
        for run in {run.row.key: run for run in reversed(runs)}.values():
            if self.should_stop():
                return
            measure = run.measure()
            if hasattr(measure, "rehearse"):
                try:
                    here = {"device": self.executor.device or run.device}
                    measure.rehearse(**run.arguments() | here, **self.inputs.for_rehearsal(run))
                except Refusal as refusal:
                    raise Refusal(f"row {run.row.key} of {run.experiment}: {refusal}") from refusal

    def _announce(self, runs: Sequence[Wanted]) -> None:
        """Leave in the store which runs are wanted, also those that have no hash before a teacher is trained."""
        name = plan.heading(self.request.profile, self.request.device.partition(":")[0], self.request.variant)
        by_experiment: dict[str, dict[str, str | None]] = {}
        for run in runs:
            planned = self.inputs.planned(run)
            by_experiment.setdefault(run.experiment, {})[run.name] = planned and planned.mark
        for experiment, marks in by_experiment.items():
            plan.add(self.store, experiment, name, marks)

    def _train(self, pending: Sequence[Planned]) -> None:
        others = self.executor.attempt(self, groups(pending))
        if others:
            self.narrator.line(f"waiting for {len(others)} runs that another process has claimed")
        while others:
            if self.should_stop():
                raise Stopped
            time.sleep(POLL)
            others = self.executor.attempt(self, groups(others))

    @contextmanager
    def held(self, group: Sequence[Planned]) -> Iterator[tuple[list[Planned], list[Planned]]]:
        """What of a group nobody else is at, ours until the end of the block, and what others are at."""
        mine, others = [], []
        try:
            for one in group:
                if self.recorded(one):
                    continue
                claim = self.store.claim(one.run.experiment, one.mark)
                if claim is None:
                    others.append(one)
                elif self.recorded(one):  # by another process, between the look and the claim
                    claim.give_back()
                else:
                    mine.append((one, claim))
            yield [one for one, _ in mine], others
            self.retried |= {one.mark for one, _ in mine}
        finally:
            for one, claim in mine:
                claim.give_back(remove=self.store.path(one.run.experiment, one.mark).exists())

    def outcome(self, stopped: bool) -> Outcome:
        runs = sorted(self.request.runs(), key=lambda run: (self.request.rows.index(run.row), run.seed))
        records, lacking = [], []
        for run in runs:
            planned = self.inputs.planned(run)
            record = planned and self.store.get(run.experiment, planned.mark)
            if record:
                records.append({**planned.relabelled(record), "origin": "local"})
            elif not stopped:
                lacking.append(f"{run.name} was not run: {self.inputs.why_not(run)}")
        lacking += [f"{r['row']}, seed {r['seed']} {outcome(r)}" for r in records if r["status"] != "done"]
        return Outcome(records, len(runs), stopped, tuple(lacking))


def groups(pending: Sequence[Planned]) -> list[list[Planned]]:
    """Runs that share batches and arithmetic: those of one seed, so that two processes find work for both."""
    found: dict[tuple[Any, ...], list[Planned]] = {}
    for one in pending:
        recipe = one.run.recipe
        found.setdefault((one.run.seed, recipe.threads, recipe.precision, recipe.compile), []).append(one)
    return list(found.values())


def run(
    experiment: str | Experiment,
    profile: str = "quick",
    device: str = "cpu",
    *,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    records: Any = None,
    precision: str | None = None,
    compile: bool | None = None,
    overrides: Mapping[str, Any] | None = None,
    search: bool = False,
    quiet: bool = True,
) -> list[Record]:
    """Run what the store lacks of an experiment and return its records, by row and seed.

    Args:
        experiment: a key, an inventory's table, or an experiment of one's own.
        profile: ``smoke``, ``quick``, ``short`` or ``paper``.
        device: as torch names it.
        methods: rows, by their names or their methods' keys; all by default.
        seeds: in place of the profile's.
        records: folder of the store.
        precision: ``float32`` or ``bfloat16``, in place of the recipe's; makes other records.
        compile: compile the networks; makes other records.
        overrides: ``{"kd.temperature": 2.0}``; makes other records.
        search: try the published weights at every scale on the validation split instead.
        quiet: say nothing.

    Returns:
        Finished and failed runs, each labelled ``origin``.
    """
    from kdcore.experiments import get

    asked = get(experiment) if isinstance(experiment, str) else experiment
    request = Request.of(
        asked.searching() if search else asked,
        profile,
        device,
        methods=methods,
        seeds=seeds,
        precision=precision,
        compile=compile,
        overrides=overrides,
    )
    found = carry_out(request, Store(records), narrator=Narrator(quiet))
    if len(found.records) < found.asked:
        raise RuntimeError(f"{asked.key}: {found.lacking[0]}")
    return found.records


def trained(experiment: str, row: str, *, profile: str, seed: int, device: str, records: Any = None) -> nn.Module:
    """A network that a row trained, in eval mode; it is trained first where the store lacks it."""
    from kdcore.experiments import get
    from kdcore.experiments.bench import raw_teacher

    asked, store = get(experiment), Store(records)
    request = Request.of(asked, profile, device, methods=[row], seeds=[seed])
    found = carry_out(request, store)
    inputs = Inputs(request, store)
    (source,) = (inputs.source(run) for run in request.runs())
    if source is None:
        raise RuntimeError(f"{experiment}: {found.lacking[0] if found.lacking else f'row {row} keeps no network'}")
    return raw_teacher(source, device)
