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
from kdcore.experiments.cost import Cost
from kdcore.publishing.pages import generate
from kdcore.publishing.pages.answers import Answers, Made
from kdcore.publishing.pages.behind import said_behind
from kdcore.publishing.pages.coverage import coverage_page
from kdcore.publishing.pages.errata import errata_parts
from kdcore.publishing.pages.front import DOORS, chapter_map, doors, state
from kdcore.publishing.pages.glossary import glossary_page
from kdcore.publishing.pages.implementations import implementations_page
from kdcore.publishing.pages.links import Links, address, anchor
from kdcore.publishing.pages.methods import GROUPS, SURVEYS, leaf, map_page, sections_of
from kdcore.publishing.pages.reference import api_pages, defined
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
TITLES = survey.contents()


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


class TestReference:
    @pytest.fixture
    def package(self, tmp_path):
        package = tmp_path / "kdcore"
        (package / "losses" / "deep").mkdir(parents=True)
        (package / "losses" / "__init__.py").write_text("from kdcore.losses.one import f\n")
        (package / "losses" / "one.py").write_text("def f(): ...\ndef _g(): ...\nclass C: ...\n")
        (package / "losses" / "_private.py").write_text("def f(): ...\n")
        (package / "losses" / "deep" / "__init__.py").write_text('"""Deep ones.\n\nMore."""\n')
        (package / "losses" / "deep" / "two.py").write_text('def h():\n    """Do it.\n\n    Well."""\n')
        return package

    def test_each_public_module_that_defines_something_has_a_section(self, package):
        page = api_pages(package)["losses.md"]
        assert re.findall(r"auto(\w+):: (\S+)", page) == [
            ("module", "kdcore.losses.one"),
            ("function", "kdcore.losses.one.f"),
            ("class", "kdcore.losses.one.C"),
        ]

    def test_each_package_of_losses_has_a_page_of_its_own(self, package):
        pages = api_pages(package)
        assert "## {doc}`losses-deep`" in pages["losses.md"]
        assert '- <a href="losses-deep.html#kdcore.losses.deep.two.h"><code>h</code></a>: Do it.' in pages["losses.md"]
        assert pages["losses-deep.md"].startswith("(api-losses-deep)=\n# kdcore.losses.deep\n\nDeep ones.\n")
        assert re.findall(r"autofunction:: (\S+)", pages["losses-deep.md"]) == ["kdcore.losses.deep.two.h"]

    def test_a_module_that_only_passes_names_on_defines_none(self, tmp_path):
        (tmp_path / "gather.py").write_text("from other import f\n__all__ = ['f']\n")
        assert defined(tmp_path / "gather.py") == {}

    def test_each_page_of_the_toc_is_made(self):
        toc = (ROOT / "book" / "_toc.yml").read_text()
        named, made = (
            set(re.findall(r"file: generated/api/([\w-]+)", toc)),
            {one.removesuffix(".md") for one in api_pages()},
        )
        below = [one.removesuffix("-*") for one in re.findall(r"glob: generated/api/(\S+)", toc)]
        assert named == {one for one in made if one.partition("-")[0] not in below or "-" not in one}


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
        assert re.findall(r"^:link: (\S+)", doors(project), re.M) == ["/use", "/generated/choose"]

    def test_written_chapters_are_filled_and_the_others_lead_to_the_coverage(self, tmp_path):
        project, chapters = Project(clone(tmp_path)), {"response": CHAPTERS["one"]}
        covered = types.SimpleNamespace(counts=lambda *chapters: (1, 2))
        assert 'class="kd-tile kd-open" href="generated/coverage.html#coverage-response"' in chapter_map(
            project, covered, chapters
        )
        assert "0 of 1 chapters are written, and 1 of 2" in state(project, covered, chapters)
        project.executed.mkdir()
        (project.executed / "01_one.ipynb").write_text("{}")
        assert 'class="kd-tile kd-done" href="executed/01_one.html"' in chapter_map(project, covered, chapters)

    def test_the_map_has_every_chapter_once(self, tmp_path):
        covered = types.SimpleNamespace(counts=lambda *chapters: (1, 2))
        told = chapter_map(Project(clone(tmp_path)), covered, catalogue.CHAPTERS)
        assert told.count('class="kd-tile') == len(catalogue.CHAPTERS)

    def test_the_page_has_the_five_doors_in_their_order_below_the_map(self):
        page = (ROOT / "book" / "index.md").read_text()
        assert page.index("front/hero.md") < page.index("front/doors.md")
        assert [title for title, *_ in DOORS] == ["Read", "Use one loss", "Choose a loss", "Rerun", "Cite"]


class TestGlossary:
    PAGE = glossary_page(survey.glossary(), Links({}, frozenset(survey.rows())))

    def test_every_word_has_both_names_one_sentence_and_a_place(self):
        for word in survey.glossary():
            assert re.search(r"[\u4e00-\u9fff]", word["zh"]) and word["term"].isascii()
            assert re.fullmatch(r"[^.]+\.", word["means"]), word["term"]
            assert set(word.get("rows", [])) <= set(survey.rows()) and (word.get("rows") or word.get("page"))

    def test_no_word_stands_twice(self):
        for field in ("term", "zh"):
            found = Counter(word[field] for word in survey.glossary())
            assert max(found.values()) == 1

    def test_each_is_a_definition_in_the_order_of_the_alphabet(self):
        terms = re.findall(r'<span id="term-[\w-]+">(.*?)</span>.*\n: ', self.PAGE)
        assert len(terms) == len(survey.glossary())
        assert [html.unescape(term).lower() for term in terms] == sorted(
            word["term"].lower() for word in survey.glossary()
        )

    def test_its_pages_are_written_or_made(self):
        toc = (ROOT / "book" / "_toc.yml").read_text()
        assert {word["page"] for word in survey.glossary() if "page" in word} <= set(re.findall(r"file: (\S+)", toc))


class TestBehind:
    ROW = types.MappingProxyType(
        {"one": {"id": "one", "tier": 1, "kind": "loss", "where": ["zhao2026 §5.1 eq10 Table2 [14]"]}}
    )
    ANSWERS = Answers(
        ROW, {"one": {"implemented": True, "test": "tests/test_one.py::TestOne"}},
        {"one": (Made("kdcore/losses/a.py", "one_loss"), Made("kdcore/losses/a.py", "One"))},
        Links({"one": "executed/03_response"}, frozenset(ROW)),
    )  # fmt: skip

    def test_a_function_says_where_it_is_told_tested_published_and_what_it_costs(self):
        said = said_behind(self.ANSWERS, {"first": {"one"}, "other": {"two"}}, {"one": Cost(2.0, 30, 0)})
        for name in ("one_loss", "One"):
            told = said(f"kdcore.losses.a.{name}")
            assert '<a href="../../executed/03_response.html#one"><code>one</code></a>' in told
            assert "zhao2026 section 5.1, eq. 10, Table 2" in told
            assert "TestOne" in told and "{ref}`published-first`" in told
            assert "2.00 x the plain student's arithmetic" in told and "30 more parameters" in told

    def test_a_helper_says_nothing(self):
        assert said_behind(self.ANSWERS, {}, {})("kdcore.losses.a.helper") == ""

    def test_it_stands_behind_its_function(self, tmp_path):
        (tmp_path / "losses").mkdir()
        (tmp_path / "losses" / "a.py").write_text("def one_loss(): ...\n")
        page = api_pages(tmp_path, lambda name: f"behind {name}")["losses.md"]
        assert "autofunction:: kdcore.losses.a.one_loss\n```\n\n~~~{container} kd-key\nbehind kdcore" in page

    def test_costs_are_worked_out_once_for_a_state_of_the_code(self, tmp_path, monkeypatch):
        from kdcore.publishing.pages import behind as module

        asked = []
        costs = {"kd": (2.0, 30, 0)}  # the quick pair cannot serve the other
        monkeypatch.setattr(module, "cost", lambda key: asked.append(key) or costs.get(key))
        project = Project(clone(tmp_path))
        first, again = (module.costs(project, ["kd", "at"]) for _ in range(2))
        assert first == again == {"kd": Cost(2.0, 30, 0)} and asked == ["kd", "at"]


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


class TestTitles:
    """Section titles stand in both languages."""

    @pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "book").glob("*.md")))
    def test_of_the_written_pages(self, name):
        assert titles_without_chinese((ROOT / "book" / name).read_text(encoding="utf-8")) == []

    @pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb")))
    def test_of_the_chapters(self, name):
        cells = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
        prose = ["".join(one["source"]) for one in cells if one["cell_type"] == "markdown"]
        assert titles_without_chinese("\n\n".join(prose)) == []


def titles_without_chinese(text):
    """Titles of the first two levels that stand in English alone, blocks of code left out."""
    plain = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.S | re.M)
    return [line for line in re.findall(r"^#{1,2} .*$", plain, re.M) if "{zh}`" not in line]
