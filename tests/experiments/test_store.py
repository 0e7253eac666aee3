from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kdcore.entry import Refusal
from kdcore.experiments.hashing import hash_of
from kdcore.experiments.store import Store, local_folder, read, root


def record(seed: int = 0, experiment: str = "standin", **others: object) -> dict:
    made = {
        "experiment": experiment,
        "row": "kd",
        "method": "kd",
        "status": "done",
        "measure": "m:f",
        "settings": {},
        "recipe": {},
        "seed": seed,
        "profile": "quick",
        "device": "cpu",
        "inputs": {},
        "revision": {"step": 1},
        "last": {"accuracy": 0.1 + 0.2},
        "provenance": {"seconds": 1.0},
    }
    made |= others
    return made | {"hash": hash_of(made)}


class TestWhere:
    def test_the_environment_decides_else_the_clone(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KDCORE_RUNS", str(tmp_path))
        assert local_folder() == tmp_path
        monkeypatch.delenv("KDCORE_RUNS")
        assert local_folder() == root() / "_build" / "runs"

    def test_outside_a_clone_it_is_the_current_folder(self, monkeypatch, tmp_path):
        monkeypatch.setattr("kdcore.experiments.store.checkout", lambda: None)
        monkeypatch.chdir(tmp_path)
        assert root() == tmp_path


class TestStore:
    def test_one_file_a_run_one_line_full_precision(self, own_store):
        one = record()
        Store().write(one)
        path = own_store / "standin" / f"{one['hash']}.jsonl"
        assert path.read_text().count("\n") == 1 and json.loads(path.read_text()) == one
        assert "0.30000000000000004" in path.read_text()
        assert Store().get("standin", one["hash"]) == one

    def test_a_failed_write_leaves_the_old_record_and_no_litter(self, own_store, monkeypatch):
        store, one = Store(), record()
        store.write(one)
        monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            store.write(one | {"last": {"accuracy": 1.0}})
        assert store.get("standin", one["hash"]) == one and len(list((own_store / "standin").iterdir())) == 1

    def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(Refusal, match=r"records cannot be written to .*file/runs"):
            Store(tmp_path / "file" / "runs").make_writable()

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_a_read_only_folder_is_refused_in_a_sentence(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(Refusal, match="Permission denied"):
            Store(tmp_path / "runs").make_writable()
        tmp_path.chmod(0o700)

    def test_the_same_run_is_found_under_another_experiment(self):
        store, one = Store(), record(experiment="response")
        store.write(one)
        assert store.elsewhere("zhao2026-table1", one["hash"]) == one
        assert store.elsewhere("response", one["hash"]) is None


class TestRead:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('{"experiment": "standin", "row"', "it is no JSON, perhaps cut off"),
            ("", "it is no JSON"),
            ("[1, 2]", "it is no record of a run, it is no mapping"),
            ('{"accuracy": 0.9}', "it is no record of a run, it lacks experiment, row, method"),
            (json.dumps(record(experiment="another")), "it belongs to experiment another"),
            (json.dumps(record() | {"seed": 5}), "does not fit its content"),
        ],
    )
    def test_what_is_no_record_is_named_by_file_and_line_and_skipped(self, own_store, book, caplog, line, says):
        good = record(1)
        Store().write(good)
        book.mkdir(parents=True)
        path = book / "standin.jsonl"
        path.write_text(f"{json.dumps(record(2))}\n{line}\n{json.dumps(record(3))}\n")
        found = read("standin")
        assert sorted(each["seed"] for each in found) == [1, 2, 3]
        (problem,) = found.problems
        assert problem.startswith(f"{path}, line 2 is skipped") and says in problem
        assert caplog.messages == [problem]

    def test_each_record_says_where_it_comes_from(self, book):
        Store().write(record(1))
        book.mkdir(parents=True)
        (book / "standin.jsonl").write_text(json.dumps(record(2)) + "\n")
        assert {each["seed"]: each["origin"] for each in read("standin")} == {1: "local", 2: "published"}
        assert [each["seed"] for each in read("standin", "local")] == [1]
        assert [each["seed"] for each in read("standin", "published")] == [2]

    def test_a_run_that_is_both_comes_once(self, book):
        Store().write(record(1))
        book.mkdir(parents=True)
        (book / "standin.jsonl").write_text(json.dumps(record(1)) + "\n")
        assert [each["origin"] for each in read("standin")] == ["published"]

    def test_no_other_place_can_be_asked_for(self):
        with pytest.raises(ValueError, match="where must be 'local', 'published' or 'both', got 'cloud'"):
            read("standin", "cloud")

    def test_half_a_line_of_unicode_is_no_accident(self, own_store):
        path = own_store / "standin" / "broken.jsonl"
        path.parent.mkdir(parents=True)
        path.write_bytes(b'{"row": "\xe8\x92')
        assert read("standin") == [] and len(read("standin").problems) == 1


HOLD = """
import sys, time
from kdcore.experiments.store import Store
claim = Store(sys.argv[1]).claim("standin", "abc")
print("claimed" if claim else "taken", flush=True)
time.sleep(60)
"""


class TestClaim:
    def test_one_process_at_a_time_and_it_dies_with_the_process(self, own_store):
        store = Store()
        holder = subprocess.Popen([sys.executable, "-c", HOLD, str(own_store)], stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout.readline() == "claimed\n"
            assert store.claim("standin", "abc") is None and store.claimed("standin", "abc")
            assert not store.claimed("standin", "other")
        finally:
            holder.kill()
            holder.communicate()
        claim = store.claim("standin", "abc")
        assert claim is not None
        claim.give_back()

    def test_nothing_is_left_of_it_once_it_is_given_back(self, own_store):
        Store().claim("standin", "abc").give_back()
        assert list((own_store / "standin").iterdir()) == []

    def test_it_sweeps_away_what_a_killed_process_left_half_written(self, own_store):
        store, folder = Store(), own_store / "standin"
        folder.mkdir(parents=True)
        for name in (
            "abc.checkpoint.123.part",
            ".abc.jsonl.77.part",
            ".abc.safetensors.9.part",
            "other.checkpoint.1.part",
        ):
            (folder / name).touch()
        (folder / "abc.checkpoint").touch()
        store.claim("standin", "abc").give_back()
        assert sorted(path.name for path in folder.iterdir()) == ["abc.checkpoint", "other.checkpoint.1.part"]

    def test_looking_does_not_take_it(self):
        store = Store()
        claim = store.claim("standin", "abc")
        claim.give_back(remove=False)
        assert not store.claimed("standin", "abc")
        again = store.claim("standin", "abc")
        assert again is not None
        again.give_back()
