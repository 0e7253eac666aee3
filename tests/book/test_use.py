"""The blocks of "Use one loss" do what the page says, each executed as it stands."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "use.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
LOSS, METHOD, PROCESSES, LANGUAGE = FENCE.findall(PAGE)
(README,) = FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))

# Lets a program import the standard library, ours, and what is named after it on the command line; nothing else.
GUARD = """import importlib.machinery, runpy, sys
program, *names = sys.argv[1:]
allowed = {"kdcore", *names, *sys.stdlib_module_names}

class Known(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        return super().find_spec(name, path, target) if top in allowed or top.startswith("_") else None

sys.meta_path[:] = [Known if one is importlib.machinery.PathFinder else one for one in sys.meta_path]
runpy.run_path(program, run_name="__main__")
assert "torchvision" not in sys.modules and "numpy" not in sys.modules
"""


def modules_of(*distributions):
    """Top-level modules of distributions and of all that they need in this environment."""
    waiting, known = list(distributions), set()
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in known:
            continue
        known.add(name)
        try:
            needed = map(Requirement, importlib.metadata.requires(name) or ())
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    homes = importlib.metadata.packages_distributions()
    return sorted(top for top, names in homes.items() if known & {one.lower().replace("_", "-") for one in names})


def program(folder, text, *arguments, guard=None):
    """Run a block as a user does: in a file of its own, in a folder of its own."""
    (folder / "block.py").write_text(text)
    words = [str(folder / "block.py"), *arguments]
    if guard is not None:
        (folder / "guard.py").write_text(GUARD)
        words = [str(folder / "guard.py"), words[0], *guard]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestLoss:
    @pytest.mark.parametrize("block", [LOSS, README], ids=["page", "readme"])
    def test_it_runs_where_there_is_torch_and_nothing_else(self, tmp_path, block):
        done = program(tmp_path, block, guard=modules_of("torch"))
        assert done.returncode == 0, done.stderr

    def test_the_guard_would_stop_anything_else(self, tmp_path):
        done = program(tmp_path, "import pandas", guard=modules_of("torch"))
        assert done.returncode == 1
        assert "No module named 'pandas'" in done.stderr

    def test_its_loop_has_at_most_ten_lines(self):
        loop = LOSS[LOSS.index("for images") :]
        assert len(loop.splitlines()) <= 10

    @pytest.mark.slow  # torch's optimisers bring its compiler
    def test_only_the_student_learns(self):
        names = {}
        exec(LOSS, names)
        assert all(value.grad is None for value in names["teacher"].parameters())
        assert all(value.grad is not None for value in names["student"].parameters())


class TestMethod:
    @pytest.mark.slow
    def test_it_wraps_builds_learns_logs_saves_and_loads(self, here, capsys):
        names = {}
        exec(METHOD, names)
        assert re.findall(r"\{'task': [\d.]+, 'hint': [\d.]+\}", capsys.readouterr().out).__len__() == 2
        assert {path.name for path in here.iterdir()} == {"matching.pt", "student.pt"}
        assert not any(value.requires_grad for value in names["teacher"].parameters())


class TestProcesses:
    @pytest.mark.slow
    def test_two_processes_end_with_one_set_of_weights_and_losses_in_float32(self, tmp_path):
        done = program(tmp_path, PROCESSES, str(tmp_path / "meeting"))
        assert done.returncode == 0, done.stderr
        told = re.findall(r"rank (\d): loss torch.float32, weights sum to (-?\d+\.\d{6})", done.stdout)
        assert sorted(rank for rank, _ in told) == ["0", "1"]
        assert len({weights for _, weights in told}) == 1


class TestLanguage:
    def test_a_hugging_face_student_learns_its_teachers_tokens(self, here):
        pytest.importorskip("transformers", reason="the extra `transformers` is not installed")
        names = {}
        exec(LANGUAGE, names)
        assert all(value.grad is None for value in names["teacher"].parameters())
        assert names["match"].item() > 0


class TestPage:
    def test_every_block_of_python_is_one_of_these(self):
        assert len(FENCE.findall(PAGE)) == 4

    def test_what_it_tells_to_type_exists(self):
        from kdcore.catalogue import listed

        for key in re.findall(r"kdcore show (\S+?)`", PAGE):
            assert listed(key)
