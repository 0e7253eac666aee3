"""Bringing home what another machine made: records, kept networks, checkpoints, plans; nothing here is overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdcore.entry import Refusal
from kdcore.experiments import plan
from kdcore.experiments.hashing import canonical, same_run
from kdcore.experiments.store import Record, Store, name_of, parse

OURS = re.compile(r"([0-9a-f]{16})\.(jsonl|safetensors|checkpoint)")
PASSING = re.compile(r".*\.(lock|part)|plan\.json")  # no result; the plan is read by its name
Found = dict[str, dict[str, Path]]  # kind to hash to file


@dataclass
class Merged:
    """What `merge` did.

    Attributes:
        records: how many were taken, by experiment.
        networks: how many kept networks were taken.
        absent: how many records came without the network that they name; it is trained again where it is needed.
        checkpoints: how many unfinished runs can now go on here.
        same: how many records both have.
        conflicts: runs that are here with other numbers, and stay as they are here.
        problems: what should have come and could not, by file.
        strangers: files that are nothing of a store's and stay where they are.
    """

    records: dict[str, int] = field(default_factory=dict)
    networks: int = 0
    absent: int = 0
    checkpoints: int = 0
    same: int = 0
    conflicts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        return sum(self.records.values())


def merge(folder: Path, store: Store | None = None) -> Merged:
    """Take over what another store has and this one lacks. Doing it again changes nothing.

    A record is taken if its hash fits its content, and with the network that it keeps if this has the digest that the
    record names; links are not followed. A checkpoint is taken where the run is not finished here, not under way here,
    and not further on here.

    Raises:
        Refusal: there is no such folder, or it is this store itself.
    """
    store = store or Store()
    if not folder.is_dir():
        raise Refusal(f"records are merged from a folder of them, {folder} is none")
    if folder.resolve() == store.folder.resolve():
        raise Refusal(f"records are merged from another folder, {folder} is the store itself")
    store.make_writable()
    merged = Merged()
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            merged.problems.append(f"{path} is a link and is not followed")
        elif path.is_dir():
            _Merging(Store(folder), store, path.name, merged).all()
        elif not PASSING.fullmatch(path.name):
            merged.strangers.append(str(path))
    return merged


class _Merging:
    """One experiment of another store on its way into this one."""

    def __init__(self, theirs: Store, mine: Store, experiment: str, merged: Merged):
        self.theirs, self.mine, self.experiment, self.merged = theirs, mine, experiment, merged

    def all(self) -> None:
        found = self._sorted()
        for mark, path in found["jsonl"].items():
            for record in self._read(path):
                if record["hash"] == mark:
                    self._record(record, found["safetensors"].pop(mark, None))
                else:
                    self.merged.problems.append(f"{path} holds the run {record['hash']}, its name says another")
        self.merged.strangers += [f"{path}, a network without its record" for path in found["safetensors"].values()]
        for mark, path in found["checkpoint"].items():
            self._checkpoint(mark, path)
        self._plan()

    def _sorted(self) -> Found:
        found: Found = {"jsonl": {}, "safetensors": {}, "checkpoint": {}}
        for path in sorted((self.theirs.folder / self.experiment).iterdir()):
            if path.is_symlink():
                self.merged.problems.append(f"{path} is a link and is not followed")
            elif path.is_file() and (name := OURS.fullmatch(path.name)):
                found[name[2]][name[1]] = path
            elif not (path.is_file() and PASSING.fullmatch(path.name)):
                self.merged.strangers.append(str(path))
        return found

    def _read(self, path: Path) -> Iterator[Record]:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            self.merged.problems.append(f"{path} cannot be read ({error.strerror})")
            return
        for number, line in enumerate(lines, 1):
            record, problem = parse(line, self.experiment)
            if record is None:
                self.merged.problems.append(f"{path}, line {number} is skipped: {problem}")
            else:
                yield record

    def _record(self, record: Record, network: Path | None) -> None:
        before = self.mine.get(self.experiment, record["hash"])
        if before is not None and not same_run(before, record):
            self.merged.conflicts.append(f"{name_of(record)} has other numbers here, hash {record['hash']}")
            return
        if network is not None and not self._network(record, network):
            return
        if before is None:
            self.mine.write(json.loads(canonical(record)))
            self.merged.records[self.experiment] = self.merged.records.get(self.experiment, 0) + 1
            self.merged.absent += network is None and "weights" in record
        else:
            self.merged.same += 1

    def _network(self, record: Record, path: Path) -> bool:
        """Take the network that a record keeps, unless it is here; whether nothing is wrong with it."""
        target = self.mine.path(self.experiment, record["hash"], "safetensors")
        if "weights" not in record:
            self.merged.strangers.append(f"{path}, a network that its record does not keep")
        elif not _is_network(target, record["weights"]):
            with _Copy(path, target) as copy:
                if not _is_network(copy.part, record["weights"]):
                    said = f"{path} is not the network that {name_of(record)} kept; neither of them is taken"
                    self.merged.problems.append(said)
                    return False
                copy.keep()
            self.merged.networks += 1
        return True

    def _checkpoint(self, mark: str, path: Path) -> None:
        """Take an unfinished run's state if it is further on than this store's."""
        if self.mine.get(self.experiment, mark) is not None:
            return
        claim = self.mine.claim(self.experiment, mark)
        if claim is None:
            self.merged.problems.append(f"{path} is not taken, its run is under way here")
            return
        target = self.mine.path(self.experiment, mark, "checkpoint")
        try:
            with _Copy(path, target) as copy:
                theirs = _reached(copy.part, self.experiment)
                if theirs is None:
                    self.merged.problems.append(f"{path} is no checkpoint of {self.experiment} that can be read")
                elif theirs > (_reached(target, self.experiment) or (-1, -1)):
                    copy.keep()
                    self.merged.checkpoints += 1
        finally:
            claim.give_back()

    def _plan(self) -> None:
        """Join their requests to this store's; what this store plans otherwise stays, where it has the record."""
        path = self.theirs.folder / self.experiment / "plan.json"
        mine = plan.load(self.mine, self.experiment)
        for name, part in ({} if path.is_symlink() else plan.load(self.theirs, self.experiment)).items():
            known = mine.get(name, {}).get("runs", {})
            there = {run for run, mark in known.items() if mark and self.mine.get(self.experiment, mark)}
            runs = {run: mark for run, mark in part["runs"].items() if run not in there}
            plan.add(self.mine, self.experiment, name, runs)


class _Copy:
    """A file's copy under a passing name, which takes its own name in one step or is removed."""

    def __init__(self, source: Path, target: Path):
        self.source, self.target = source, target
        self.part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")

    def __enter__(self) -> _Copy:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.source, self.part, follow_symlinks=False)
        return self

    def keep(self) -> None:
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        self.part.replace(self.target)

    def __exit__(self, *_: object) -> None:
        self.part.unlink(missing_ok=True)


def _is_network(path: Path, digest: Any) -> bool:
    from kdcore.experiments.inputs import weights_digest_of

    return path.is_file() and weights_digest_of(path) == digest


def _reached(path: Path, experiment: str) -> tuple[int, int] | None:
    """Stage and step of a checkpoint; None where there is none of this experiment. It may hold no code."""
    from kdcore.engine import checkpoint

    if not path.is_file():
        return None
    try:
        state = checkpoint.load(path)
        stage, step = state["at"]
        belongs = str(state["run"]["name"]).startswith(f"{experiment}: ")
        return (int(stage), int(step)) if belongs else None
    except (checkpoint.DamagedCheckpoint, LookupError, TypeError, ValueError):
        return None


def told(merged: Merged) -> Iterator[str]:
    """What a merge took, for people."""
    yield f"{merged.new} new records, {merged.same} that were here, {len(merged.conflicts)} in conflict"
    yield from (f"  {experiment}: {count} new" for experiment, count in merged.records.items())
    if merged.networks or merged.checkpoints:
        yield f"  {merged.networks} kept networks, {merged.checkpoints} unfinished runs that go on here"
    if merged.absent:
        yield f"  {merged.absent} came without the network they name, which is trained again where it is needed"
    if merged.strangers:
        others = len(merged.strangers) - 1
        yield f"  left aside: {merged.strangers[0]}" + (f" and {others} more" if others else "")
