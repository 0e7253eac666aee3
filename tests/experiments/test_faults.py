"""Kills, crowds and damage, in real processes: what is promised must hold for the command, not for a function."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kdcore.experiments.hashing import same_run
from kdcore.experiments.store import Record, Store

pytestmark = pytest.mark.slow
RUN = (sys.executable, "-m", "kdcore.cli", "run")
STEPS = ("--profile", "smoke", "--set", "recipe.steps=200")
COMPARISON = ("response", *STEPS, "--methods", "student,kd,crld", "--seeds", "0")


def start(*words: str, store: Path) -> subprocess.Popen[str]:
    command = (*RUN, *words, "--records", str(store))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def records(store: Path, experiment: str = "response") -> dict[str, Record]:
    return {record["hash"]: record for record in Store(store).read(experiment)}


def made(*processes: subprocess.Popen[str]) -> list[str]:
    """What processes say that they recorded, one line a run."""
    told = re.compile(
        r"[\w-]+: [\w+-]+, seed \d+: accuracy [\d.]+, cross_entropy [\d.]+"
    )  # lines may run into each other
    return [line for process in processes for line in told.findall(process.communicate()[1])]


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the comparison, made in peace, and the teacher that it needs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ended(start(*COMPARISON, store=folder)) == 0
    return folder


@pytest.fixture
def store(undisturbed: Path, tmp_path: Path) -> Path:
    """A store of this test's own, with the teacher and nothing else."""
    shutil.copytree(undisturbed / "digits-teacher", tmp_path / "runs" / "digits-teacher")
    return tmp_path / "runs"


def same_bits(store: Path, undisturbed: Path) -> bool:
    mine, theirs = records(store), records(undisturbed)
    return mine.keys() == theirs.keys() and all(same_run(mine[mark], theirs[mark]) for mark in theirs)


def saved(store: Path) -> dict[Path, int]:
    """Checkpoints and when they were written."""
    found = {}
    for path in store.rglob("*.checkpoint"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def killed_until_done(words: Sequence[str], store: Path, seed: int, most: int = 3) -> int:
    """Start a command again and again and kill it, each time a random while after it went on; how often."""
    moments = random.Random(seed)
    for kills in range(most + 1):
        before = saved(store)
        process = start(*words, "--save-every", "0.05s", store=store)
        while process.poll() is None and (kills == most or saved(store) == before):
            time.sleep(0.005)
        time.sleep(moments.random() * 0.5)
        if process.poll() is not None:
            assert ended(process) == 0
            return kills
        process.send_signal(signal.SIGKILL)
        process.communicate()
    raise AssertionError("the last start was not to be killed")


class TestKilled:
    def test_at_random_moments_it_ends_with_the_bits_of_an_undisturbed_run(self, store, undisturbed):
        kills = killed_until_done(COMPARISON, store, seed=0)
        assert kills > 0 and same_bits(store, undisturbed)
        assert max(record["provenance"]["resumed"] for record in records(store).values()) > 0
        assert not list(store.rglob("*.checkpoint")) and not list(store.rglob("*.part"))


TABLE = ("si2023-table1", "--profile", "smoke", "--seeds", "0")


@pytest.fixture(scope="module")
def in_peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the table, undisturbed."""
    folder = tmp_path_factory.mktemp("table")
    assert ended(start(*TABLE, store=folder)) == 0
    return folder


class TestTable:
    """A survey's table as a reader asks for it, its teachers and assistants included."""

    @staticmethod
    def everything(store: Path) -> dict[str, Record]:
        return {mark: record for name in Store(store).experiments() for mark, record in records(store, name).items()}

    def test_killed_five_times_it_ends_with_the_same_records(self, in_peace, tmp_path):
        kills = killed_until_done(TABLE, tmp_path, seed=5, most=5)
        mine, theirs = self.everything(tmp_path), self.everything(in_peace)
        assert kills == 5 and mine.keys() == theirs.keys()
        assert all(same_run(mine[mark], theirs[mark]) for mark in theirs)
        assert max(record["provenance"]["resumed"] for record in mine.values()) > 0

    def test_two_processes_at_once_end_with_the_same_records(self, in_peace, tmp_path):
        both = [start(*TABLE, store=tmp_path) for _ in range(2)]
        lines = made(*both)
        mine, theirs = self.everything(tmp_path), self.everything(in_peace)
        assert [process.returncode for process in both] == [0, 0] and len(lines) == len(set(lines)) == len(theirs)
        assert mine.keys() == theirs.keys() and all(same_run(mine[mark], theirs[mark]) for mark in theirs)


class TestTold:
    """SIGTERM, as clusters send it before they kill."""

    LONG = ("response", "--profile", "smoke", "--set", "recipe.steps=3000", "--methods", "student,kd", "--seeds", "0")

    def test_it_saves_and_says_so_and_the_same_command_goes_on(self, store):
        process = start(*self.LONG, "--save-every", "1s", store=store)
        while process.poll() is None and not saved(store):
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate()
        assert process.returncode == 3, said
        assert said.splitlines()[-1] == "stopped by a signal: 0 of 2 runs are done, the same command resumes"
        assert ended(start(*self.LONG, store=store)) == 0
        assert len(records(store)) == 2
        assert all(record["provenance"]["resumed"] == 1 for record in records(store).values())

    @pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
    def test_its_workers_are_told_too(self, store):
        words = (*self.LONG[:-1], "0-3", "--workers", "2")
        process = start(*words, store=store)
        end = time.monotonic() + 120
        while len(list(store.rglob("response/????????????????.lock"))) < 4 and time.monotonic() < end:
            time.sleep(0.05)
        (worker,) = children(process.pid)
        process.terminate()
        process.communicate()
        assert process.returncode == 3 and not alive(worker)


class TestCrowd:
    def test_two_processes_on_one_store_neither_lose_nor_double_a_run(self, store, undisturbed):
        words = ("response", *STEPS, "--methods", "student,kd,crld", "--seeds", "0-3")
        both = [start(*words, store=store) for _ in range(2)]
        lines = made(*both)
        assert [process.returncode for process in both] == [0, 0]
        found = records(store)
        assert len(found) == len(set(lines)) == len(lines) == 12
        assert all(same_run(record, found[mark]) for mark, record in records(undisturbed).items())

    def test_who_has_nothing_left_to_do_waits_and_says_so_once(self, store, undisturbed):
        claims = [Store(store).claim("response", mark) for mark in records(undisturbed)]
        process = start(*COMPARISON, store=store)
        said = process.stderr.readline()
        assert said == "waiting for 3 runs that another process has claimed\n"
        time.sleep(2)
        assert process.poll() is None
        for claim in claims:
            claim.give_back()
        _, rest = process.communicate()
        assert process.returncode == 0 and same_bits(store, undisturbed) and "waiting" not in rest

    def test_both_train_a_missing_teacher_once(self, tmp_path):
        words = ("response", "--profile", "smoke", "--methods", "kd", "--seeds", "0,1")
        both = [start(*words, store=tmp_path) for _ in range(2)]
        lines = made(*both)
        assert [process.returncode for process in both] == [0, 0]
        assert sorted(line.partition(": accuracy")[0] for line in lines) == [
            "digits-teacher: teacher, seed 0",
            "response: kd, seed 0",
            "response: kd, seed 1",
        ]


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
class TestWorkers:
    def test_end_with_the_one_that_started_them_even_if_that_is_killed(self, store):
        words = ("response", "--profile", "smoke", "--methods", "student", "--seeds", "0-9", "--workers", "2")
        process = start(*words, "--set", "recipe.steps=20000", store=store)
        end = time.monotonic() + 120
        while len(list(store.rglob("response/*.lock"))) < 3 and time.monotonic() < end:  # two claims and the plan's
            time.sleep(0.1)
        workers = children(process.pid)
        assert len(workers) == 1 and all(map(alive, workers))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        end = time.monotonic() + 30
        while any(map(alive, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(alive, workers))

    def test_share_the_work_and_leave_with_the_last_run(self, store):
        words = ("response", *STEPS, "--methods", "student,kd", "--seeds", "0-5", "--workers", "2")
        process = start(*words, store=store)
        lines = made(process)
        assert process.returncode == 0 and len(lines) == len(set(lines)) == 12 == len(records(store))
