"""Trains the networks that several notebooks learn from, once and before them, so that none waits for another."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from kdcore.publishing.lifetime import end_with_parent
from kdcore.publishing.project import Source, text_of


def teachers_of(sources: Iterable[Source], profile: str) -> list[str]:
    """Experiments whose networks teach in the experiments that the notebooks name."""
    from kdcore import experiments

    code = "\n".join(text_of(cell) for source in sources for cell in source.cells if cell["cell_type"] == "code")
    named = [one for one in experiments.all() if f'"{one.key}"' in code or f"'{one.key}'" in code]
    settings = [one.settings(row, profile) for one in named if profile in one.profiles for row in one.rows]
    teachers = [one["teacher"] for one in settings if isinstance(one.get("teacher"), Mapping)]
    found = dict.fromkeys(one["experiment"] for one in teachers if "experiment" in one)
    return [key for key in found if profile in experiments.get(key).profiles]


def prepare(
    profile: str, device: str, keys: Sequence[str], at_once: int = 1, beside: Sequence[Callable[[], object]] = ()
) -> None:
    """Run them in processes of their own, so that nothing of torch stays in this one; what the store has is left.

    The processes end with this one, however this one ends. What they cannot train, a notebook will ask for and tell.
    `beside` are calls to be made in the meantime, each in a process too.
    """
    shares = [share for number in range(at_once) if (share := keys[number::at_once])]
    calls = [*(partial(train, profile, device, share) for share in shares), *beside]
    processes = [multiprocessing.get_context("spawn").Process(target=alone, args=(call,)) for call in calls]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in filter(lambda process: process.pid, processes):
            process.kill()  # at any moment: the store resumes


def alone(call: Callable[[], object]) -> None:
    """Make a call in a process that ends with the one that started it."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        call()
    except KeyboardInterrupt:  # the command that started this process says so
        sys.exit(130)


def train(profile: str, device: str, keys: Iterable[str]) -> None:
    from kdcore import experiments

    for key in keys:
        experiments.run(key, profile=profile, device=device)
