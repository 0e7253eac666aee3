"""Pages of published records, on records made up for the purpose."""

import re
import types

import pytest
from clones import clone

from kdcore import experiments
from kdcore.publishing.pages import front, tables
from kdcore.publishing.pages.tables import metric_of, table_page, table_pages
from kdcore.publishing.project import Project

ROWS = {"student": (0.81, 0.80), "kd": (0.84, 0.85)}


def record(profile, device, row, seed, accuracy):
    return {
        "experiment": "response", "row": row, "method": row, "seed": seed, "profile": profile, "device": device,
        "status": "done", "hash": f"{profile}{device}{row}{seed}", "revision": 1, "settings": {}, "promise": "",
        "last": {"accuracy": accuracy, "cross_entropy": 0.5}, "origin": "published", "provenance": {},
    }  # fmt: skip


@pytest.fixture
def published(monkeypatch):
    """Records of two profiles in the place of the committed ones."""
    kinds = [("smoke", "cpu"), ("short", "cpu")]
    made = [
        record(*kind, row, seed, value)
        for kind in kinds
        for row, values in ROWS.items()
        for seed, value in enumerate(values)
    ]
    monkeypatch.setattr(experiments, "read", lambda name, where: made)
    return made


class TestTablePage:
    def test_profiles_stand_apart_the_longest_first_each_with_what_it_means(self, published):
        page = table_page("response")
        assert re.findall(r"^## (.*)$", page, re.M) == ["Profile short, cpu", "Profile smoke, cpu"]
        assert "far from the surveys' setting" in page
        assert "no number here means anything else" in page

    def test_a_table_has_its_numbers_its_files_and_a_label_of_its_own(self, published):
        page = table_page("response")
        assert "80.5 ± 0.7 (2)" in page
        assert re.findall(r':name: "?([\w-]+)', page) == [
            "tab-published-response-short-cpu",
            "tab-published-response-smoke-cpu",
        ]
        assert page.count(">CSV</a>") == page.count(">LaTeX</a>") == page.count(">BibTeX</a>") == 2

    def test_each_table_says_how_it_was_made_from_its_own_records_alone(self, published):
        made = re.findall(r"Records: (\d+) records", table_page("response"))
        assert made == ["4", "4"]


class TestTablePages:
    def test_without_records_the_list_says_so(self, tmp_path):
        pages = table_pages(Project(clone(tmp_path)))
        assert set(pages) == {"tables.md"}
        assert "Nothing has been published yet" in pages["tables.md"]

    def test_each_file_of_records_gets_a_page_and_editions_do_not(self, tmp_path, published):
        project = Project(clone(tmp_path))
        for name in ("response.jsonl", "response.editions.jsonl"):
            (project.book / "records" / name).write_text("")
        pages = table_pages(project)
        assert set(pages) == {"tables.md", "tables/response.md"}
        assert "- {ref}`published-response`" in pages["tables.md"]


class TestFrontTable:
    def test_the_longest_recipe_is_shown_and_leads_to_its_page(self, published, monkeypatch):
        monkeypatch.setattr(front, "FIRST", "response")
        told = front.first_table()
        assert "80.5 ± 0.7 (2)" in told
        assert "far from the surveys' setting" in told
        assert "{ref}`published-response`" in told

    def test_without_records_there_is_none(self, tmp_path):
        covered = types.SimpleNamespace(counts=lambda *chapters: (0, 1))
        assert front.front_parts(Project(clone(tmp_path)), covered, {}, {})["table.md"] == ""


class TestMetric:
    @pytest.mark.parametrize(
        ("last", "metric"),
        [
            ({"cross_entropy": 1.0, "accuracy": 0.5}, "accuracy"),
            ({"ratio": 1.0, "other": 2.0}, "ratio"),
            ({}, "accuracy"),
        ],
    )
    def test_accuracy_where_there_is_one_else_the_first_number(self, last, metric):
        assert metric_of([{"last": last}]) == metric


def test_every_profile_says_what_it_means():
    assert set(tables.PROFILES) == set(experiments.types.PROFILES)
