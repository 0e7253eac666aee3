"""The runner with rows that compute a number, so that nothing but the runner is tried."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from kdcore.entry import Refusal
from kdcore.experiments import plan
from kdcore.experiments.requests import Request
from kdcore.experiments.running import carry_out, check_device, run
from kdcore.experiments.store import Store, read


class TestRun:
    def test_gives_the_records_by_row_and_seed(self, measured):
        records = run(measured(2.0, 1.0))
        assert [(record["row"], record["seed"]) for record in records] == [
            ("row-2", 0),
            ("row-2", 1),
            ("row-1", 0),
            ("row-1", 1),
        ]
        assert records[1]["last"] == {"number": 2.0 + 1 / 7} and {record["origin"] for record in records} == {"local"}

    def test_runs_only_what_the_store_lacks(self, measured):
        run(measured(1.0))
        before = len(measured.calls)
        run(measured(1.0, 2.0))
        assert measured.calls[before:] == [(2.0, 0), (2.0, 1)]

    def test_another_profile_is_another_run(self, measured):
        run(measured(1.0))
        (record, _) = run(measured(1.0), "smoke")
        assert record["profile"] == "smoke" and len(measured.calls) == 4

    def test_the_same_run_of_another_experiment_is_taken_over(self, measured):
        (first, *_) = run(measured(1.0))
        before = len(measured.calls)
        (taken, *_) = run(measured(1.0, key="another"))
        assert len(measured.calls) == before
        assert taken["experiment"] == "another" and taken["hash"] == first["hash"] and taken["last"] == first["last"]
        assert taken["provenance"]["taken_from"] == "standin: row-1"

    def test_a_row_that_was_renamed_keeps_its_runs(self, measured):
        experiment = measured(1.0)
        (before, *_) = run(experiment)
        (after, *_) = run(replace(experiment, rows=(replace(experiment.rows[0], key="renamed"),)))
        assert after["row"] == "renamed" and after["hash"] == before["hash"] and len(measured.calls) == 2
        assert {record["row"] for record in read("standin")} == {"renamed"}

    def test_a_changed_row_that_equals_another_does_not_take_its_name(self, measured):
        experiment = measured(1.0, 2.0)
        run(experiment)
        (variant, _) = run(experiment, methods=["row-1"], overrides={"row-1.value": 2.0})
        assert variant["row"] == "row-1" and variant["last"] == {"number": 2.0} and len(measured.calls) == 4
        assert [record["row"] for record in read("standin")].count("row-2") == 2

    def test_two_runs_differ_in_provenance_alone(self, measured, tmp_path):
        one, two = (run(measured(1.0), records=tmp_path / name)[0] for name in ("a", "b"))
        assert one["provenance"] != two["provenance"]
        assert {k: v for k, v in one.items() if k != "provenance"} == {
            k: v for k, v in two.items() if k != "provenance"
        }

    def test_a_damaged_record_is_made_again(self, measured, own_store, caplog):
        (record, *_) = run(measured(1.0))
        path = own_store / "standin" / f"{record['hash']}.jsonl"
        path.write_text(path.read_text()[:40])
        (again, *_) = run(measured(1.0))
        assert again["last"] == record["last"] and read("standin").problems == ()
        assert any(str(path) in message for message in caplog.messages)

    def test_its_records_have_the_fields_that_readers_rely_on(self, measured):
        record = run(measured(1.0))[0]
        fields = {"experiment", "row", "method", "seed", "profile", "status", "hash", "revision", "promise", "last"}
        assert fields <= set(record)
        made = {"versions", "commit", "host", "started", "finished", "seconds", "core_seconds", "resumed"}
        assert made <= set(record["provenance"])

    def test_the_plan_is_left_in_the_store(self, measured):
        records = run(measured(1.0))
        assert plan.wanted(plan.load(Store(), "standin")) == {record["hash"] for record in records}


class TestFailure:
    def test_a_number_that_is_none_is_a_failed_run_and_the_others_go_on(self, measured):
        records = run(measured(float("1e308"), 1.0))
        assert [record["status"] for record in records] == ["done"] * 4
        sys.modules["standin"].number = lambda seed, value=0.0, **_: {
            "deep": {"number": float("nan") if value > 2 else 1.0}
        }
        failed, _, fine, _ = run(measured(3.0, 2.0))
        assert failed["status"] == "failed" and fine["status"] == "done"
        assert failed["failure"] == {"stage": "result", "step": None, "term": "last.deep.number",
                                     "reason": "last.deep.number is not finite"}  # fmt: skip

    def test_is_kept_until_it_is_to_be_tried_again(self, measured):
        good, experiment = sys.modules["standin"].number, measured(3.0)
        sys.modules["standin"].number = lambda **_: {"number": float("inf")}
        request = Request.of(experiment)
        assert carry_out(request).status == 1
        sys.modules["standin"].number = good
        assert carry_out(request).status == 1 and measured.calls == []
        again = carry_out(request, retry=True)
        assert again.status == 0 and len(measured.calls) == 2

    def test_retrying_tries_once(self, measured):
        calls = []
        sys.modules["standin"].number = lambda **_: calls.append(1) or {"number": float("inf")}
        carry_out(Request.of(measured(3.0)))
        found = carry_out(Request.of(measured(3.0)), retry=True)
        assert found.status == 1 and len(calls) == 4
        assert found.lacking[0] == "row-3, seed 0 failed at stage result, step None: last.number is not finite"


class TestBudget:
    def test_stops_cleanly_and_the_same_request_goes_on(self, measured):
        request = Request.of(measured(1.0, 2.0))
        found = carry_out(request, budget=0.0)
        assert found.status == 3 and found.stopped and found.records == [] and found.asked == 4
        assert carry_out(request).status == 0

    def test_a_budget_that_is_enough_is_not_noticed(self, measured):
        assert carry_out(Request.of(measured(1.0)), budget=60.0).status == 0


class TestDevice:
    @pytest.mark.parametrize("device", ["cudaa", "cuda:99", "meta:x", ""])
    def test_one_that_is_not_there_is_refused_with_those_that_are(self, device):
        with pytest.raises(Refusal, match=f"device '{device}' is not there, this machine has cpu"):
            check_device(device)

    def test_the_processor_is_there(self):
        assert check_device("cpu") is None


class TestStoreOnDisk:
    def test_only_records_and_the_plan_remain(self, measured, own_store):
        records = run(measured(1.0))
        names = {path.name for path in (own_store / "standin").iterdir()}
        assert names == {f"{record['hash']}.jsonl" for record in records} | {"plan.json", "plan.lock"}
        plans = json.loads((own_store / "standin" / "plan.json").read_text())
        assert plans["quick on cpu"]["runs"]["row-1, seed 0"] == records[0]["hash"]
