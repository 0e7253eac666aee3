"""What another machine made comes home whole, or is named and left; what is here is never overwritten."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from kdcore.entry import Refusal
from kdcore.experiments import plan
from kdcore.experiments.hashing import canonical
from kdcore.experiments.merging import merge, told
from kdcore.experiments.records import publish
from kdcore.experiments.requests import Request
from kdcore.experiments.running import carry_out, run
from kdcore.experiments.store import Store
from kdcore.experiments.types import Experiment, Profile, Row


@pytest.fixture
def cluster(tmp_path) -> Path:
    """The folder that comes from elsewhere."""
    return tmp_path / "cluster"


@pytest.fixture
def content(own_store):
    """Every file of this test's store with its bytes."""
    return lambda: {str(path.relative_to(own_store)): path.read_bytes() for path in own_store.rglob("*.*")}


class TestRecords:
    def test_come_with_what_was_asked_for(self, measured, cluster, book):
        run(measured(1.0), records=cluster)
        made = merge(cluster)
        assert (made.records, made.same, made.conflicts, made.problems) == ({"standin": 2}, 0, [], [])
        assert publish("standin", "from the cluster").new == 2

    def test_merging_again_changes_nothing(self, measured, cluster, content):
        run(measured(1.0, 2.0), records=cluster)
        merge(cluster)
        before = content()
        made = merge(cluster)
        assert (made.new, made.same) == (0, 4) and content() == before

    def test_the_same_runs_made_twice_are_no_conflict(self, measured, cluster):
        run(measured(1.0), records=cluster)
        run(measured(1.0))
        made = merge(cluster)
        assert (made.new, made.same, made.conflicts) == (0, 2, [])

    def test_other_numbers_are_named_and_nothing_is_overwritten(self, measured, cluster):
        mine = run(measured(1.0))
        sys.modules["standin"].number = lambda seed, value=0.0, **_: {"number": 9.0}
        run(measured(1.0, 2.0), records=cluster)
        made = merge(cluster)
        assert made.new == 2 and len(made.conflicts) == 2
        assert any(mine[0]["hash"] in each and "row-1, seed 0" in each for each in made.conflicts)
        assert Store().get("standin", mine[0]["hash"])["last"] == mine[0]["last"]

    def test_what_differs_in_provenance_alone_is_no_conflict(self, measured, cluster):
        record = run(measured(1.0), records=cluster)[0]
        Store().write({**record, "provenance": {"seconds": 1e9}})
        made = merge(cluster)
        assert made.conflicts == [] and (made.new, made.same) == (1, 1)
        assert Store().get("standin", record["hash"])["provenance"] == {"seconds": 1e9}


class TestPlans:
    def test_a_run_that_is_here_stays_planned_as_it_is_here(self, cluster):
        for store, mark in ((Store(), "a" * 16), (Store(cluster), "b" * 16)):
            plan.add(store, "standin", "quick on cpu", {"kd, seed 0": mark})
        merge(cluster)
        assert plan.wanted(plan.load(Store(), "standin")) == {"b" * 16}  # neither has a record: theirs is as good

    def test_theirs_does_not_displace_a_record(self, measured, cluster):
        (mine, *_) = run(measured(1.0))
        plan.add(Store(cluster), "standin", "quick on cpu", {"row-1, seed 0": "b" * 16, "row-9, seed 0": "c" * 16})
        merge(cluster)
        runs = plan.load(Store(), "standin")["quick on cpu"]["runs"]
        assert runs["row-1, seed 0"] == mine["hash"] and runs["row-9, seed 0"] == "c" * 16


class TestHostile:
    """Half-written, foreign, linked, swapped: named, never taken, and in nobody's way."""

    @pytest.fixture
    def theirs(self, measured, cluster):
        """Two sound records, of which a test damages the first."""
        records = run(measured(1.0), records=cluster)
        return records[0], cluster / "standin" / f"{records[0]['hash']}.jsonl"

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda r: canonical(r)[:30], "cut off"),
            (lambda r: "", ""),
            (lambda r: canonical([1]), "it is no mapping"),
            (lambda r: canonical(r | {"experiment": "../../elsewhere"}), "belongs to experiment ../../elsewhere"),
            (lambda r: canonical(r | {"seed": 7}), "does not fit its content"),
            (lambda r: canonical(r | {"hash": "../../../evil"}), "does not fit its content"),
            (lambda r: canonical(r | {"provenance": "mine"}), "is no record of a run"),
            (lambda r: canonical(r | {"status": "great"}), "is no record of a run"),
            (lambda r: canonical({k: v for k, v in r.items() if k != "last"}), "its last is missing"),
            (lambda r: json.dumps(r | {"settings": {"value": float("nan")}}), "is no JSON"),
            (lambda r: "[" * 100_000, "is no JSON"),
        ],
    )
    def test_a_damaged_record_is_named_and_left(self, theirs, damage, said, own_store):
        record, path = theirs
        path.write_text(damage(record))
        made = merge(path.parents[1])
        assert made.new == 1 and Store().get("standin", record["hash"]) is None
        assert all(str(path) in problem and said in problem for problem in made.problems)
        assert len(made.problems) == bool(said)
        assert all(own_store in found.parents for found in own_store.parent.rglob("evil*"))

    def test_a_record_under_another_runs_name_is_left(self, theirs):
        record, path = theirs
        path.rename(path.with_name("f" * 16 + ".jsonl"))
        made = merge(path.parents[1])
        assert made.new == 1 and made.problems == [
            f"{path.with_name('f' * 16 + '.jsonl')} holds the run {record['hash']}, its name says another"
        ]

    def test_links_are_not_followed(self, theirs, tmp_path):
        _, path = theirs
        path.rename(tmp_path / "secret.jsonl")
        path.symlink_to(tmp_path / "secret.jsonl")
        (path.parents[1] / "linked").symlink_to(path.parent)
        made = merge(path.parents[1])
        assert made.new == 1 and len(made.problems) == 2
        assert all(problem.endswith("is a link and is not followed") for problem in made.problems)
        assert not (Store().folder / "linked").exists()

    def test_foreign_files_stay_where_they_are(self, theirs, own_store):
        folder = theirs[1].parent
        (folder / "notes.txt").write_text("mine")
        (folder / "deeper").mkdir()
        (folder.parent / "benchmark.json").write_text("{}")
        os.mkfifo(folder / f"{'e' * 16}.jsonl")  # reading it would wait for ever
        (folder / f".{'d' * 16}.jsonl.x.part").write_text("half")
        (folder / f"{'d' * 16}.lock").touch()
        made = merge(folder.parent)
        assert made.new == 2 and made.problems == []
        names = {Path(stranger).name for stranger in made.strangers}
        assert names == {"notes.txt", "deeper", "benchmark.json", f"{'e' * 16}.jsonl"}
        assert not {"notes.txt", "deeper", f".{'d' * 16}.jsonl.x.part"} & {p.name for p in own_store.rglob("*")}
        assert any("left aside" in line and "and 3 more" in line for line in told(made))

    def test_a_plan_that_leads_elsewhere_is_no_plan(self, theirs):
        path = theirs[1].parent / "plan.json"
        path.write_text(json.dumps({"quick on cpu": {"when": "", "runs": {"kd, seed 0": "../../evil"}}}))
        merge(path.parents[1])
        assert plan.wanted(plan.load(Store(), "standin")) == set()

    def test_a_folder_that_is_none_is_refused(self, tmp_path):
        with pytest.raises(Refusal, match="records are merged from a folder"):
            merge(tmp_path / "nowhere")

    def test_the_store_itself_is_refused(self, own_store):
        own_store.mkdir()
        with pytest.raises(Refusal, match="is the store itself"):
            merge(own_store)


class TestNetworks:
    @pytest.fixture
    def theirs(self, taught, cluster):
        """A store with a teacher and its network, in a place of this test's own."""
        import shutil

        shutil.copytree(taught, cluster)
        (record,) = Store(cluster).read("digits-teacher")
        return cluster / "digits-teacher" / f"{record['hash']}.safetensors", record

    def test_come_with_their_records_and_are_of_use(self, theirs, own_store):
        path, record = theirs
        made = merge(path.parents[1])
        assert (made.new, made.networks, made.absent, made.problems) == (1, 1, 0, [])
        assert (own_store / "digits-teacher" / path.name).read_bytes() == path.read_bytes()
        assert run("digits-teacher", "smoke")[0]["provenance"] == record["provenance"]  # not trained again

    @pytest.mark.parametrize("damage", ["cut", "swapped"])
    def test_one_with_another_digest_is_not_taken_nor_its_record(self, theirs, damage):
        from safetensors.torch import load_file, save_file

        path, _ = theirs
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-100])
        else:
            save_file({name: value * 2 for name, value in load_file(path).items()}, path)
        made = merge(path.parents[1])
        assert made.new == made.networks == 0 and Store().read("digits-teacher") == []
        assert made.problems == [
            f"{path} is not the network that digits-teacher: teacher, seed 0, smoke kept; neither of them is taken"
        ]
        assert not list(Store().folder.rglob("*.safetensors")) + list(Store().folder.rglob("*.part"))

    def test_a_network_that_was_damaged_here_is_mended(self, theirs):
        path, record = theirs
        merge(path.parents[1])
        mine = Store().path("digits-teacher", record["hash"], "safetensors")
        mine.write_bytes(b"damaged")
        made = merge(path.parents[1])
        assert (made.same, made.networks) == (1, 1) and mine.read_bytes() == path.read_bytes()

    def test_a_record_without_its_network_comes_and_that_is_said(self, theirs):
        path, _ = theirs
        path.unlink()
        made = merge(path.parents[1])
        assert (made.new, made.absent) == (1, 1)
        assert any("trained again where it is needed" in line for line in told(made))

    def test_a_network_without_a_record_stays_away(self, theirs, own_store):
        path, _ = theirs
        path.with_suffix(".jsonl").unlink()
        made = merge(path.parents[1])
        assert made.strangers == [f"{path}, a network without its record"]
        assert not list(own_store.rglob("*.safetensors"))


class TestCheckpoints:
    """An unfinished run goes on where it is brought."""

    @staticmethod
    def request(steps: int = 40) -> Request:
        settings = {"data": "digits-100", "student": "digits-student", "teacher": None}
        profile = Profile({"steps": steps, "learning_rate": 0.1}, settings)
        return Request.of(Experiment("alone", "One student", (Row("student"),), (0,), {"smoke": profile}), "smoke")

    def begun(self, folder: Path, monkeypatch, stop_at: int) -> Path:
        """A store with a run that the budget stopped after so many steps."""
        from kdcore.engine.run import Run

        advance, steps = Run.advance, []
        with monkeypatch.context() as short:
            short.setattr(Run, "advance", lambda self, memo=None: (advance(self, memo), steps.append(1))[0])
            short.setattr("kdcore.experiments.running._deadline", lambda end: lambda: len(steps) >= stop_at)
            assert carry_out(self.request(), Store(folder)).stopped
        (path,) = folder.rglob("*.checkpoint")
        return path

    def test_is_taken_and_ends_with_the_bits_of_an_undisturbed_run(self, cluster, tmp_path, monkeypatch):
        self.begun(cluster, monkeypatch, 15)
        made = merge(cluster)
        assert (made.new, made.checkpoints, made.problems) == (0, 1, [])
        (record,) = carry_out(self.request(), Store()).records
        (alone,) = carry_out(self.request(), Store(tmp_path / "undisturbed")).records
        assert record["provenance"]["resumed"] == 1 and record["curve"] == alone["curve"]
        assert record["last"] == alone["last"]

    def test_the_one_that_is_further_on_stays(self, cluster, tmp_path, monkeypatch):
        early = self.begun(tmp_path / "early", monkeypatch, 10)
        late = self.begun(cluster, monkeypatch, 20)
        mine = Store().path("alone", late.stem, "checkpoint")
        assert [merge(folder).checkpoints for folder in (early.parents[1], cluster, early.parents[1])] == [1, 1, 0]
        assert mine.read_bytes() == late.read_bytes()

    def test_of_a_finished_run_is_not_wanted(self, cluster, monkeypatch):
        self.begun(cluster, monkeypatch, 10)
        carry_out(self.request(), Store())
        made = merge(cluster)
        assert made.checkpoints == 0 and not list(Store().folder.rglob("*.checkpoint"))

    def test_of_a_run_that_is_under_way_here_is_left_and_named(self, cluster, monkeypatch):
        path = self.begun(cluster, monkeypatch, 10)
        claim = Store().claim("alone", path.stem)
        made = merge(cluster)
        claim.give_back()
        assert made.checkpoints == 0 and made.problems == [f"{path} is not taken, its run is under way here"]

    @pytest.mark.parametrize("damage", ["cut", "foreign", "of another experiment"])
    def test_one_that_cannot_be_read_is_named_and_left(self, cluster, monkeypatch, damage):
        path = self.begun(cluster, monkeypatch, 10)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:200])
        elif damage == "foreign":
            path.write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")
        else:
            path = path.rename(cluster / "alone-too" / path.name) if (cluster / "alone-too").mkdir() is None else path
        made = merge(cluster)
        assert made.checkpoints == 0 and str(path) in made.problems[0]
        assert not list(Store().folder.rglob("*.checkpoint")) + list(Store().folder.rglob("*.part"))
