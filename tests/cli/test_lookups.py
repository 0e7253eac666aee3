"""What is looked up is answered at once, on stdout, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "seaborn", "sklearn", "scipy", "numpy", "matplotlib")
LIGHT = [
    ("--help",),
    ("experiments",),
    ("status",),
    ("coverage",),
    ("coverage", "--json"),
    ("methods",),
    ("data", "list"),
]
LIGHT += [
    ("run", "--help"),
    ("status", "response"),
    ("run", "respnse"),
    ("run", "response", "--profile", "quik"),
    ("rnu",),
]


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_nothing_heavy_is_loaded(words, own_store):
    code = (
        f"import sys\nfrom kdcore.cli import main\ntry: main({words!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stderr.splitlines()[-1] == "[]"


class TestHelp:
    def test_without_words_it_is_the_help(self, kdcore):
        assert kdcore() == kdcore("--help") and kdcore().status == 0

    def test_names_every_command(self, kdcore):
        said = kdcore("--help").out
        names = ["methods", "show", "coverage", "experiments", "run", "train", "status", "table", "book", "records"]
        assert all(f"\n  {name} " in said for name in names)

    def test_every_command_explains_itself(self, kdcore):
        for words in (("run",), ("train",), ("records", "publish"), ("records", "merge"), ("data", "get"), ("book",)):
            answer = kdcore(*words, "--help")
            assert answer.status == 0 and "Usage: kdcore " + " ".join(words) in answer.out


class TestExperiments:
    def test_shows_every_profile_with_its_runs_and_cost(self, kdcore):
        lines = kdcore("experiments").out.splitlines()
        assert any(line.split()[:3] == ["cifar10-first", "smoke", "8"] for line in lines)
        assert any("core-second" in line for line in lines)


class TestMethods:
    def test_shows_keys_and_kinds(self, kdcore):
        lines = [line.split()[:2] for line in kdcore("methods").out.splitlines()]
        assert ["kd", "loss"] in lines and ["distillation", "scheme"] in lines

    def test_of_one_kind(self, kdcore):
        lines = kdcore("methods", "--kind", "scheme").out.splitlines()[1:]
        assert lines and {line.split()[1] for line in lines} == {"scheme"}


class TestShow:
    def test_tells_formula_papers_places_defaults_and_cost(self, kdcore):
        said = kdcore("show", "dkd").out
        for part in ("formula (dkd_loss)", "papers: Zhao", "places: zhao2026", "beta=8.0", "erratum Z-01", "cost: "):
            assert part in said

    def test_a_step_with_two_views_costs_about_twice_that_with_one(self):
        from kdcore.experiments.cost import cost_of

        assert 1.9 < cost_of("crld").arithmetic / cost_of("kd").arithmetic < 2.1
        assert cost_of("kd").parameters == 0 < cost_of("pad").parameters

    def test_a_row_that_nobody_has_written_yet_is_told_too(self, kdcore):
        answer = kdcore("show", "huang-table5")
        assert answer.status == 0 and "places: huang2022" in answer.out

    def test_a_table_shows_its_experiment(self, kdcore):
        assert "experiment: zhao2026-table1" in kdcore("show", "zhao-table1").out

    def test_an_experiment_is_a_key_too(self, kdcore):
        assert "row at: at; weight 1000" in kdcore("show", "cifar10-first").out


class TestCoverage:
    def test_counts_chapters(self, kdcore):
        lines = kdcore("coverage").out.splitlines()
        assert lines[-1].startswith("all") and any(line.startswith("foundations") for line in lines)

    def test_is_plain_data_for_others(self, kdcore):
        rows = json.loads(kdcore("coverage", "--json").out)["rows"]
        assert len(rows) == 375
        fields = {"id", "chapter", "tier", "kind", "implemented", "module", "test", "notebook"}
        assert all(set(row) == fields for row in rows)

    def test_says_why(self, kdcore):
        assert "kd (loss, chapter foundations, tier 1) is" in kdcore("coverage", "--why", "kd").out


class TestData:
    def test_lists_what_there_is(self, kdcore):
        lines = kdcore("data", "list").out.splitlines()
        assert any(line.split()[:3] == ["digits", "images", "built"] for line in lines)

    def test_has_what_comes_with_a_package(self, kdcore):
        assert kdcore("data", "get", "digits").out == "digits built in\n"

    def test_checks_what_is_there(self, kdcore, tmp_path, monkeypatch):
        monkeypatch.setenv("KDCORE_DATA", str(tmp_path))
        (tmp_path / "resnet20-12fca82f.th").write_bytes(b"half a file")
        answer = kdcore("data", "check")
        assert answer.status == 1 and "resnet20-a-cifar10" in answer.err and "damaged" in answer.out


class TestBook:
    def test_hands_over_what_was_asked(self, kdcore, monkeypatch):
        asked = []
        monkeypatch.setattr("kdcore.publishing.make_book", lambda *words: asked.append(words) or 1)
        words = ("--profile", "smoke", "--device", "cpu", "--notebooks", "03_response", "--jobs", "2")
        assert kdcore("book", *words).status == 1 and asked == [("smoke", "cpu", "03_response", 2)]
