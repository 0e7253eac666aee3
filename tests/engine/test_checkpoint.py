"""A checkpoint is whole or absent, and holds tensors and plain values alone."""

import os

import pytest
import torch

from kdcore.engine import DamagedCheckpoint, checkpoint

STATE = {"format": checkpoint.FORMAT, "weights": torch.arange(5.0), "curve": [{"epoch": 1.5, "name": "soft"}]}


class TestSave:
    def test_what_is_saved_is_read(self, tmp_path):
        path = tmp_path / "deep" / "run.checkpoint"
        checkpoint.save(STATE, path)
        found = checkpoint.load(path)
        assert torch.equal(found.pop("weights"), STATE["weights"])
        assert found == {"format": checkpoint.FORMAT, "curve": STATE["curve"]}
        assert [each.name for each in path.parent.iterdir()] == ["run.checkpoint"]

    def test_cut_off_while_written_it_leaves_the_old_one(self, tmp_path, monkeypatch):
        path = tmp_path / "run.checkpoint"
        checkpoint.save(STATE, path)
        before = path.read_bytes()

        def full(state, file):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(STATE, path)
        assert path.read_bytes() == before
        assert [each.name for each in tmp_path.iterdir()] == ["run.checkpoint"]

    def test_reaches_the_disk_before_its_name_changes(self, tmp_path, monkeypatch):
        told, synced, replace = [], os.fsync, type(tmp_path).replace
        monkeypatch.setattr(os, "fsync", lambda handle: (told.append("synced"), synced(handle))[1])
        monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: (told.append("renamed"), replace(self, to))[1])
        checkpoint.save(STATE, tmp_path / "run.checkpoint")
        assert told == ["synced", "renamed"]


class Trap:
    def __reduce__(self):
        return print, ("this ran",)


class TestLoad:
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_one_is_damaged(self, tmp_path, share):
        path = tmp_path / "run.checkpoint"
        checkpoint.save(STATE, path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(DamagedCheckpoint, match=r"run\.checkpoint cannot be read"):
            checkpoint.load(path)

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more"])
    def test_a_foreign_one_is_damaged(self, tmp_path, content):
        (tmp_path / "run.checkpoint").write_bytes(content)
        with pytest.raises(DamagedCheckpoint, match=r"run\.checkpoint cannot be read"):
            checkpoint.load(tmp_path / "run.checkpoint")

    def test_nothing_in_it_is_run(self, tmp_path, capsys):
        torch.save(STATE | {"trap": Trap()}, tmp_path / "run.checkpoint")
        with pytest.raises(DamagedCheckpoint):
            checkpoint.load(tmp_path / "run.checkpoint")
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("state", [{"epoch": 3}, [1, 2], torch.zeros(2), {"format": "kdcore run 0"}])
    def test_another_kind_of_file_is_damaged(self, tmp_path, state):
        torch.save(state, tmp_path / "run.checkpoint")
        with pytest.raises(DamagedCheckpoint, match="is no checkpoint of a run"):
            checkpoint.load(tmp_path / "run.checkpoint")


class TestRemove:
    def test_takes_what_killed_writers_left_with_it_and_nothing_else(self, tmp_path):
        for name in ("a[1].checkpoint", "a[1].checkpoint.77.part", "a1.checkpoint.77.part", "a[1].jsonl"):
            (tmp_path / name).write_text("x")
        checkpoint.remove(tmp_path / "a[1].checkpoint")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a1.checkpoint.77.part", "a[1].jsonl"]

    def test_of_what_is_not_there_is_no_error(self, tmp_path):
        checkpoint.remove(tmp_path / "none.checkpoint")
        assert not any(tmp_path.iterdir())
