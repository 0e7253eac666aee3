"""What is looked up is answered at once, on stdout, without torch."""

from __future__ import annotations

import importlib
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

    def test_of_one_chapter_with_the_variants_of_its_rows(self, kdcore):
        keys = [line.split()[0] for line in kdcore("methods", "--chapter", "response").out.splitlines()[1:]]
        assert {"dkd", "dkd-zhao2026"} <= set(keys) and "kd" not in keys

    def test_that_need_something(self, kdcore):
        said = kdcore("methods", "--needs", "logits,labels").out.splitlines()[1:]
        assert any(line.startswith("dkd ") for line in said)
        assert all("logits, labels" in line for line in said)

    def test_that_get_by_with_something(self, kdcore):
        keys = {line.split()[0] for line in kdcore("methods", "--with", "logits").out.splitlines()[1:]}
        assert "kd" in keys and not keys & {"dkd", "fitnet-joint", "crld"}

    @pytest.mark.parametrize(
        ("option", "wrong", "right"), [("--needs", "logit", "logits"), ("--chapter", "respons", "response")]
    )
    def test_a_wrong_word_gets_the_nearest_right_one(self, kdcore, option, wrong, right):
        answer = kdcore("methods", option, wrong)
        assert answer.status == 2 and f"the nearest is '{right}'" in answer.err

    def test_of_one_kind(self, kdcore):
        lines = kdcore("methods", "--kind", "scheme").out.splitlines()[1:]
        assert lines and {line.split()[1] for line in lines} == {"scheme"}


class TestShow:
    def test_tells_formula_paper_places_defaults_with_their_source_needs_and_cost(self, kdcore):
        said = kdcore("show", "dkd").out
        for part in ("formula: L = T^2", "paper: Zhao", "places: zhao2026", "beta = 8.0: weight", "the authors' for"):
            assert part in said
        for part in (
            "  Z-01: The target term",
            "needs: logits, labels",
            "cost: ",
            "test: tests/",
            "notebook: notebooks/",
        ):
            assert part in said

    @pytest.mark.parametrize(("wrong", "right"), [("dkdd", "dkd"), ("fitnets", "fitnet")])
    def test_a_wrong_name_gets_the_nearest_right_one(self, kdcore, wrong, right):
        answer = kdcore("show", wrong)
        assert answer.status == 2 and f"the nearest is '{right}'" in answer.err

    def test_a_step_with_two_views_costs_about_twice_that_with_one(self):
        from kdcore.experiments.cost import cost_of

        assert 1.9 < cost_of("crld").arithmetic / cost_of("kd").arithmetic < 2.1
        assert cost_of("kd").parameters == 0 < cost_of("pad").parameters
        assert cost_of("jacobian-matching").arithmetic > 2 * cost_of("kd").arithmetic  # a gradient inside a loss

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

    def test_an_installed_library_without_tests_and_notebooks_counts_nothing(self, kdcore, tmp_path, monkeypatch):
        monkeypatch.setattr(importlib.import_module("kdcore.catalogue.entries"), "ROOT", tmp_path)
        answer = kdcore("coverage")
        assert answer.status == 2 and "in a clone alone" in answer.err and not answer.out

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
