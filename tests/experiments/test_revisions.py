from __future__ import annotations

import ast

import pytest

from kdcore.experiments import revisions


@pytest.fixture
def source(monkeypatch, tmp_path):
    def write(text: str) -> dict:
        (tmp_path / "engine").mkdir()
        (tmp_path / "engine" / "machine.py").write_text("STEP_REVISION = 3\n")
        (tmp_path / "losses").mkdir()
        (tmp_path / "losses" / "response.py").write_text(text)
        monkeypatch.setattr(revisions, "PACKAGE", tmp_path)
        revisions.current.cache_clear()
        return dict(revisions.current())

    yield write
    revisions.current.cache_clear()


class TestCurrent:
    def test_is_one_where_nothing_is_said(self, source):
        assert source('class KD: pass\nENTRIES = (Entry("kd", "loss", KD, {}),)') == {"step": 3, "kd": 1}

    def test_is_raised_with_the_entry_or_with_the_class(self, source):
        text = (
            "class KD:\n    revision = 2\n"
            "class DKD:\n    revision: int = 4\n"
            'ENTRIES = (Entry("kd", "loss", KD, {}), Entry("dkd", "loss", DKD, {}, revision=2),'
            ' Entry("at", "loss", at_loss, {}, "note", 7), Architecture("resnet8", ResNet, {}, "note", 5))'
        )
        assert source(text) == {"step": 3, "kd": 2, "dkd": 5, "at": 7, "resnet8": 5}

    def test_of_this_project_knows_the_step_its_methods_and_its_networks(self):
        assert {"step", "kd", "dkd", "distillation", "digits-student"} <= set(revisions.current())

    def test_a_key_that_is_put_together_counts_for_all_that_fit(self, source):
        source('ARCHITECTURES = [Architecture(f"resnet{depth}-a", ResNet, {}, "", 4) for depth in (20, 56)]')
        assert revisions.revisions_of(["resnet20-a", "resnet20"]) == {"resnet20-a": 4, "resnet20": 1}
        assert revisions.outdated({"resnet56-a": 3}) == ["resnet56-a"]

    def test_every_network_of_this_project_has_one(self):
        from kdcore.models import architecture, names

        assert revisions.revisions_of(names()) == {name: architecture(name).revision for name in sorted(names())}
        assert all(revisions._of(name) for name in names())

    def test_agrees_with_what_is_imported(self):
        from kdcore.catalogue import entries, load
        from kdcore.engine import STEP_REVISION

        assert revisions.current()["step"] == STEP_REVISION
        for key in ("kd", "dkd", "distillation"):
            made = load(key)
            assert revisions.current()[key] == made.revision + getattr(made.make, "revision", 1) - 1
        assert {entry.key for entry in entries() if entry.kind in ("loss", "scheme")} <= set(revisions.current())


class TestOutdated:
    def test_names_the_parts_that_were_raised_since(self, source):
        source('ENTRIES = (Entry("kd", "loss", KD, {}, revision=2),)')
        assert revisions.outdated({"step": 3, "kd": 1, "unknown": 1}) == ["kd"]
        assert revisions.outdated({"step": 3, "kd": 2}) == []

    def test_a_rows_own_revision_is_compared_with_what_the_row_carries_today(self, source):
        source('ENTRIES = (Entry("kd", "loss", KD, {}),)')
        made = {"step": 3, "kd": 1, "row": 2}
        assert revisions.outdated(made, row=3) == ["row"]
        assert revisions.outdated(made, row=2) == revisions.outdated(made) == []

    def test_a_part_without_a_revision_counts_as_one(self):
        assert revisions.revisions_of(["a network of one's own"]) == {"a network of one's own": 1}


def test_reading_them_imports_nothing():
    tree = ast.parse((revisions.PACKAGE / "experiments" / "revisions.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith(("kdcore", "torch"))]
