"""The generated pages, on the real data where that is at hand and on three rows where a case has to be made."""

import html
import json
import re
import types
from collections import Counter
from pathlib import Path

import pytest
import yaml
from clones import ROOT, cell, clone, notebook

from kdcore import catalogue, survey
from kdcore.publishing.pages import SECTIONS, generate
from kdcore.publishing.pages.coverage import coverage_page
from kdcore.publishing.pages.errata import errata_parts
from kdcore.publishing.pages.front import doors, state
from kdcore.publishing.pages.implementations import implementations_page
from kdcore.publishing.pages.links import Links, address, anchor
from kdcore.publishing.pages.methods import GROUPS, SURVEYS, leaf, map_page, sections_of
from kdcore.publishing.pages.reference import api_page, api_pages, defined
from kdcore.publishing.pages.surveys import place_of, survey_page
from kdcore.publishing.project import Project

CHAPTERS = {"one": catalogue.Chapter("First", "第一章", (), "notebooks/01_one.ipynb")}
ROWS = [
    {"id": "done-row", "name": "A <done> row", "zh": "完成", "chapter": "one", "kind": "loss", "tier": 1,
     "where": ["zhao2026 §2.1 eq1", "huang2022 §4.2 [3]"]},
    {"id": "open-row", "name": "An open row", "zh": "未完成", "chapter": "one", "kind": "loss", "tier": 2,
     "where": ["si2023 §2.2.1"]},
    {"id": "named-row", "name": "A named row", "zh": "提及", "chapter": "one", "kind": "mechanism", "tier": 3,
     "where": []},
]  # fmt: skip
STATE = {
    "done-row": {"implemented": True, "module": "kdcore/losses/one.py", "notebook": "notebooks/01_one.ipynb"},
    "open-row": {"implemented": False},
    "named-row": {"implemented": False},
}
LINKS = Links({"done-row": "executed/01_one"}, frozenset(STATE))
TITLES = yaml.safe_load(SECTIONS.read_text())


def line(page, key):
    """The line of one row in a page of HTML tables."""
    return re.search(rf'<tr id="row-{key}">.*?</tr>', page)[0]


class TestLinks:
    def test_a_row_is_told_where_a_notebook_bears_its_label(self, tmp_path):
        project = Project(clone(tmp_path))
        project.executed.mkdir()
        labels = cell("(done-row)=\n## Title\n\n(other)=\nText (no-label)=", kind="markdown")
        (project.executed / "01_one.ipynb").write_text(json.dumps(notebook(labels)))
        links = Links.of(project, ["done-row"])
        assert links.homes["done-row"] == links.homes["other"] == "executed/01_one"
        assert not links.told("no-label")

    @pytest.mark.parametrize(
        ("key", "page", "href"),
        [
            ("done-row", "generated/map", "../executed/01_one.html#done-row"),
            ("done-row", "errata", "executed/01_one.html#done-row"),
            ("done-row", "generated/surveys/zhao2026", "../../executed/01_one.html#done-row"),
            ("open-row", "generated/map", "coverage.html#row-open-row"),
            ("open-row", "generated/coverage", "#row-open-row"),
        ],
    )
    def test_a_link_is_relative_to_its_page(self, key, page, href):
        assert LINKS.of_row(key, page) == href

    def test_an_unknown_key_is_code_without_a_link(self):
        assert LINKS.code("no-row", "errata") == "<code>no-row</code>"

    def test_an_address_without_an_anchor_is_a_page(self):
        assert address("generated/coverage", "", "index") == "generated/coverage.html"

    def test_anchors_are_those_of_sphinx(self):
        from docutils.nodes import make_id

        keys = [row["id"] for row in (*survey.inventory(), *survey.additions())]
        assert [anchor(key) for key in keys] == [make_id(key) for key in keys]


class TestCoveragePage:
    PAGE = coverage_page(ROWS, [], STATE, CHAPTERS, LINKS)

    def test_each_row_has_a_line_to_point_at(self):
        assert [f"row-{row['id']}" in self.PAGE for row in ROWS] == [True] * 3

    def test_an_implemented_row_leads_to_its_section_and_names_its_module(self):
        assert 'href="../executed/01_one.html#done-row">yes</a>' in line(self.PAGE, "done-row")
        assert "<small>losses.<wbr>one</small>" in line(self.PAGE, "done-row")

    def test_what_is_missing_says_so(self):
        assert "not yet" in line(self.PAGE, "open-row")
        assert "named in passing" in line(self.PAGE, "named-row")

    def test_the_summary_counts_tiers_one_and_two_and_the_rest_apart(self):
        assert "| {ref}`First <coverage-one>` | 1 | 2 | 1 |" in self.PAGE

    def test_names_are_escaped_and_chinese_is_marked(self):
        assert 'A &lt;done&gt; row <span class="zh" lang="zh">完成</span>' in line(self.PAGE, "done-row")


class TestMap:
    PAGE = map_page(ROWS, {"done-row": True}, CHAPTERS, TITLES, LINKS)

    def test_every_node_is_a_link_in_its_state(self):
        kinds = re.findall(r'<a class="kd-tile (kd-\w+)" href="([^"]+)"', self.PAGE)
        assert kinds == [
            ("kd-done", "../executed/01_one.html#done-row"),
            ("kd-open", "coverage.html#row-open-row"),
            ("kd-named", "coverage.html#row-named-row"),
        ]

    def test_marks_say_which_surveys_name_it(self):
        marks = re.findall(r'aria-hidden="true">(.*?)</span></span>', self.PAGE.partition("</figcaption>")[2])
        assert re.findall(r"kd-(\w+\d)", marks[0]) == ["zhao2026", "huang2022"]

    def test_each_survey_has_its_sections_linked(self):
        assert 'href="surveys/zhao2026.html#zhao2026-2-1"' in self.PAGE
        assert 'href="surveys/si2023.html#si2023-2-2-1"' in self.PAGE

    def test_the_tree_has_every_chapter_once(self):
        told = [key for keys in GROUPS.values() for key in keys]
        assert sorted(told) == sorted(catalogue.CHAPTERS)

    def test_a_leaf_shows_the_sections_that_name_most_of_it_and_leads_to_its_page(self):
        written = leaf("one", CHAPTERS["one"], ROWS, LINKS)
        assert written.link == "../executed/01_one.html"
        assert written.marks == {"Zhao 2026": "2.1", "Si 2023": "2.2.1", "Huang 2022": "4.2"}
        assert leaf("one", CHAPTERS["one"], ROWS, Links({})).link == "coverage.html#coverage-one"

    def test_every_section_that_names_something_is_known_by_title(self):
        for name in SURVEYS:
            numbers = {number for row in survey.inventory() for number in sections_of(row, name)}
            assert numbers <= set(TITLES[name])


class TestErrata:
    @pytest.fixture(scope="class")
    @staticmethod
    def parts():
        return errata_parts(survey.errata(), LINKS)

    def test_each_entry_stands_once_under_its_label(self, parts):
        labels = Counter(re.findall(r"^\(erratum-([\w-]+)\)=$", "\n".join(parts.values()), re.M))
        assert labels == Counter(entry["id"].lower() for entry in survey.errata())

    def test_what_is_not_confirmed_stands_apart_with_what_would_confirm_it(self, parts):
        waiting = [entry for entry in survey.errata() if not entry["confirmed"]]
        assert re.findall(r"^### ([\w-]+):", parts["unconfirmed.md"], re.M) == [entry["id"] for entry in waiting]
        assert parts["unconfirmed.md"].count("**What would confirm it:**") == len(waiting)

    def test_every_entry_shows_its_evidence(self, parts):
        assert "\n".join(parts.values()).count("**Evidence**") == len(survey.errata())

    def test_the_committed_page_includes_every_part(self, parts):
        page = (ROOT / "book" / "errata.md").read_text()
        assert set(re.findall(r"\{include\} generated/errata/(\S+)", page)) == set(parts)


class TestSurveyPages:
    @pytest.mark.parametrize("name", SURVEYS)
    def test_every_numbered_equation_stands_in_its_section(self, name):
        equations = [one for one in survey.equations() if one["survey"] == name]
        assert {place_of(one, survey.inventory(), name) for one in equations} <= set(TITLES[name])
        text = next(one for one in survey.surveys() if one["id"] == name)
        page = survey_page(text, survey.inventory(), equations, survey.errata(), TITLES[name], LINKS)
        assert re.findall(r"^\*\*Equation (\d+)\*\*", page, re.M) == [str(one["number"]) for one in equations]

    def test_a_corrected_equation_shows_both_forms(self):
        entry = {"id": "zhao2026-1", "survey": "zhao2026", "number": 1, "title": "T", "latex": "a", "corrected": "b",
                 "rows": ["done-row"]}  # fmt: skip
        text = {"id": "zhao2026", "zh": "综述", "title": "A survey", "cite": "zhao2026"}
        page = survey_page(text, ROWS, [entry], [], TITLES["zhao2026"], LINKS)
        assert "```{math}\na\n```\nImplemented as\n\n```{math}\nb\n```" in page


class TestReference:
    def test_each_public_module_that_defines_something_has_a_section(self, tmp_path):
        package = tmp_path / "kdcore"
        (package / "losses" / "deep").mkdir(parents=True)
        (package / "losses" / "__init__.py").write_text("from kdcore.losses.one import f\n")
        (package / "losses" / "one.py").write_text("def f(): ...\ndef _g(): ...\nclass C: ...\n")
        (package / "losses" / "_private.py").write_text("def f(): ...\n")
        (package / "losses" / "deep" / "two.py").write_text("def h(): ...\n")
        page = api_page(package, "losses", "What is matched.")
        assert re.findall(r"automodule:: (\S+)\n   :members: (.*)", page) == [
            ("kdcore.losses.one", "f, C"),
            ("kdcore.losses.deep.two", "h"),
        ]

    def test_a_module_that_only_passes_names_on_defines_none(self, tmp_path):
        (tmp_path / "gather.py").write_text("from other import f\n__all__ = ['f']\n")
        assert defined(tmp_path / "gather.py") == []

    def test_each_page_of_the_toc_is_made(self):
        toc = (ROOT / "book" / "_toc.yml").read_text()
        assert set(re.findall(r"generated/api/(\w+)", toc)) == {name.removesuffix(".md") for name in api_pages()}


class TestImplementations:
    def test_every_reference_is_listed_with_its_commit(self):
        folder = ROOT / "tests" / "reference"
        page = implementations_page(folder, LINKS)
        sources = [
            one for path in folder.glob("*.yaml") if path.stem != "none" for one in yaml.safe_load(path.read_text())
        ]
        assert page.count("https://github.com/") == len(sources)
        assert all(f"<code>{one['commit'][:7]}</code>" in page for one in sources)

    def test_what_has_none_says_why(self):
        folder = ROOT / "tests" / "reference"
        none = yaml.safe_load((folder / "none.yaml").read_text())
        after = implementations_page(folder, LINKS).partition("## Without such code")[2]
        assert all(f"<code>{key}</code>: " in after for key in none)


class TestFront:
    def test_a_door_without_a_page_behind_it_is_left_out(self, tmp_path):
        project = Project(clone(tmp_path))
        (project.book / "use.md").write_text("# Use\n")
        assert re.findall(r"^:link: (\S+)", doors(project), re.M) == ["/use"]

    def test_written_chapters_are_filled_and_the_others_lead_to_the_coverage(self, tmp_path):
        project = Project(clone(tmp_path))
        covered = types.SimpleNamespace(counts=lambda *chapters: (1, 2))
        assert 'class="kd-tile kd-open" href="generated/coverage.html#coverage-one"' in state(
            project, covered, CHAPTERS
        )
        project.executed.mkdir()
        (project.executed / "01_one.ipynb").write_text("{}")
        assert 'class="kd-tile kd-done" href="executed/01_one.html"' in state(project, covered, CHAPTERS)


class TestGenerate:
    def test_another_book_gets_no_pages_of_ours(self, tmp_path):
        project = Project(clone(tmp_path))
        generate(project)
        assert not project.generated.exists()

    def test_no_page_links_to_a_row_that_has_no_line(self, monkeypatch, tmp_path):
        from kdcore.publishing import pages

        made = dict(pages.pages(Project(ROOT)))
        lines = set(re.findall(r'<tr id="([^"]+)">', made["coverage.md"]))
        pointed = {html.unescape(name) for text in made.values() for name in re.findall(r'#(row-[^"]+)"', text)}
        assert pointed
        assert pointed <= lines

    def test_every_page_of_the_toc_is_written_or_made(self):
        from kdcore.publishing import pages

        made = {f"generated/{name}" for name, _ in pages.pages(Project(ROOT))}
        names = re.findall(r"^ *- file: (\S+)$", (ROOT / "book" / "_toc.yml").read_text(), re.M)
        there = lambda name: f"{name}.md" in made or Path(ROOT, "book", f"{name}.md").is_file()
        notebooks = [name for name in names if name.startswith("executed/")]
        assert [name for name in names if not there(name) and name not in notebooks] == []
        sources = [f"executed/{path.stem}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
        assert notebooks == sources
