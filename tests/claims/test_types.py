from __future__ import annotations

import subprocess
import sys

import pytest

from kdcore.claims import Claim, Verdict
from kdcore.experiments.types import Experiment, Row


def record(row: str, number: float, status: str = "done") -> dict:
    return {"row": row, "seed": 0, "status": status, "last": {"number": number}}


@pytest.fixture
def claim() -> Claim:
    def rule(records):
        return Verdict("supported" if records[0]["last"]["number"] > 0 else "contradicted", "the number says so")

    experiment = Experiment("numbers", "Numbers", (Row("row", "standin:number"),))
    return Claim("positive", "The number is positive", "a survey", "a number of at most 0", experiment, rule)


class TestVerdict:
    @pytest.mark.parametrize("word", ["supported", "contradicted", "undecided"])
    def test_is_one_of_three_words_with_a_reason(self, word):
        assert str(Verdict(word, "of three seeds")) == f"{word}: of three seeds"

    @pytest.mark.parametrize(
        ("word", "because", "says"),
        [
            ("proved", "x", "a verdict is supported, contradicted, undecided, got 'proved'"),
            ("supported", "", "needs a reason"),
        ],
    )
    def test_nothing_else_is_one(self, word, because, says):
        with pytest.raises(ValueError, match=says):
            Verdict(word, because)


class TestClaim:
    def test_its_rule_reads_the_records(self, claim):
        assert claim.verdict([record("row", 1.0)]).word == "supported"
        assert claim.verdict([record("row", -1.0)]).word == "contradicted"

    def test_a_failed_run_leaves_it_undecided(self, claim):
        verdict = claim.verdict([record("row", 1.0), record("other", 0.0, "failed")])
        assert verdict == Verdict("undecided", "1 of 2 runs failed: other (seed 0)")

    def test_judging_runs_what_is_lacking(self, claim, monkeypatch):
        asked = []

        def run(experiment, **options):
            asked.append((experiment.key, options))
            return [record("row", 1.0)]

        monkeypatch.setattr("kdcore.experiments.run", run)
        assert claim.judge("smoke", "cpu", seeds=[0]).word == "supported"
        assert asked == [("numbers", {"profile": "smoke", "device": "cpu", "seeds": [0]})]


def test_the_types_load_no_torch():
    code = "import sys; import kdcore.claims; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
