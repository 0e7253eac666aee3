"""The scripts for other people's machines, really run: a cluster's environment, stand-ins for its commands, a CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from kdcore.experiments.merging import merge
from kdcore.experiments.store import Store

ROOT = Path(__file__).resolve().parents[1]
SLURM, KUBERNETES, TIMEBOXED = (ROOT / "scripts" / name for name in ("slurm.sh", "kubernetes.yaml", "timeboxed_gpu.sh"))
SMOKE = ("response", "--profile", "smoke", "--methods", "student")
JOB = yaml.safe_load(KUBERNETES.read_text())


@pytest.fixture
def programs(tmp_path) -> Path:
    """A folder with the command line, and with Slurm's, which notes what it is asked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {
        "kdcore": f'exec "{sys.executable}" -m kdcore.cli "$@"',
        "scontrol": f'echo "$*" >>"{tmp_path}/asked"',
        "bare": f'exec "{sys.executable}" -I -S "$@"',
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def place(programs: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "KDCORE_RUNS"))}
    return kept | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


@pytest.mark.parametrize("script", [SLURM, TIMEBOXED], ids=lambda path: path.name)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_scripts_can_be_read_by_any_shell(script, shell):
    assert subprocess.run([shell, "-n", script], capture_output=True).stderr == b""
    assert script.read_text().startswith("#!/bin/sh\n") and "[[" not in script.read_text()


SLURM_OPTIONS = dict(
    line.split()[1].partition("=")[::2] for line in SLURM.read_text().splitlines() if line.startswith("#SBATCH")
)


class TestSlurm:
    def environment(self, programs: Path, folder: Path, task: str = "1") -> dict[str, str]:
        job = {"SLURM_JOB_ID": "78", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": task}
        return place(programs, SLURM_SUBMIT_DIR=str(folder), KDCORE=str(programs / "kdcore"), **job)

    def test_it_asks_for_an_array_and_for_a_word_before_the_end(self):
        assert SLURM_OPTIONS["--array"] == "0-2" and SLURM_OPTIONS["--signal"] == "B:TERM@120"
        assert "--requeue" in SLURM_OPTIONS and SLURM_OPTIONS["--open-mode"] == "append"

    def test_without_an_experiment_it_says_how_it_is_used(self, programs, tmp_path):
        done = subprocess.run(["sh", SLURM], env=self.environment(programs, tmp_path), capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.startswith("usage: sbatch")

    @pytest.mark.slow
    def test_a_task_of_the_array_makes_its_seed(self, programs, tmp_path):
        done = subprocess.run(["sh", SLURM, *SMOKE], env=self.environment(programs, tmp_path), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        (record,) = Store(tmp_path / "records").read("response")
        assert (record["row"], record["seed"], record["status"]) == ("student", 1, "done")
        assert not (tmp_path / "asked").exists()

    @pytest.mark.slow
    def test_one_that_is_preempted_is_put_back_and_goes_on(self, programs, tmp_path):
        words = ["sh", str(SLURM), *SMOKE, "--set", "recipe.steps=3000", "--save-every", "1s"]
        options = {"env": self.environment(programs, tmp_path), "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, **options)
        while process.poll() is None and not list(tmp_path.rglob("*.checkpoint")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
        assert process.returncode == 0 and "stopped by a signal" in said
        assert (tmp_path / "asked").read_text() == "requeue 77_1\n"
        assert subprocess.run(words, stdout=subprocess.DEVNULL, **options).returncode == 0
        (record,) = Store(tmp_path / "records").read("response")
        assert record["provenance"]["resumed"] == 1

    @pytest.mark.slow
    def test_a_wrong_request_is_not_put_back(self, programs, tmp_path):
        words = ["sh", SLURM, "respnse"]
        assert subprocess.run(words, env=self.environment(programs, tmp_path), capture_output=True).returncode == 2
        assert not (tmp_path / "asked").exists()


class TestKubernetes:
    SPEC = JOB["spec"]
    (CONTAINER,) = JOB["spec"]["template"]["spec"]["containers"]

    def test_it_is_an_indexed_job_whose_pods_are_started_again(self):
        assert (JOB["apiVersion"], JOB["kind"], self.SPEC["completionMode"]) == ("batch/v1", "Job", "Indexed")
        assert self.SPEC["template"]["spec"]["restartPolicy"] == "Never"  # what a policy on failures asks for
        actions = {tuple(rule["onExitCodes"]["values"]): rule["action"]
                   for rule in self.SPEC["podFailurePolicy"]["rules"] if "onExitCodes" in rule}  # fmt: skip
        assert actions == {(3,): "Ignore", (2,): "FailJob"}

    def test_every_place_that_is_mounted_has_a_volume(self):
        volumes = {volume["name"] for volume in self.SPEC["template"]["spec"]["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in self.CONTAINER["volumeMounts"]}
        assert set(mounts) == volumes
        places = [entry["value"] for entry in self.CONTAINER["env"] if entry["name"].startswith("KDCORE_")]
        assert places and all(any(place.startswith(f"{path}/") for path in mounts.values()) for place in places)

    def test_what_it_runs_exists(self):
        from kdcore import experiments

        values = {entry["name"]: entry["value"] for entry in self.CONTAINER["env"]}
        assert values["PROFILE"] in experiments.get(values["EXPERIMENT"]).profiles

    @pytest.mark.slow
    def test_its_command_makes_the_seed_of_its_index(self, programs, tmp_path):
        values = {entry["name"]: entry["value"] for entry in self.CONTAINER["env"]}
        values |= {"EXPERIMENT": "digits-teacher", "PROFILE": "smoke", "DEVICE": "cpu", "JOB_COMPLETION_INDEX": "1"}
        values |= {"KDCORE_RUNS": str(tmp_path / "records")}
        words = [*self.CONTAINER["command"], *self.CONTAINER["args"]]
        done = subprocess.run(words, env=place(programs, **values), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [record["seed"] for record in Store(tmp_path / "records").read("digits-teacher")] == [1]


class TestTimeboxed:
    def run(self, programs: Path, folder: Path, budget: str, **more: str) -> subprocess.CompletedProcess[str]:
        options = {"DEVICE": "cpu", "PROFILE": "smoke", "PYTHON": sys.executable, "THROUGHPUT": "no"}
        options |= {"METHODS": "student,kd", "SEEDS": "0", "FITNESS": "kd,at", "TABLES": "response"} | more
        words = ["sh", TIMEBOXED, budget, folder]
        return subprocess.run(words, env=place(programs, **options), capture_output=True, text=True)

    def test_a_machine_that_lacks_packages_is_told_which(self, programs, tmp_path):
        done = self.run(programs, tmp_path / "out", "1m", PYTHON=str(programs / "bare"))
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("this Python lacks torch, torchvision,") and "pyyaml" in done.stderr

    def test_a_machine_that_lacks_data_is_told_so(self, programs, tmp_path):
        done = self.run(programs, tmp_path / "out", "1m", PROFILE="paper", KDCORE_DATA=str(tmp_path / "none"))
        assert done.returncode == 2 and done.stderr.startswith("cifar10 and cifar100 is not here")

    def test_a_time_that_is_none_is_told_so(self, programs, tmp_path):
        done = self.run(programs, tmp_path / "out", "25")
        assert done.returncode == 2 and "a time must be written like 90s, 25m or 1h30m, got '25'" in done.stderr

    @pytest.mark.slow
    def test_what_it_made_comes_home_and_the_next_lease_goes_on(self, programs, tmp_path):
        done = self.run(programs, tmp_path / "out", "20m")
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "out" / "fitness.json").read_text())["fit"]
        for name in ("results.tar.gz", "unfinished.tar.gz"):
            with tarfile.open(tmp_path / "out" / name) as packed:
                packed.extractall(tmp_path / "home", filter="data")
        assert {"fitness.json", "log.txt", "records"} <= {path.name for path in (tmp_path / "home").iterdir()}
        merged = merge(tmp_path / "home" / "records", Store(tmp_path / "store"))
        assert (merged.records, merged.networks) == ({"digits-teacher": 1, "response": 2}, 1)
        assert merged.problems == merged.conflicts == merged.strangers == []

    @pytest.mark.slow
    def test_when_the_time_is_over_it_packs_what_there_is(self, programs, tmp_path):
        """So little time that the checks are left out and the runs cannot end."""
        done = self.run(programs, tmp_path / "out", "2s")
        assert done.returncode in (1, 3) and (tmp_path / "out" / "results.tar.gz").exists()
