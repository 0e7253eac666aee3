from __future__ import annotations

import sys

import pytest

from kdcore.experiments.narration import Narrator, outcome

RECORD = {"experiment": "response", "row": "kd", "seed": 3, "status": "done", "last": {"accuracy": 0.94516}}
FAILURE = {"stage": "main", "step": 7, "term": "student/kd", "reason": "student/kd is not finite"}


class TestNarrator:
    def test_a_line_for_every_run_on_stderr(self, capsys):
        narrator = Narrator()
        narrator.left = 2
        narrator.recorded(RECORD)
        narrator.recorded(RECORD | {"status": "failed", "failure": FAILURE})
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.splitlines() == [
            "response: kd, seed 3: accuracy 0.9452 (1 to go)",
            "response: kd, seed 3: failed at stage main, step 7: student/kd is not finite",
        ]

    def test_says_nothing_where_it_is_to_be_quiet(self, capsys):
        narrator = Narrator(quiet=True)
        narrator.recorded(RECORD)
        narrator.line("anything")
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(("terminal", "ci", "moves"), [(True, "", True), (True, "true", False), (False, "", False)])
    def test_bars_move_on_a_terminal_alone_and_never_in_ci(self, monkeypatch, terminal, ci, moves):
        monkeypatch.setenv("CI", ci)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        assert Narrator().moving is moves and Narrator(quiet=True).moving is False

    def test_where_nothing_moves_there_is_no_bar(self):
        with Narrator(quiet=True).bar("kd") as progress:
            assert progress is None

    def test_a_bar_takes_steps_and_lets_lines_through(self, monkeypatch, capsys):
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        narrator = Narrator()
        with narrator.bar("kd, dkd") as progress:
            progress(3, 10)
            narrator.line("in between")
        assert "in between" in capsys.readouterr().err and narrator._bar is None


class TestOutcome:
    def test_shows_three_numbers_at_most(self):
        assert outcome(RECORD | {"last": {name: 1.0 for name in "abcd"}}) == "a 1, b 1, c 1"

    def test_numbers_that_are_nested_are_left_to_tables(self):
        assert outcome(RECORD | {"last": {"norm": {"1": 2.0}}}) == "done"
