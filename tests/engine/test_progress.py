"""A bar on a terminal, lines in a log, silence where nobody reads."""

import io
import re
import sys

import pytest
from zoo import make_run

from kdcore.engine import fit
from kdcore.engine.progress import Lines, duration, is_quiet, reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def read(monkeypatch):
    """Somebody reads: no CI, no notebook around these tests."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setenv("TERM", "xterm")


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


class TestReporter:
    def test_on_a_terminal_a_bar_moves_and_goes(self, read):
        terminal = Terminal()
        with reporter("soft [bold]", stream=terminal) as progress:
            for done in range(0, 1001, 100):
                progress(done, 1000)
        said = terminal.getvalue()
        assert "soft [bold]" in said and "1000/1000" in said
        assert said.rstrip().endswith("\x1b[2K")  # the last thing written clears the line

    def test_elsewhere_it_says_a_line_now_and_then(self, read):
        log, clock = io.StringIO(), Clock()
        with reporter("soft", stream=log, every_seconds=30, now=clock) as progress:
            for clock.time in range(0, 100, 7):
                progress(int(10 * clock.time), 1000)
            clock.time = 100
            progress(1000, 1000)
        assert log.getvalue().splitlines() == [
            "soft: 350 of 1,000 steps, 65 s left",
            "soft: 700 of 1,000 steps, 30 s left",
            "soft: 1,000 steps in 2 min",
        ]

    def test_of_a_short_training_nothing_is_said_there(self, read):
        log, clock = io.StringIO(), Clock()
        with reporter("soft", stream=log, now=clock) as progress:
            for clock.time in range(20):
                progress(int(clock.time), 20)
            progress(20, 20)
        assert log.getvalue() == ""

    def test_a_line_needs_no_step_to_be_done(self, read):
        log, clock = io.StringIO(), Clock()
        lines = Lines("soft", log, 30, clock)
        clock.time = 40
        lines(0, 10)
        assert log.getvalue() == "soft: 0 of 10 steps\n"

    @pytest.mark.parametrize("where", ["CI", "JPY_PARENT_PID", "ipykernel"])
    def test_in_ci_and_in_notebooks_it_is_quiet(self, read, monkeypatch, where):
        assert not is_quiet()
        if where == "ipykernel":
            monkeypatch.setitem(sys.modules, "ipykernel", sys)
        else:
            monkeypatch.setenv(where, "1")
        terminal = Terminal()
        with reporter("soft", stream=terminal) as progress:
            assert progress is None and is_quiet()
        assert terminal.getvalue() == ""

    def test_speaks_to_stderr_and_never_to_stdout(self, read, capsys):
        with reporter("soft", every_seconds=0) as progress:
            progress(1, 10)
        said = capsys.readouterr()
        assert said.out == "" and re.fullmatch(r"soft: 1 of 10 steps, \d+ s left\n", said.err)

    def test_a_training_can_tell_it(self, read, world):
        log = io.StringIO()
        with reporter("soft", stream=log, every_seconds=0) as progress:
            fit([make_run("soft", world)], progress=progress)
        lines = log.getvalue().splitlines()
        assert re.fullmatch(r"soft: \d+ of 14 steps, \d+ s left", lines[0])
        assert re.fullmatch(r"soft: 14 steps in \d+ s", lines[-1])

    def test_ends_when_a_training_breaks_off(self, read):
        terminal = Terminal()
        with pytest.raises(ZeroDivisionError), reporter("soft", stream=terminal) as progress:
            progress(1, 10)
            raise ZeroDivisionError
        assert terminal.getvalue().rstrip().endswith("\x1b[2K")


class TestDuration:
    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (3570, "1 h 0 min"), (3600 * 25.5, "25 h 30 min")],
    )
    def test_is_no_finer_than_is_of_use(self, seconds, words):
        assert duration(seconds) == words
