"""Notebooks executed for real, by papermill in processes of our own."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from clones import ROOT, cell, clone, notebook, write

from kdcore.publishing import notebooks, pool
from kdcore.publishing.notebooks import Execution, Ledger
from kdcore.publishing.progress import Progress
from kdcore.publishing.project import Project
from kdcore.publishing.teachers import prepare

pytestmark = pytest.mark.slow

STOPS = {
    "01_good": notebook("print(profile, device)", cell("## Told {zh}`说`", kind="markdown"), "6 * 7"),
    "02_raises": notebook("fine = 1", "# a comment\nfine / (fine - 1)", "print('never')"),
    "03_exits": notebook("import sys; sys.exit(0)", "print('never')"),
    "04_dies": notebook("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
    "05_bare": notebook("x = 1", parameters=None),
    "06_other": notebook("x = 1", parameters='device = "cpu"'),
}


@pytest.fixture(scope="module", autouse=True)
def still():
    """The surroundings stay the same while these tests run, also when somebody saves a file of the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks, "surroundings", lambda project: "")
        yield


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Every way to stop, in one go: the clone and what became of each notebook."""
    project = Project(clone(tmp_path_factory.mktemp("stops"), **STOPS))
    (project.sources / "07_broken.ipynb").write_text("{")
    return project, {page.source.name: page for page in Execution(project, "smoke", "cpu").run("", 2)}


class TestOrder:
    def test_the_longest_come_first_after_those_that_must_be_early(self, tmp_path, monkeypatch):
        made = {name: notebook("x = 1") for name in ("01_early", "02_middle", "03_long", "04_longest")}
        made["01_early"]["metadata"]["kdcore"]["early"] = True
        made["04_longest"]["metadata"]["kdcore"]["measured"] = {"quick": 90}
        made["03_long"]["metadata"]["kdcore"]["budget"] = {"quick": 60}
        project, begun = Project(clone(tmp_path, **made)), []
        monkeypatch.setattr(pool, "execute", lambda jobs, at_once, progress: begun.extend(jobs) or [])
        Execution(project, "quick", "cpu").run("", 1)
        assert [job.name for job in begun] == ["01_early", "04_longest", "03_long", "02_middle"]


class TestEveryWayToStop:
    def test_the_others_still_run(self, stopped):
        assert stopped[1]["01_good"].state == "ran"
        assert {page.state for name, page in stopped[1].items() if name != "01_good"} == {"failed"}

    @pytest.mark.parametrize(
        ("name", "cell", "reason"),
        [
            ("02_raises", "code cell 3, `fine / (fine - 1)`", "ZeroDivisionError: division by zero"),
            ("03_exits", "code cell 2, `import sys; sys.exit(0)`", "sys.exit was called"),
            ("04_dies", "code cell 2, `import os, signal", "the kernel died"),
            ("05_bare", "", "needs one code cell tagged 'parameters'"),
            ("06_other", "", "must begin with profile, device"),
            ("07_broken", "", "is no notebook"),
        ],
    )
    def test_the_failing_cell_and_its_error_are_named(self, stopped, name, cell, reason):
        outcome = stopped[1][name].outcome
        assert outcome.cell.startswith(cell)
        assert bool(outcome.cell) == bool(cell)
        assert reason in outcome.reason

    def test_the_page_of_a_failure_shows_a_notice_and_no_results(self, stopped):
        page = json.loads((stopped[0].executed / "02_raises.ipynb").read_text())
        (only,) = page["cells"]
        assert "# A chapter" in only["source"]
        assert "ZeroDivisionError: division by zero" in only["source"]

    def test_the_partial_notebook_is_kept_with_what_had_run(self, stopped):
        partial = json.loads(Path(stopped[1]["02_raises"].outcome.partial).read_text())
        counts = [one["execution_count"] for one in partial["cells"] if one["cell_type"] == "code"]
        assert counts.count(None) == 1

    def test_a_result_shows_the_values_that_were_used(self, stopped):
        cells = json.loads((stopped[0].executed / "01_good.ipynb").read_text())["cells"]
        assert "".join(cells[1]["source"]).startswith("profile = 'smoke'  # smoke, quick, short, paper\n")
        assert cells[2]["outputs"][0]["text"] == ["smoke cpu\n"]

    def test_a_result_says_how_it_was_made(self, stopped):
        made = json.loads((stopped[0].executed / "01_good.ipynb").read_text())["metadata"]["kdcore"]["made"]
        assert made["parameters"] == {"profile": "smoke", "device": "cpu"}
        assert made["source"] == "notebooks/01_good.ipynb"
        assert "PROFILE=smoke" in made["command"]

    def test_the_kernels_time_is_counted_and_its_start_set_apart(self, stopped):
        outcome = stopped[1]["01_good"].outcome
        assert 0 < outcome.import_seconds <= outcome.core_seconds

    def test_what_failed_is_tried_again_and_what_succeeded_is_not(self, stopped, monkeypatch):
        project, _ = stopped
        asked = []
        monkeypatch.setattr(pool, "execute", lambda jobs, *_: asked.extend(job.name for job in jobs) or ())
        Execution(project, "smoke", "cpu").run("", 2)
        assert asked == ["02_raises", "03_exits", "04_dies", "05_bare", "06_other"]


class TestUpToDate:
    @pytest.fixture(scope="class")
    @staticmethod
    def executed(tmp_path_factory):
        project = Project(clone(tmp_path_factory.mktemp("again"), **{"01_one": notebook("import os\nobject()")}))
        (page,) = Execution(project, "smoke", "cpu").run("", 1)
        return project, page

    def state(self, project, profile="smoke"):
        return Execution(project, profile, "cpu").run("", 1)[0].state

    def test_an_unchanged_notebook_starts_no_process(self, executed, monkeypatch):
        monkeypatch.setattr(pool, "Worker", None)
        assert executed[1].state == "ran"
        assert self.state(executed[0]) == "up to date"

    def test_an_execution_that_says_the_same_is_the_same_file(self, executed):
        project, _ = executed
        before = (project.executed / "01_one.ipynb").read_bytes()
        (project.work / "smoke-cpu" / "ledger.json").unlink()
        assert self.state(project) == "ran"
        assert (project.executed / "01_one.ipynb").read_bytes() == before

    def test_a_result_that_was_touched_is_not_trusted(self, executed):
        project, _ = executed
        with open(project.work / "smoke-cpu" / "01_one.ipynb", "a") as file:
            file.write(" ")
        assert self.state(project) == "ran"

    def test_another_profile_leaves_it_alone(self, executed, monkeypatch):
        project, _ = executed
        assert self.state(project, "quick") == "ran"
        monkeypatch.setattr(pool, "Worker", None)
        assert self.state(project, "smoke") == self.state(project, "quick") == "up to date"

    def test_what_was_not_asked_for_keeps_its_older_page(self, executed):
        project, _ = executed
        write(project.root, "02_two", notebook("x = 2"))
        one = json.loads((project.sources / "01_one.ipynb").read_text())
        one["cells"][-1]["source"] = "changed = True"
        (project.sources / "01_one.ipynb").write_text(json.dumps(one))
        pages = {page.source.name: page.state for page in Execution(project, "smoke", "cpu").run("02_two", 1)}
        assert pages == {"01_one": "older", "02_two": "ran"}
        assert "object" in (project.executed / "01_one.ipynb").read_text()


class TestLedger:
    @pytest.mark.parametrize("text", [None, "", "{", "[]"])
    def test_one_that_cannot_be_read_knows_nothing(self, tmp_path, text):
        path = tmp_path / "ledger.json"
        if text is not None:
            path.write_text(text)
        assert Ledger.read(path).rows == {}


class TestWatchdog:
    def test_a_notebook_that_takes_too_long_is_stopped_and_the_next_one_runs(self, tmp_path):
        project = Project(clone(tmp_path, **{"01_slow": waits(tmp_path / "pid"), "02_next": notebook("x = 2")}))
        execution = Execution(project, "smoke", "cpu")
        slow, following = (execution.job(source) for source in project.notebooks())
        jobs = [replace(slow, seconds=1), following]
        outcomes = {one.name: one for one in pool.execute(jobs, 1, Progress(2, io.StringIO()))}
        assert outcomes["02_next"].done
        assert outcomes["01_slow"].reason == "took longer than 1 s and was stopped"

    def test_a_cell_that_takes_too_long_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(notebooks.PATIENCE, "smoke", (3, 100))
        project = Project(clone(tmp_path, **{"01_slow": notebook("import time\ntime.sleep(300)")}))
        (page,) = Execution(project, "smoke", "cpu").run("", 1)
        assert page.outcome.cell == "code cell 2, `import time`"
        assert page.outcome.reason == "took longer than 3 s and was stopped"


BOOK = "import signal, sys; from pathlib import Path; from kdcore.publishing import make_book"
# A shell starts what it puts in the background with SIGINT ignored, and whatever that starts inherits it.
BOOK += "; signal.signal(signal.SIGINT, signal.default_int_handler)"
BOOK += "; sys.exit(make_book('smoke', root=Path(sys.argv[1])))"


def waits(note):
    return notebook(f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)")


def alive(pid):
    """Whether a process still does anything; one that nobody has collected yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


class TestPreparation:
    def test_what_is_to_be_done_beside_is_done_in_a_process_of_its_own(self, tmp_path):
        calls = [partial(note_process, tmp_path / name) for name in ("one", "two")]
        prepare("smoke", "cpu", [], at_once=2, beside=calls)
        found = {(tmp_path / name).read_text() for name in ("one", "two")}
        assert len(found) == 2 and str(os.getpid()) not in found


def note_process(path: Path) -> None:
    path.write_text(str(os.getpid()))


class TestInterruption:
    @pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
    def test_no_kernel_outlives_the_command(self, tmp_path, how, status):
        note = tmp_path / "pid"
        root = clone(tmp_path, **{"01_waits": waits(note)})
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = subprocess.Popen(
            [sys.executable, "-c", BOOK, root], env=environment, stderr=subprocess.PIPE, text=True
        )
        until(lambda: note.is_file() and note.read_text())
        kernel = int(note.read_text())
        assert alive(kernel)
        command.send_signal(how)
        said = command.communicate(timeout=60)[1]
        assert command.returncode == status
        assert "Traceback" not in said
        until(lambda: not alive(kernel))

    def test_no_training_of_a_teacher_does_either(self, tmp_path):
        keys = "['text-teacher', 'digits-vit-teacher']"
        code = f"from kdcore.publishing.teachers import prepare; prepare('quick', 'cpu', {keys}, at_once=2)"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "KDCORE_RUNS": str(tmp_path)}
        command = subprocess.Popen([sys.executable, "-c", code], env=environment)
        until(lambda: len({path.parent for path in tmp_path.rglob("*.lock")}) == 2)  # both train
        children = subprocess.run(["pgrep", "-P", str(command.pid)], capture_output=True, text=True).stdout.split()
        command.kill()
        command.wait()
        assert children
        until(lambda: not any(alive(int(child)) for child in children))
