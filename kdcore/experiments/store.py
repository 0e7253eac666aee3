"""The store of records: one file a run, claimed by a kernel lock, written whole or not at all.

``<experiment>/<hash>.jsonl`` is the record of a run, one line. Beside it, while the run is unfinished, lie
``<hash>.checkpoint`` and ``<hash>.lock``, and for good ``<hash>.safetensors`` where the network is kept. ``plan.json``
says which runs were asked for, so that `status` needs no torch.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from kdcore.entry import Refusal
from kdcore.experiments.hashing import IDENTITY, canonical, hash_of
from kdcore.experiments.provenance import checkout

log = logging.getLogger(__name__)
Record = dict[str, Any]
Where = Literal["local", "published", "both"]
FIELDS = ("experiment", "row", "method", "status", "hash", "provenance", *IDENTITY)
PARTS = {"done": ("last", dict), "failed": ("failure", dict)}  # what a record of each status cannot do without


def root() -> Path:
    """The clone's folder, else the current one."""
    return checkout() or Path.cwd()


def local_folder() -> Path:
    return Path(os.environ.get("KDCORE_RUNS") or root() / "_build" / "runs")


def published_folder() -> Path:
    return root() / "book" / "records"


class Store:
    """Records in a folder, one sub-folder an experiment.

    Args:
        folder: where they are; default ``$KDCORE_RUNS``, else ``_build/runs`` of the clone.
    """

    def __init__(self, folder: Path | str | None = None):
        self.folder = Path(folder) if folder else local_folder()

    def path(self, experiment: str, mark: str, kind: str = "jsonl") -> Path:
        return self.folder / experiment / f"{mark}.{kind}"

    def make_writable(self) -> None:
        """Create the folder and try it.

        Raises:
            Refusal: nothing can be written there.
        """
        trial = self.folder / f".{uuid.uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            trial.touch()
            trial.unlink()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise Refusal(f"records cannot be written to {self.folder} ({reason}), name a folder that can") from error

    def write(self, record: Record) -> None:
        """Put one finished run into the store, whole, before this returns."""
        write_whole(self.path(record["experiment"], record["hash"]), canonical(record) + "\n")

    def get(self, experiment: str, mark: str) -> Record | None:
        """The record of one run; None where there is none that can be read."""
        return next(scan(self.path(experiment, mark), experiment), None)

    def elsewhere(self, experiment: str, mark: str) -> Record | None:
        """The same run, finished under another experiment's name."""
        for path in sorted(self.folder.glob(f"*/{mark}.jsonl")):
            if path.parent.name != experiment and (found := self.get(path.parent.name, mark)):
                return found
        return None

    def read(self, experiment: str) -> list[Record]:
        return [record for path in self.paths(experiment) for record in scan(path, experiment)]

    def paths(self, experiment: str) -> list[Path]:
        return sorted((self.folder / experiment).glob("*.jsonl"))

    def experiments(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*") if path.is_dir())

    def claim(self, experiment: str, mark: str) -> Claim | None:
        """The right to make one run, held until it is given back or this process ends; None where another has it.

        What a killed process left half written of this run is swept away.
        """
        claim = Claim.take(self.path(experiment, mark, "lock"))
        if claim:
            for litter in (self.folder / experiment).glob(f"*{mark}*.part"):
                litter.unlink(missing_ok=True)
        return claim

    def claimed(self, experiment: str, mark: str) -> bool:
        """Whether some process is at this run now."""
        path = self.path(experiment, mark, "lock")
        if not path.exists():
            return False
        claim = Claim.take(path)
        if claim:
            claim.give_back(remove=False)
        return claim is None


class Claim:
    """A file lock of the kernel's, which dies with the process that holds it."""

    def __init__(self, lock: Any, path: Path):
        self.lock, self.path = lock, path

    @classmethod
    def take(cls, path: Path) -> Claim | None:
        from filelock import FileLock, Timeout

        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        return cls(lock, path)

    def give_back(self, remove: bool = True) -> None:
        """Let go of the run; its lock file is of no more use once the record is written.

        It is removed while still held: who waits for it finds a file without a name and, after that, the record.
        """
        if remove:
            with suppress(OSError):
                self.path.unlink()
        self.lock.release()


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: a temporary, synced, renamed, the folder synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def scan(path: Path, experiment: str, problems: list[str] | None = None) -> Iterator[Record]:
    """Records of a file; a line that is none is named by file and line, here and in `problems`, and skipped."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        record, problem = parse(line, experiment)
        if record is None:
            said = f"{path}, line {number} is skipped: {problem}"
            log.warning(said)
            if problems is not None:
                problems.append(said)
        else:
            yield record


def parse(line: str, experiment: str) -> tuple[Record | None, str]:
    """A record, or None and what is wrong with the line."""
    try:
        record = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None, "it is no JSON, perhaps cut off"
    if not isinstance(record, dict) or (missing := [name for name in FIELDS if name not in record]):
        lacks = f"it lacks {', '.join(missing[:3])}" if isinstance(record, dict) else "it is no mapping"
        return None, f"it is no record of a run, {lacks}"
    if record["experiment"] != experiment:
        return None, f"it belongs to experiment {record['experiment']}"
    if hash_of(record) != record["hash"]:
        return None, f"its hash {record['hash']} does not fit its content"
    part, kind = PARTS.get(str(record["status"]), ("status", type(None)))
    if not isinstance(record.get(part), kind) or not isinstance(record["provenance"], dict):
        return None, f"it is no record of a run, its status is {record['status']} and its {part} is missing"
    return record, ""


def name_of(record: Record) -> str:
    return f"{record['experiment']}: {record['row']}, seed {record['seed']}, {record['profile']}"


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


class Records(list[Record]):
    """Records, and in `problems` what could not be read, by file and line."""

    problems: tuple[str, ...] = ()


def read(experiment: str, where: Where = "both", folder: Path | str | None = None) -> Records:
    """All records of an experiment, each labelled ``origin``: ``local`` or ``published``.

    A run that is both comes once, as published. Nothing is filtered: records of another profile, of settings that
    were tried, and of an older revision (see `kdcore.experiments.revisions.outdated`) are among them.
    """
    if where not in ("local", "published", "both"):
        raise ValueError(f"where must be 'local', 'published' or 'both', got '{where}'")
    paths = [] if where == "published" else [("local", path) for path in Store(folder).paths(experiment)]
    paths += [] if where == "local" else [("published", published_folder() / f"{experiment}.jsonl")]
    found: dict[str, Record] = {}
    problems: list[str] = []
    for origin, path in paths:
        found |= {record["hash"]: {**record, "origin": origin} for record in scan(path, experiment, problems)}
    records = Records(found.values())
    records.problems = tuple(problems)
    return records
