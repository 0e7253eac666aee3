"""Killed with SIGKILL at random moments and started again: the bits of an undisturbed training."""

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest
import victim
from proof import digest
from zoo import make_runs

from kdcore.engine import fit

STEPS = 40
NAMES = ("bank", "critic", "hints", "two-peers", "invented", "rounds", "cadence", "words", "half")


@pytest.fixture(scope="module")
def processes():
    """Children of a server that has imported everything: a start takes milliseconds, and none shares our threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "victim"])
    return context


def killed(process: multiprocessing.Process, folder: Path, seconds: float) -> bool:
    """Kill a process so long after a checkpoint of it or of its forerunners is there; whether it was still alive."""
    (folder / "begun").unlink(missing_ok=True)
    process.start()
    while process.is_alive() and not ((folder / "begun").exists() and any(folder.glob("*.checkpoint"))):
        time.sleep(0.005)
    process.join(seconds)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


@pytest.mark.slow
class TestKill:
    @pytest.mark.parametrize("chance", [0, 1, 2])
    def test_at_random_moments_leaves_the_bits_of_an_undisturbed_training(self, processes, tmp_path, chance):
        fit(make_runs(["soft"], steps=1))  # what the first step of a process imports is not part of the measure
        whole, begun = make_runs(NAMES, steps=STEPS), time.monotonic()
        fit(whole)
        length = time.monotonic() - begun
        moments, kills, answer = random.Random(chance), 0, tmp_path / "answer"
        while True:
            process = processes.Process(target=victim.train, args=(NAMES, STEPS, tmp_path, answer))
            if not killed(process, tmp_path, moments.uniform(0, length / 2)):
                break
            kills += 1
            assert kills < 200, "no progress from one start to the next"
        assert process.exitcode == 0
        found = json.loads(answer.read_text())
        assert {name: bits for name, (bits, _) in found.items()} == {run.name: digest(run) for run in whole}
        assert kills and max(resumed for _, resumed in found.values()) > 0
        assert not list(tmp_path.glob("*.checkpoint*"))
