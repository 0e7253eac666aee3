"""Pages of published records, on records made up for the purpose."""

import re
import types

import pytest
from clones import clone

from kdcore import experiments
from kdcore.publishing.pages import front, tables
from kdcore.publishing.pages.links import Links
from kdcore.publishing.pages.tables import metric_of, table_page, table_pages
from kdcore.publishing.project import Project
from kdcore.reporting.editions import Edition, Editions, edition_hash

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
    one, two = (tuple(sorted(r["hash"] for r in made if r["seed"] <= last)) for last in (0, 1))
    editions = Editions((Edition("2026-01-01", edition_hash(one), one, "first"),
                         Edition("2026-02-02", edition_hash(two), two, "another seed")), ())  # fmt: skip
    monkeypatch.setattr(tables, "published_editions", lambda name: editions)
    return made


class TestTablePage:
    def test_profiles_stand_apart_the_longest_first_each_with_what_it_means(self, published):
        page = table_page("response")
        assert re.findall(r"^## (Profile.*?) {zh}", page, re.M) == ["Profile short, cpu", "Profile smoke, cpu"]
        assert "far from the surveys' setting" in page
        assert "no number here means anything else" in page

    def test_a_table_has_its_numbers_its_files_and_a_label_of_its_own(self, published):
        page = table_page("response")
        assert "80.5 ± 0.7 (2)" in page
        assert re.findall(r':name: "?([\w-]+)', page) == [
            "tab-published-response-short-cpu",
            "tab-published-response-short-cpu-verdicts",
            "tab-published-response-smoke-cpu",
            "tab-published-response-smoke-cpu-verdicts",
        ]
        assert page.count(">CSV</a>") == page.count(">LaTeX</a>") == 2 * page.count(">BibTeX</a>") == 4

    def test_each_table_says_how_it_was_made_from_its_own_records_alone(self, published):
        made = re.findall(r"Records: (\d+) records", table_page("response"))
        assert made == ["4", "4"]

    def test_under_it_stands_what_moved_and_why(self, published):
        after = table_page("response").partition("## Editions")[2]
        assert "`kdcore table response --edition HASH`" in after
        first, *moved = [line for line in after.splitlines() if line.lstrip().startswith("- ")]
        assert first.startswith("- **2026-02-02**") and first.endswith("8 records: another seed.")
        assert "  - `kd` (short, cpu) from 84.00 (1) to 84.50 (2)" in moved

    def test_beside_published_numbers_stand_verdicts_with_their_rules(self, published):
        page = table_page("response").partition("tab-published-response-short-cpu-verdicts")[2]
        assert "no verdict: " in page and "*cannot be told from the baseline*" in page

    def test_the_entry_to_cite_it_by_is_a_click_away(self, published):
        page = table_page("response")
        entry = re.search(r"\{dropdown\} Cite this table\n.*?```bibtex\n(@misc\{.*?\n\})\n```", page, re.S)[1]
        assert "Edition undated" in entry and "experiment response" in entry


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
        news = pages["tables.md"].partition("## What moved")[2]
        assert re.findall(r"^### (\S+)", news, re.M) == ["2026-02-02", "2026-01-01"]


class TestFrontTable:
    @pytest.fixture
    def shown(self, published, monkeypatch):
        told = {"student": {"value": 0.7, "citation": "si2023", "protocol": "theirs"}}
        monkeypatch.setattr(front, "beside", lambda block: (told, "si2023 Table 1"))
        monkeypatch.setattr(front, "beside_rows", lambda name, block: block)
        return front.first_table("response", "made-up", Links({"kd": "executed/01_foundations"}))

    def test_the_longest_recipe_is_shown_and_leads_to_its_page(self, shown):
        assert "far from the surveys' setting" in shown
        assert "{ref}`Intervals, rules, downloads <published-response>`" in shown

    def test_published_value_record_spread_and_verdict_stand_side_by_side(self, shown):
        assert "|  | published, si2023 Table 1 | our record | verdict |" in shown
        assert "| `student` | 70.00 | 80.5 ± 0.7 (2) |  |" in shown
        kd = '<a href="executed/01_foundations.html#kd"><code>kd</code></a>'
        assert f"| {kd} | – | 84.5 ± 0.7 (2) | no verdict |" in shown

    def test_why_there_is_no_verdict_is_said_once(self, shown):
        assert shown.count("No verdict: its records are of settings that the experiment no longer has.") == 1

    def test_without_records_there_is_the_map_alone(self, tmp_path):
        covered = types.SimpleNamespace(counts=lambda *chapters: (0, 1))
        hero = front.front_parts(Project(clone(tmp_path)), covered, {}, {}, Links({}))["hero.md"]
        assert "kd-alone" in hero and "tab-front" not in hero

    def test_rows_with_published_numbers_of_their_own_keep_them(self):
        """Both readings of a row stand beside the one number that was printed for it."""
        assert tables.beside_rows("si2023-table1", {"afds": 1}) is None
        assert tables.beside_rows("cifar10-first", {"kd": 1}) == {"kd": 1}

    @pytest.mark.parametrize("name", front.SHOWN)
    def test_the_numbers_beside_are_sourced_and_fractions(self, name):
        numbers, source = front.beside(front.SHOWN[name])
        assert source.split()[0] in ("zhao2026", "si2023")
        assert {"student", "teacher", "kd"} <= set(numbers)
        assert all(0.5 < one["value"] < 1 and one["citation"] and one["protocol"] for one in numbers.values())


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
