from __future__ import annotations

import json
import subprocess

from kdcore.experiments import provenance


def git(folder, *words):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


class TestCommit:
    def test_is_the_clones_with_a_plus_where_something_is_not_committed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(provenance, "checkout", lambda: tmp_path)
        git(tmp_path, "init")
        (tmp_path / "file").write_text("one")
        git(tmp_path, "add", "file")
        git(tmp_path, "commit", "-m", "one")
        clean = provenance.commit()
        (tmp_path / "file").write_text("two")
        assert len(clean) == 40 and provenance.commit() == clean + "+"

    def test_is_none_outside_a_clone(self, tmp_path, monkeypatch):
        monkeypatch.setattr(provenance, "checkout", lambda: tmp_path)
        assert provenance.commit() is None
        monkeypatch.setattr(provenance, "checkout", lambda: None)
        assert provenance.commit() is None


def test_surroundings_are_plain_and_name_what_matters():
    found = provenance.surroundings()
    assert {"versions", "commit", "host", "system", "processor", "cores"} == set(found)
    assert {"python", "torch"} <= set(found["versions"]) and json.loads(json.dumps(found)) == found


def test_times_are_in_utc_to_the_second():
    stamp = provenance.now()
    assert len(stamp) == 25 and stamp.endswith("+00:00")


def test_peak_memory_is_in_bytes():
    assert provenance.peak_memory() > 10_000_000
