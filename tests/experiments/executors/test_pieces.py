"""What is sent away and what comes back, without anything between: the bits are those of a run that stayed here."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdcore.entry import Refusal
from kdcore.experiments import get
from kdcore.experiments.executors import pieces
from kdcore.experiments.hashing import same_run
from kdcore.experiments.inputs import Inputs
from kdcore.experiments.requests import Request
from kdcore.experiments.running import carry_out
from kdcore.experiments.store import Store


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Path:
    """Where pieces are made during this test, as on another machine."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "elsewhere"))
    return pieces.scratch()


@pytest.fixture
def request_():
    return Request.of(get("response"), "smoke", methods=["student", "kd"], seeds=[0], overrides={"recipe.steps": 6})


def sent(request: Request, store: Store, **changes) -> pieces.Piece:
    """A piece as it arrives."""
    inputs = Inputs(request, store)
    options = {"until": None, "retry": False, "save_every": 30.0} | changes
    piece = pieces.piece_of([inputs.planned(run) for run in request.runs()], request, store, **options)
    return pickle.loads(pickle.dumps(piece))


class TestMake:
    def test_what_comes_back_has_the_bits_of_runs_that_stayed(self, request_, with_teacher, tmp_path):
        made = pieces.make(sent(request_, Store()))
        pieces.put_down(made.files, Store())
        shutil.copytree(with_teacher / "digits-teacher", tmp_path / "here" / "digits-teacher")
        stayed = carry_out(request_, Store(tmp_path / "here")).records
        came = {record["hash"]: record for record in Store().read("response")}
        assert len(came) == len(stayed) == 2 and not made.stopped
        assert all(same_run(came[one["hash"]], one) for one in stayed)

    def test_the_teacher_goes_along_and_nothing_stays_there(self, request_, with_teacher, scratch):
        piece = sent(request_, Store())
        assert sorted({(experiment, kind) for experiment, _, kind in piece.files}) == [
            ("digits-teacher", "jsonl"),
            ("digits-teacher", "safetensors"),
        ]
        made = pieces.make(piece)
        assert {experiment for experiment, _, _ in made.files} == {"response"} and list(scratch.iterdir()) == []

    def test_a_network_that_a_row_keeps_comes_home(self, own_store):
        request = Request.of(get("digits-teacher"), "smoke", overrides={"recipe.steps": 2})
        made = pieces.make(sent(request, Store()))
        assert {kind for _, _, kind in made.files} == {"jsonl", "safetensors"}
        pieces.put_down(made.files, Store())
        assert Inputs(request, Store()).whole(Store().read("digits-teacher")[0])

    def test_a_budget_that_is_spent_sends_back_what_can_be_resumed(self, request_, with_teacher, monkeypatch):
        asked = []
        with monkeypatch.context() as late:
            late.setattr(
                "kdcore.experiments.running._deadline", lambda end: lambda: len(asked) > 6 or asked.append(end)
            )
            made = pieces.make(sent(request_, Store(), until=0.0))
        assert made.stopped and {kind for _, _, kind in made.files} == {"checkpoint"} and len(made.files) == 2
        pieces.put_down(made.files, Store())
        again = pieces.make(sent(request_, Store()))
        pieces.put_down(again.files, Store())
        assert {record["provenance"]["resumed"] for record in Store().read("response")} == {1}

    def test_the_next_attempt_finds_what_a_killed_one_left(self, request_, with_teacher, monkeypatch):
        piece = sent(request_, Store())
        with monkeypatch.context() as killed:
            killed.setattr(pieces.shutil, "rmtree", lambda *_, **__: None)
            first = pieces.make(piece)
        work = []
        monkeypatch.setattr("kdcore.experiments.lockstep.Company.run", lambda self, planned: work.append(planned))
        assert pieces.make(piece).files == first.files and work == []

    def test_a_machine_with_other_code_or_data_says_so_and_makes_nothing(self, request_, with_teacher):
        piece = sent(request_, Store())
        other = replace(piece, marks=dict.fromkeys(piece.marks, "f" * 16))
        with pytest.raises(Refusal, match=r"calls response: student, seed 0 \w+ and not f+: its code, its data or"):
            pieces.make(other)


class TestPiece:
    def test_the_same_runs_of_the_same_store_get_the_same_place(self, request_, with_teacher, tmp_path):
        one, two = sent(request_, Store()), sent(request_, Store())
        other = sent(replace(request_, seeds=(1,)), Store())
        assert one.name == two.name != other.name

    def test_a_row_of_its_own_table_may_be_the_teacher(self, own_store):
        """Then teacher and students are parts of the same request, under its changes."""
        from kdcore.experiments.types import Experiment, Profile, Row

        taught = {"methods": [["kd", {}]], "teacher": {"experiment": "pair", "row": "teacher", "seed": 0}}
        base = {"data": "digits-100", "student": "digits-student", "teacher": None}
        rows = (Row("teacher", keep=True), Row("kd", settings=taught))
        pair = Experiment("pair", "Two", rows, (0,), {"smoke": Profile({"steps": 3, "learning_rate": 0.1}, base)})
        request = Request.of(pair, "smoke", methods=["kd"], overrides={"recipe.steps": 2})
        carry_out(replace(request, rows=(rows[0],)), Store())
        made = pieces.make(sent(request, Store()))
        assert [kind for _, _, kind in made.files] == ["jsonl"]
