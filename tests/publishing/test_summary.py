"""What `make book` says: while it runs, at the end, and when the request cannot be served."""

import io
from pathlib import Path

import pytest
from clones import clone, notebook

from kdcore.entry import Refusal
from kdcore.publishing import make_book
from kdcore.publishing.book import at_once, line
from kdcore.publishing.execution import Outcome
from kdcore.publishing.notebooks import Page
from kdcore.publishing.progress import Progress
from kdcore.publishing.project import Project, Source
from kdcore.publishing.teachers import teachers_of

DONE = Outcome("01_one", done=True, seconds=40.2, core_seconds=31.04, import_seconds=6.0)


def page(state, outcome=DONE, budget=25.0):
    return Page(Source(Path("01_one.ipynb")), state, budget=budget, outcome=outcome)


class TestLine:
    def test_work_stands_against_its_budget_and_imports_apart(self):
        told = " ".join(line(page("ran", budget=30.0)).split())
        assert told == "01_one ran 25.0 of 30 core-seconds, imports 6.0 more"

    def test_what_went_over_is_marked(self):
        assert line(page("ran", budget=25.0)).endswith("OVER")
        assert "OVER" not in line(page("ran", budget=None))

    def test_a_failure_names_its_cell_its_error_and_the_partial_notebook(self):
        failed = Outcome(
            "01_one", done=False, reason="KeyError: 'x'", cell="code cell 3, `y = x`", partial="partial/01.ipynb"
        )
        assert line(page("failed", failed)).endswith(
            "code cell 3, `y = x`: KeyError: 'x'; partial notebook: partial/01.ipynb"
        )

    def test_a_notebook_that_was_not_asked_for_says_so(self):
        assert line(page("left out", None)).endswith("no result yet, its page says so")

    def test_noise_is_counted(self):
        noisy = Outcome("01_one", done=True, warnings=3)
        assert line(page("ran", noisy)).endswith("3 lines on stderr")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_without_a_terminal_there_is_one_line_a_notebook(self):
        stream = io.StringIO()
        progress = Progress(2, stream)
        progress.started("01_one")
        progress.reached("01_one", 3, 40)
        progress.waiting()
        progress.ended(DONE)
        assert stream.getvalue() == "notebooks: 01_one done after 40 s, 1 of 2\n"

    def test_on_a_terminal_a_line_moves(self):
        stream = Terminal()
        progress = Progress(2, stream)
        progress.started("01_one")
        progress.reached("01_one", 3, 40)
        progress.waiting()
        assert stream.getvalue().startswith("\r\x1b[K0 of 2 done")
        assert stream.getvalue().endswith("01_one 3/40")

    def test_a_failure_is_told_at_once(self):
        stream = io.StringIO()
        Progress(1, stream).ended(Outcome("01_one", done=False, reason="ValueError: no", cell="code cell 2, `x`"))
        assert "01_one FAILED (code cell 2, `x`)" in stream.getvalue()


class TestRequest:
    def test_an_unknown_profile_is_refused_with_the_nearest(self, tmp_path):
        with pytest.raises(Refusal, match=r"unknown profile 'quik', .* the nearest is 'quick'"):
            make_book("quik", root=tmp_path)

    def test_a_device_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(Refusal, match="device 'cuda:99' is not there"):
            make_book("smoke", "cuda:99", root=tmp_path)

    def test_missing_tools_are_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr("kdcore.publishing.book.TOOLS", ("papermill", "no_such_tool"))
        with pytest.raises(Refusal, match="the book needs no_such_tool: make environment"):
            make_book("smoke", root=tmp_path)

    def test_an_unknown_notebook_is_refused_before_anything_runs(self, tmp_path):
        root = clone(tmp_path, **{"01_one": notebook("x = 1")})
        with pytest.raises(Refusal, match="unknown notebook '02_two'"):
            make_book("smoke", notebooks="02_two", root=root)
        assert not (root / "_build").exists()

    def test_an_accelerator_is_not_shared(self):
        assert at_once("cuda:1") == 1
        assert at_once("cpu") >= 1


class TestTeachers:
    def source(self, tmp_path, *cells):
        root = clone(tmp_path, **{"01_one": notebook(*cells)})
        return Project(root).notebooks()

    def test_those_that_a_named_experiment_learns_from_are_found(self, tmp_path):
        sources = self.source(tmp_path, 'records = run("response", profile=profile)')
        assert teachers_of(sources, "quick") == ["digits-teacher"]

    def test_a_notebook_without_experiments_needs_none(self, tmp_path):
        assert teachers_of(self.source(tmp_path, "x = 1"), "quick") == []

    def test_a_profile_without_that_teacher_asks_for_none(self, tmp_path):
        assert "digits-teacher" not in teachers_of(self.source(tmp_path, 'run("response")'), "paper")
