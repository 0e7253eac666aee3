"""Killed with SIGKILL at random moments and started again: the bits of an undisturbed training."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from proof import digest
from zoo import make_runs

from kdcore.engine import fit

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
STEPS = 80
NAMES = ("bank", "critic", "hints", "two-peers", "invented", "rounds", "cadence", "words", "half")

CHILD = """
import json, sys
sys.path[:0] = [{here!r}, {root!r}]
from pathlib import Path
from proof import digest
from zoo import make_runs
from kdcore.engine import fit

folder = Path({folder!r})
(folder / "begun").touch()
runs = make_runs({names!r}, folder=folder, steps={steps})
fit(runs, every_seconds=0.02)
print(json.dumps({{run.name: [digest(run), run.resumed] for run in runs}}))
"""


def started(folder: Path) -> subprocess.Popen:
    code = CHILD.format(here=str(HERE), root=str(ROOT), folder=str(folder), names=NAMES, steps=STEPS)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def killed(process: subprocess.Popen, folder: Path, seconds: float) -> bool:
    """Kill a process so long after its training has begun; whether it was still alive."""
    while process.poll() is None and not (folder / "begun").exists():
        time.sleep(0.01)
    (folder / "begun").unlink(missing_ok=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


@pytest.mark.slow
class TestKill:
    @pytest.mark.parametrize("chance", [0, 1])
    def test_at_random_moments_leaves_the_bits_of_an_undisturbed_training(self, tmp_path, chance):
        whole = make_runs(NAMES, steps=STEPS)
        fit(whole)
        moments, kills = random.Random(chance), 0
        while killed(process := started(tmp_path), tmp_path, moments.uniform(0.3, 2.0)):
            kills += 1
            assert kills < 60, "no progress from one start to the next"
        found = json.loads(process.stdout.read())
        assert process.returncode == 0 and kills
        assert {name: bits for name, (bits, _) in found.items()} == {run.name: digest(run) for run in whole}
        assert max(resumed for _, resumed in found.values()) > 0
        assert not list(tmp_path.glob("*.checkpoint*"))
