"""Ray as an executor: with a stand-in that makes tasks in this process, and with a real one whose worker is killed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from kdcore.entry import Refusal
from kdcore.experiments import get, plan
from kdcore.experiments.executors import NAMES, Executor, Processes, named
from kdcore.experiments.hashing import same_run
from kdcore.experiments.narration import Narrator
from kdcore.experiments.requests import Request
from kdcore.experiments.running import carry_out
from kdcore.experiments.store import Store
from kdcore.experiments.types import Experiment, Profile, Row

SIZE = Profile({"steps": 3, "learning_rate": 0.1}, {"data": "digits-100", "student": "digits-student", "teacher": None})
TAUGHT = {"methods": [["kd", {}]], "teacher": {"experiment": "pair", "row": "teacher", "seed": 0}}


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception):
        super().__init__(str(cause))
        self.cause = cause


class TaskCancelledError(RayError):
    pass


class StandIn(types.ModuleType):
    """What we use of Ray; a task is made when it is asked for, on a copy of what it was sent."""

    def __init__(self, **resources: float):
        super().__init__("ray")
        self.resources, self.up, self.sent, self.lost, self.cancelled = resources, False, [], [], []
        self.exceptions = types.SimpleNamespace(
            RayError=RayError, RayTaskError=RayTaskError, TaskCancelledError=TaskCancelledError
        )

    def init(self, **options: object) -> None:
        self.up = True

    def shutdown(self) -> None:
        self.up = False

    def is_initialized(self) -> bool:
        return self.up

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, function):
        def send(piece, **options):
            self.sent.append((pickle.loads(pickle.dumps(piece)), options))
            return len(self.sent) - 1

        def with_options(**options):
            return types.SimpleNamespace(remote=lambda piece: send(piece, function=function, **options))

        return types.SimpleNamespace(options=with_options)

    def wait(self, tasks, timeout):
        return tasks[:1], tasks[1:]

    def cancel(self, task) -> None:
        self.cancelled.append(task)

    def get(self, task):
        piece, options = self.sent[task]
        if self.lost:
            raise self.lost.pop()
        try:
            return options["function"](piece)
        except Refusal as refusal:
            raise RayTaskError(refusal) from refusal


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """A cluster of two cores in place of Ray."""
    standin = StandIn(CPU=2.0)
    monkeypatch.setitem(sys.modules, "ray", standin)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "elsewhere"))
    return standin


def ask(*seeds: int, rows=("student", "kd"), **options) -> Request:
    overrides = {"recipe.steps": 4}
    return Request.of(get("response"), "smoke", methods=rows, seeds=seeds, overrides=overrides, **options)


class TestNamed:
    def test_there_are_two(self, ray):
        assert NAMES == ("processes", "ray") and isinstance(named("processes", 4), Processes)
        assert all(isinstance(named(name), Executor) for name in NAMES)

    @pytest.mark.parametrize(
        ("name", "workers", "says_"),
        [("rya", 1, "unknown executor 'rya', expected one of processes, ray; the nearest is 'ray'"),
         ("ray", 2, "--executor ray takes all that its cluster has and no --workers, got 2")],
    )  # fmt: skip
    def test_what_cannot_be_is_refused(self, ray, name, workers, says_):
        with pytest.raises(Refusal, match=says_):
            named(name, workers)

    def test_where_ray_is_not_installed_that_is_said(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(Refusal, match="--executor ray needs Ray, which is not installed here: pip install ray"):
            named("ray")


class TestTasks:
    def test_make_the_same_bits_as_this_process_teachers_first(self, ray, with_teacher, tmp_path):
        shutil.copytree(with_teacher, tmp_path / "here")
        stayed = carry_out(ask(0, 1), Store(tmp_path / "here")).records
        found = carry_out(ask(0, 1), executor=named("ray"))
        came = {record["hash"]: record for record in found.records}
        assert found.status == 0 and len(came) == 4 and all(same_run(came[one["hash"]], one) for one in stayed)
        assert [len(piece.marks) for piece, _ in ray.sent] == [2, 2] and not ray.up
        assert not list(Store().folder.rglob("response/????????????????.lock"))

    def test_a_missing_teacher_is_a_task_too(self, ray):
        rows = (Row("teacher", keep=True), Row("kd", settings=TAUGHT))
        request = Request.of(Experiment("pair", "Two", rows, (0,), {"smoke": SIZE}), "smoke")
        assert carry_out(request, executor=named("ray")).status == 0
        assert [list(piece.marks) for piece, _ in ray.sent] == [["teacher, seed 0"], ["kd, seed 0"]]

    def test_are_cut_smaller_where_there_is_room(self, ray, with_teacher):
        ray.resources = {"CPU": 5.0}
        carry_out(ask(0), executor=named("ray"))
        assert [len(piece.marks) for piece, _ in ray.sent] == [1, 1]

    def test_each_has_a_gpu_of_its_own(self, ray):
        from kdcore.experiments.executors.cluster import needs_of

        assert needs_of(ask(0, device="cuda").runs()[0]) == {"num_cpus": 1, "num_gpus": 1}
        assert needs_of(ask(0).runs()[0]) == {"num_cpus": 1}
        with pytest.raises(Refusal, match="--device must be cuda or cpu, got cuda:1"):
            needs_of(ask(0, device="cuda:1").runs()[0])

    def test_a_cluster_without_room_is_refused(self, ray, with_teacher):
        ray.resources = {"GPU": 4.0}
        with pytest.raises(Refusal, match="this Ray cluster does not have the 1 CPU that a task needs"):
            carry_out(ask(0), executor=named("ray"))

    def test_what_another_process_is_at_is_left_to_it_and_waited_for(self, ray, with_teacher, monkeypatch, tmp_path):
        shutil.copytree(with_teacher, tmp_path / "here")
        first, second = (record["hash"] for record in carry_out(ask(0), Store(tmp_path / "here")).records)
        claim = Store().claim("response", first)
        monkeypatch.setattr("kdcore.experiments.running.time.sleep", lambda _: claim.give_back())
        said = []
        monkeypatch.setattr(Narrator, "line", lambda self, text: said.append(text))
        assert carry_out(ask(0), executor=named("ray")).status == 0
        assert [list(piece.marks.values()) for piece, _ in ray.sent] == [[second], [first]]
        assert "waiting for 1 runs that another process has claimed" in said

    def test_one_that_ray_gives_up_is_said_and_the_others_come_home(self, ray, with_teacher, capsys):
        ray.lost = [RayError("the worker died")]
        found = carry_out(ask(0, 1), executor=named("ray"), narrator=Narrator())
        assert found.status == 1 and len(found.records) == 2
        assert "student, seed 0, kd, seed 0: Ray has given up after 4 attempts" in capsys.readouterr().err

    def test_what_a_machine_refuses_is_refused(self, ray, with_teacher, monkeypatch):
        monkeypatch.setattr(
            "kdcore.experiments.executors.pieces._check_names", lambda *_: (_ for _ in ()).throw(Refusal("other code"))
        )
        with pytest.raises(Refusal, match="other code"):
            carry_out(ask(0), executor=named("ray"))

    def test_who_is_told_to_stop_interrupts_them(self, ray, with_teacher):
        told = iter([False] * 2)
        ray.lost = [TaskCancelledError(), TaskCancelledError()]
        found = carry_out(ask(0, 1), executor=named("ray"), told_to_stop=lambda: next(told, True))
        assert found.status == 3 and ray.cancelled


# ---------------------------------------------------------------- the real one


ON_TWO_CORES = """
import sys, ray
from kdcore.cli import main
for last in (False, False, True):  # a machine under load starts too slowly for Ray's own patience
    try:
        ray.init("local", num_cpus=2, log_to_driver=False, include_dashboard=False)
        break
    except Exception:
        ray.shutdown()
        if last:
            raise
main(sys.argv[1:])
"""


def tree_of(process: int) -> list[tuple[int, str]]:
    """All that a process has started, and what these have, with their command lines."""
    said = subprocess.run(["ps", "-axo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in said.splitlines()]
    found, known = [], {str(process)}
    for _ in range(8):
        for pid, parent, *words in lines:
            if parent in known and pid not in known:
                known.add(pid)
                found.append((int(pid), " ".join(words)))
    return found


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (the extra 'ray')")
class TestRealRay:
    """Two workers on this machine; the command, not a function."""

    WORDS = ("run", "response", "--profile", "smoke", "--methods", "student,kd", "--set", "recipe.steps=150")

    @staticmethod
    def start(*words: str, store: Path, scratch: Path) -> subprocess.Popen[str]:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(scratch), "RAY_TMPDIR": "/tmp"}
        scratch.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-c", ON_TWO_CORES, *words, "--executor", "ray", "--save-every", "0.1s",
             "--records", str(store)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(self, tmp_path):
        process = self.start(*self.WORDS, "--seeds", "0,1", store=tmp_path / "ray", scratch=tmp_path / "scratch")
        killed = 0
        while process.poll() is None and not killed:
            (marks,) = [part["runs"] for part in plan.load(Store(tmp_path / "ray"), "response").values()] or [{}]
            mark = marks.get("student, seed 0")
            if mark and list((tmp_path / "scratch").glob(f"kdcore-*/*/response/{mark}.checkpoint")):
                for worker, words in tree_of(process.pid):
                    if words.startswith("ray::kdcore response, seed 0"):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(worker, signal.SIGKILL)
                            killed += 1
            time.sleep(0.05)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
        made = [line.partition(" (")[0] for line in said.splitlines() if line.startswith("response:")]
        assert killed == 1 and len(made) == len(set(made)) == 4
        alone = Store(tmp_path / "alone")
        shutil.copytree(tmp_path / "ray" / "digits-teacher", alone.folder / "digits-teacher")
        request = Request.of(get("response"), "smoke", methods=["student", "kd"], overrides={"recipe.steps": 150})
        stayed = {record["hash"]: record for record in carry_out(request, alone).records}
        came = {record["hash"]: record for record in Store(tmp_path / "ray").read("response")}
        assert came.keys() == stayed.keys() and all(same_run(came[mark], stayed[mark]) for mark in came)
        assert max(record["provenance"]["resumed"] for record in came.values()) == 1
