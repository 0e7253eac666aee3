import re

import pytest

from kdcore.reporting import caption, provenance, published_by


@pytest.fixture
def no_git(monkeypatch):
    monkeypatch.setattr("kdcore.experiments.provenance.commit", lambda: None)


class TestProvenance:
    def test_names_everything_that_made_the_numbers(self, three_rows):
        versions = {
            "versions": {"torch": "2.13.0"},
            "commit": "a" * 40 + "+",
            "device": "cpu",
            "processor": "Made Up 1",
        }
        found = provenance([one | {"provenance": {**one["provenance"], **versions}} for one in three_rows])
        assert found["Origin"] == "this build" and found["Profile"] == "quick" and found["Seeds"] == "0–4"
        assert found["Device"] == "cpu (Made Up 1)" and found["Versions"] == "torch 2.13.0"
        assert re.fullmatch(r"20 records, edition 2026-03-05 \([0-9a-f]{8}\)", found["Records"])
        assert found["Commit"] == f"`{'a' * 12}+`"
        assert found["Again"] == "`kdcore run made-up --profile quick --device cpu`"

    def test_committed_and_local_records_are_told_apart(self, rows):
        both = [*rows("kd", (0.9,), origin="published"), *rows("at", (0.9,))]
        assert provenance(both)["Origin"] == "committed record and this build"
        assert provenance(both[:1])["Origin"] == "committed record"

    def test_a_gpu_is_named(self, record):
        one = record("kd", 0, 0.9, device="cuda", provenance={"device": "A Card", "processor": "Made Up 1"})
        assert provenance([one])["Device"] == "cuda (A Card)"

    def test_several_versions_are_all_shown(self, record):
        made = [record("kd", s, 0.9, provenance={"versions": {"torch": v}}) for s, v in enumerate(("2.11", "2.13"))]
        assert provenance(made)["Versions"] == "torch 2.11 or 2.13"

    def test_what_is_not_recorded_is_said_to_be_so(self, record, no_git):
        found = provenance([record("kd", 0, 0.9, provenance={})])
        assert found["Versions"] == found["Commit"] == "not recorded"

    def test_without_a_commit_in_the_records_the_pages_own_is_marked_as_such(self, record, monkeypatch):
        monkeypatch.setattr("kdcore.experiments.provenance.commit", lambda: "b" * 40)
        assert provenance([record("kd", 0, 0.9, provenance={})])["Commit"].startswith(f"`{'b' * 12}` (of this page")
        assert provenance([])["Commit"] == f"`{'b' * 12}`"

    def test_a_figure_without_records_has_versions_and_its_own_command(self, no_git):
        found = provenance([], command="papermill notebooks/03_response.ipynb out.ipynb")
        assert [label for label, _ in found.facts] == ["Origin", "Versions", "Commit", "Again"]
        assert "torch" in found["Versions"] and found["Commit"] == "not recorded"

    def test_records_of_several_experiments_have_no_single_command(self, rows):
        found = provenance([*rows("kd", (0.9,)), *rows("kd", (0.9,), experiment="other")])
        assert "Again" not in dict(found.facts)

    def test_others_numbers_are_called_published_by_others(self):
        found = published_by("zhao2026", "Table 2, compiled")
        assert found["Origin"] == "published by others" and found["Protocol"] == "Table 2, compiled"

    def test_it_shows_itself_in_the_book_a_notebook_and_a_terminal(self, three_rows):
        found = provenance(three_rows)._repr_mimebundle_()
        assert found["text/markdown"].startswith("~~~{container} kd-provenance\n")
        assert "<code>kdcore run made-up" in found["text/html"] and "Seeds: 0–4" in found["text/plain"]


class TestCaption:
    def test_says_what_every_figure_of_results_must_say(self, three_rows):
        found = caption("How rows learn.", three_rows)
        made = r"Profile quick, cpu, seeds 0–4, 20 records, edition 2026-03-05 \(\w{8}\), this build\."
        assert re.fullmatch(rf"How rows learn\. {made}", found)
