"""What a process does that is going to be killed."""

import json
from pathlib import Path

from proof import digest
from zoo import make_runs

from kdcore.engine import fit


def train(names: tuple[str, ...], steps: int, folder: Path, answer: Path) -> None:
    """Take up what is in the folder, go on, and leave the digests of what came of it."""
    runs = make_runs(names, folder=folder, steps=steps)
    (folder / "begun").touch()
    fit(runs, every_seconds=0.05)
    answer.write_text(json.dumps({run.name: [digest(run), run.resumed] for run in runs}))
