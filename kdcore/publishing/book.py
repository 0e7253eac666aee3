"""All of ``make book`` after the environment: teachers, notebooks, pages, HTML, and a summary."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from kdcore.entry import Refusal
from kdcore.experiments.types import PROFILES, unknown
from kdcore.publishing.build import build
from kdcore.publishing.notebooks import Execution, Page
from kdcore.publishing.pages import generate
from kdcore.publishing.project import Project

TOOLS = ("papermill", "jupyter_book")
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def make(profile: str, device: str, notebooks: str, jobs: int | None, root: Path | None) -> int:
    """See `kdcore.publishing.make_book`."""
    check(profile, device)
    project = Project(root.resolve()) if root else Project.here()
    start = time.monotonic()
    try:
        pages = Execution(project, profile, device).run(notebooks, jobs or at_once(device))
        generate(project)
        whole = all(page.state in ("ran", "up to date", "older") for page in pages)
        built = build(project, strict=whole)
    except KeyboardInterrupt:
        print("stopped; notebooks that had ended are kept, the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    print("\n".join([*map(line, pages), "", *built.lines(project)]))
    print(f"all of it took {time.monotonic() - start:.0f} s")
    return 0 if built.good and all(page.state != "failed" for page in pages) else 1


def check(profile: str, device: str) -> None:
    """Refuse what cannot be served, before anything is run."""
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    if missing := [name for name in TOOLS if find_spec(name) is None]:
        raise Refusal(f"the book needs {' and '.join(missing)}: make environment installs them, or the extras do")
    if device != "cpu":
        from kdcore.experiments.running import check_device

        check_device(device)


def at_once(device: str) -> int:
    """As many as there are usable cores; one on an accelerator, whose memory they would have to share."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def line(page: Page) -> str:
    """One notebook in the summary: what became of it, what its work took against its budget, imports apart."""
    outcome = page.outcome
    told = f"{page.source.name:<28} {page.state:<11}"
    if page.state == "failed":
        where = f"{outcome.cell}: " if outcome.cell else ""
        partial = f"; partial notebook: {outcome.partial}" if outcome.partial else ""
        return f"{told} {where}{outcome.reason}{partial}"
    if outcome is None:
        return f"{told} no result yet, its page says so"
    work = max(outcome.core_seconds - outcome.import_seconds, 0.0)
    budget = "" if page.budget is None else f" of {page.budget:g}"
    over = "  OVER" if page.budget is not None and work > page.budget else ""
    noise = f"  {outcome.warnings} lines on stderr" if outcome.warnings else ""
    return f"{told} {work:6.1f}{budget} core-seconds, imports {outcome.import_seconds:.1f} more{over}{noise}"
