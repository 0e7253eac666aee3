"""Executes the notebooks that are out of date, and tells what it did.

A notebook's key covers its cells, its parameters and all it rests on. Where the ledger knows the key and the result
is as it was left, nothing runs. Results are kept by profile and device, so that a smoke run does not cost the quick
book. A notebook that fails leaves its partial output behind and gets a page that says so; the others go on.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kdcore.experiments.provenance import commit
from kdcore.publishing import pool, teachers
from kdcore.publishing.execution import Job, Outcome
from kdcore.publishing.pages import reckoned
from kdcore.publishing.progress import Progress
from kdcore.publishing.project import PACKAGE, Mistake, Project, Source, sha256, surroundings, write_whole

# Seconds that a cell and a notebook may take before they are taken for hung: generous, since a machine may be shared.
PATIENCE = {"smoke": (300, 900), "quick": (600, 1800), "short": (6 * 3600, 12 * 3600), "paper": (48 * 3600, 96 * 3600)}


@dataclass
class Page:
    """What became of one notebook: ``ran``, ``up to date``, ``failed``, ``left out``, or ``older``.

    The last two were not asked for; an older one still shows what an earlier execution gave.
    """

    source: Source
    state: str
    key: str = ""
    budget: float | None = None
    outcome: Outcome | None = None


@dataclass
class Ledger:
    """Which key each result was made under, and what it cost."""

    path: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            rows = {}
        return cls(path, rows if isinstance(rows, dict) else {})

    def key(self, name: str, result: Path) -> str:
        """What a result was made under; nothing where it is not as it was left."""
        row = self.rows.get(name)
        whole = row and result.is_file() and sha256(result.read_text(encoding="utf-8")) == row["result"]
        return row["key"] if whole else ""

    def outcome(self, name: str) -> Outcome:
        return Outcome(**self.rows[name]["outcome"])

    def enter(self, name: str, key: str, result: Path, outcome: Outcome) -> None:
        row = {"key": key, "result": sha256(result.read_text(encoding="utf-8")), "outcome": asdict(outcome)}
        self.rows[name] = row
        write_whole(self.path, json.dumps(self.rows, indent=1, sort_keys=True))


@dataclass(frozen=True)
class Execution:
    """All notebooks of a clone under one profile on one device."""

    project: Project
    profile: str
    device: str

    @property
    def parameters(self) -> dict[str, Any]:
        return {"profile": self.profile, "device": self.device}

    @property
    def results(self) -> Path:
        return self.project.work / f"{self.profile}-{self.device.replace(':', '-')}"

    def result(self, source: Source) -> Path:
        return self.results / source.path.name

    def run(self, wanted: str, at_once: int) -> list[Page]:
        """Execute what is wanted and out of date, then put every notebook's page into the book."""
        ledger = Ledger.read(self.results / "ledger.json")
        around = surroundings(self.project)
        chosen = {source.name for source in self.project.notebooks(wanted)}
        pages = {source.name: self.page(source, around, ledger) for source in self.project.notebooks()}
        stale = [page for name, page in pages.items() if name in chosen and page.state in ("older", "left out")]
        self.prepare([page.source for page in stale], at_once)
        for outcome in self.execute(stale, at_once, ledger):
            page = pages[outcome.name]
            page.outcome, page.state = outcome, "ran" if outcome.done else "failed"
            if outcome.done:
                ledger.enter(outcome.name, page.key, self.result(page.source), outcome)
        for page in pages.values():
            self.show(page)
        return list(pages.values())

    def page(self, source: Source, around: str, ledger: Ledger) -> Page:
        """What is there of a notebook before anything runs."""
        page = Page(source, "left out")
        try:
            page.budget, page.key = source.budget(self.profile), source.key(self.parameters, around)
        except Mistake as mistake:
            page.state, page.outcome = "failed", Outcome(source.name, done=False, reason=str(mistake))
        known = ledger.key(source.name, self.result(source))
        if known and page.state != "failed":
            page.state = "up to date" if known == page.key else "older"
            page.outcome = ledger.outcome(source.name)
        return page

    def prepare(self, sources: Sequence[Source], at_once: int) -> None:
        """Train shared teachers that the store lacks; a notebook would train its own if this fails, and say why.

        What the pages want reckoned is made ready by one process beside it.
        """
        keys = teachers.teachers_of(sources, self.profile)
        if keys:
            print(f"teachers: {', '.join(keys)}", file=sys.stderr)
            ours = self.project.root == PACKAGE.parent and at_once > 1
            beside = [partial(reckoned, self.project)] if ours else []
            teachers.prepare(self.profile, self.device, keys, at_once, beside)

    def execute(self, pages: Sequence[Page], at_once: int, ledger: Ledger) -> Iterable[Outcome]:
        """The longest first, so that none of them is left for last; before them those that say so."""
        if not pages:
            return
        ordered = sorted(pages, key=lambda page: (not page.source.early, -self.expected(page, ledger)))
        progress = Progress(len(pages), sys.stderr)
        yield from pool.execute([self.job(page.source) for page in ordered], at_once, progress)

    def expected(self, page: Page, ledger: Ledger) -> float:
        name = page.source.name
        return ledger.outcome(name).core_seconds if name in ledger.rows else page.source.expected(self.profile)

    def job(self, source: Source) -> Job:
        cell, whole = PATIENCE[self.profile]
        command = f"make book PROFILE={self.profile} DEVICE={shlex.quote(self.device)} NOTEBOOKS={source.name}"
        made = {"source": f"notebooks/{source.path.name}", "parameters": self.parameters, "command": command}
        made |= {"commit": (commit() or "")[:12] + ("+" if (commit() or "").endswith("+") else "")}
        partial = self.project.work / "partial" / source.path.name
        return Job(source.path, partial, self.result(source), self.parameters, made, cell, whole)

    def show(self, page: Page) -> None:
        """The result, or a notice in its place."""
        if page.state in ("ran", "up to date", "older"):
            text = self.result(page.source).read_text(encoding="utf-8")
        else:
            text = json.dumps(notice(page), indent=1, ensure_ascii=False)
        write_whole(self.project.executed / page.source.path.name, text)


def notice(page: Page) -> dict[str, Any]:
    """A page for a notebook that has no result: its title, the labels that others link to, and what happened."""
    if page.state == "failed":
        said = f"This notebook did not run to its end: {page.outcome.cell or page.outcome.reason}."
        if page.outcome.cell:
            said += f" It stopped with `{page.outcome.reason}`."
    else:
        said = "This notebook was not executed when the book was built."
    text = f"# {page.source.title}\n\n```{{warning}}\n{said}\n```\n"
    cell = {"cell_type": "markdown", "id": "notice", "metadata": {}, "source": text}
    return {"cells": [cell], "metadata": {"kdcore": {"notice": page.state}}, "nbformat": 4, "nbformat_minor": 5}
