"""Commands that train and commands that read what came of it, on the digits with a few steps."""

from __future__ import annotations

import csv
import io
import json

import pytest

from kdcore.experiments.store import Store

SMOKE = ("--profile", "smoke", "--methods", "student,kd", "--seeds", "0")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A store with two finished runs and their teacher."""
    from kdcore.experiments import run

    folder = tmp_path_factory.mktemp("done")
    run("response", "smoke", methods=["student", "kd"], seeds=[0], records=folder)
    return folder


@pytest.fixture
def book(tmp_path, monkeypatch):
    folder = tmp_path / "book" / "records"
    for module in ("store", "records", "progress"):
        monkeypatch.setattr(f"kdcore.experiments.{module}.published_folder", lambda: folder)
    return folder


class TestRun:
    def test_results_go_to_stdout_and_everything_else_to_stderr(self, kdcore, own_store):
        answer = kdcore("run", "response", *SMOKE)
        assert answer.status == 0
        assert [line.split()[:2] for line in answer.out.splitlines()] == [["row", "n"], ["student", "1"], ["kd", "1"]]
        assert [line.partition(":")[0] for line in answer.err.splitlines()] == [
            "digits-teacher",
            "response",
            "response",
        ]
        assert len(Store(own_store).read("response")) == 2

    def test_what_is_there_is_not_run_again(self, kdcore, done):
        answer = kdcore("run", "response", *SMOKE, "--records", str(done))
        assert answer.status == 0 and answer.err == ""

    def test_changed_settings_make_other_records(self, kdcore, done):
        answer = kdcore("run", "response", *SMOKE, "--records", str(done), "--set", "kd.temperature=2")
        assert answer.status == 0 and answer.err.count("seed 0") == 1
        changed = [record for record in Store(done).read("response") if record["variant"]]
        assert [record["variant"] for record in changed] == [{"kd.temperature": 2}]

    def test_precision_makes_other_records(self, kdcore, done):
        words = ("run", "response", "--profile", "smoke", "--methods", "kd", "--seeds", "0", "--records", str(done))
        assert kdcore(*words, "--precision", "bfloat16").status == 0
        precisions = {record["recipe"]["precision"] for record in Store(done).read("response")}
        assert precisions == {"float32", "bfloat16"}

    def test_a_spent_budget_stops_cleanly(self, kdcore):
        answer = kdcore("run", "response", *SMOKE, "--budget", "0.001s")
        assert answer.status == 3
        assert answer.err == "stopped by the budget: 0 of 2 runs are done, the same command resumes\n"

    def test_a_failed_run_is_said_and_is_a_failure(self, kdcore, monkeypatch):
        from kdcore.losses.response.distillation import KD
        from kdcore.types import Term

        monkeypatch.setattr(KD, "losses", lambda self, s, t, b: {"kd": Term(s.logits.mean() * float("nan"))})
        answer = kdcore("run", "response", *SMOKE)
        assert answer.status == 1
        assert "kd, seed 0 failed at stage main, step 0: stage main, step 0: student/kd is not finite" in answer.err
        assert [line.split()[1] for line in answer.out.splitlines()] == ["n", "1", "0"]
        assert answer.out.splitlines()[-1].split() == ["kd", "0", "failed"]

    def test_a_row_that_measures_no_score_is_done_and_not_failed(self, kdcore):
        answer = kdcore("run", "kd-early-knowledge-forms", "--profile", "smoke", "--methods", "negative-mass")
        assert answer.status == 0
        *_, last = answer.out.splitlines()
        assert last.split()[0] == "negative-mass" and last.split()[-1] == "done"


class TestTrain:
    def test_one_pair_with_everything_from_its_profile(self, kdcore, own_store):
        answer = kdcore("train", "--profile", "smoke", "--method", "kd", "--steps", "3", "--set", "temperature=2")
        (record,) = Store(own_store).read("train")
        assert answer.status == 0 and record["row"] == "kd"
        assert record["settings"]["methods"] == [["kd", {"temperature": 2}]] and record["recipe"]["steps"] == 3

    def test_a_student_alone(self, kdcore, own_store):
        words = ("--student", "digits-teacher", "--data", "digits", "--steps", "2", "--seed", "5")
        assert kdcore("train", "--profile", "smoke", *words).status == 0
        (record,) = Store(own_store).read("train")
        assert record["seed"] == 5 and record["settings"]["teacher"] is None and "teacher" not in record["inputs"]

    def test_a_trial_with_an_untrained_teacher_says_what_it_leaves_out(self, kdcore, own_store):
        words = ("--teacher", "digits-perceptron", "--method", "kd", "--steps", "2")
        answer = kdcore("train", "--profile", "smoke", *words)
        (record,) = Store(own_store).read("train")
        assert answer.status == 0 and record["settings"]["teacher"] == {"network": "digits-perceptron"}
        assert record["revision"]["digits-perceptron"] >= 1
        assert "digits-perceptron has no weights and is taken untrained" in answer.err
        assert "one batch of the test split is judged" in answer.err

    def test_a_teacher_of_another_experiment(self, kdcore, own_store):
        words = ("--teacher", "digits-teacher/teacher", "--method", "dkd", "--steps", "2")
        assert kdcore("train", "--profile", "smoke", *words).status == 0
        assert Store(own_store).read("digits-teacher")


class TestStatus:
    def test_lists_every_experiment_also_those_never_run(self, kdcore, done):
        from kdcore import experiments

        said = kdcore("status", "--records", str(done)).out
        assert all(any(line.startswith(f"{name} ") for line in said.splitlines()) for name in experiments.names())
        assert "never run here" in said

    def test_counts_what_is_done(self, kdcore, own_store):
        kdcore("run", "response", *SMOKE)
        kdcore("run", "response", *SMOKE[:-1], "0-1", "--budget", "0.001s")
        line = next(line for line in kdcore("status", "response").out.splitlines() if "smoke on cpu" in line)
        assert line.split()[:10] == ["response", "smoke", "on", "cpu", "4", "2", "0", "0", "0", "2"]
        assert line.split()[10] == "about" and line.split()[-1] == "0"

    def test_what_waits_for_its_teacher_is_left_too(self, kdcore, own_store):
        kdcore("run", "response", *SMOKE, "--budget", "0.001s")
        line = next(line for line in kdcore("status", "response").out.splitlines() if "smoke on cpu" in line)
        assert line.split()[4:] == ["2", "0", "0", "0", "0", "2", "unknown", "0"]

    def test_names_records_of_an_older_revision(self, kdcore, own_store, monkeypatch):
        from kdcore.experiments import revisions

        kdcore("run", "response", *SMOKE)
        (own_store / "response" / "plan.json").unlink()
        monkeypatch.setattr(revisions, "current", lambda: {"kd": 2})
        said = kdcore("status", "response").out
        assert "no longer asked for" in said and "1 of an older revision of kd" in said

    def test_names_records_of_a_row_whose_measure_was_mended(self, kdcore, own_store, monkeypatch):
        from dataclasses import replace

        from kdcore import experiments

        kdcore("run", "response", *SMOKE)
        (own_store / "response" / "plan.json").unlink()
        now = experiments.get("response")
        mended = replace(now, rows=tuple(replace(row, revision=2) if row.key == "kd" else row for row in now.rows))
        monkeypatch.setitem(experiments._by_key(), "response", mended)
        assert "1 of an older revision of row" in kdcore("status", "response").out


class TestTable:
    def test_as_text(self, kdcore, done):
        answer = kdcore("table", "response", "--records", str(done), "--where", "local")
        assert answer.status == 0 and "student" in answer.out and "accuracy" in answer.out

    def test_for_other_programs(self, kdcore, done):
        words = ("table", "response", "--records", str(done), "--where", "local", "--format")
        rows = {row["row"]: row for row in csv.DictReader(io.StringIO(kdcore(*words, "csv").out))}
        assert 0 <= float(rows["student"]["mean"]) <= 1
        assert json.loads(kdcore(*words, "json").out)["experiment"] == "response"
        assert kdcore(*words, "latex").out.count(r"\begin{table}") == 1
        assert kdcore(*words, "bibtex").out.startswith("@")

    def test_the_surveys_name_will_do(self, kdcore):
        answer = kdcore("table", "zhao-table1", "--where", "local")
        assert answer.status == 2 and "zhao2026-table1 has no records yet" in answer.err


class TestRecords:
    def test_are_published_and_shown_as_such(self, kdcore, own_store, book):
        kdcore("run", "response", *SMOKE)
        answer = kdcore("records", "publish", "response", "--why", "a first look")
        assert answer.status == 0 and answer.out.startswith("response: 2 new records, edition 20")
        assert sorted(path.name for path in book.iterdir()) == ["response.editions.jsonl", "response.jsonl"]
        line = next(line for line in kdcore("status", "response").out.splitlines() if "smoke on cpu" in line)
        assert line.split()[-1] == "2"

    def test_are_merged_and_conflicts_are_named(self, kdcore, own_store, done):
        theirs, store = Store(done), Store()
        count = sum(len(theirs.read(name)) for name in theirs.experiments())
        said = kdcore("records", "merge", str(done)).out
        assert said.startswith(f"{count} new records, 0 that were here, 0 in conflict")
        record = next(each for each in store.read("response") if each["row"] == "kd" and not each["variant"])
        store.write(record | {"last": {"accuracy": 0.0, "cross_entropy": 0.0}})
        answer = kdcore("records", "merge", str(done))
        assert answer.status == 1 and f"hash {record['hash']}" in answer.err and "1 in conflict" in answer.out
