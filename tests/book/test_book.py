"""What a reader meets: a built book, read from its folder in a browser without a network."""

import re
import shutil

import pytest
from browser import DESKTOP, PHONE
from bs4 import BeautifulSoup

from kdcore.publishing.checking import faults

PAGES = ("index.html", "executed/01_good.html", "executed/02_raises.html", "search.html")
# Without `preload`, for which axe asks for the style sheets by script: a browser refuses that on files, and says so on
# whatever page the tab shows by then.
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], preload: false}"
SETTLED = "new Promise(done => setTimeout(() => done(true), 400))"  # the theme fades between its colours
FORMULAS = "document.querySelectorAll('.math').length - document.querySelectorAll('mjx-container').length"


def words(path):
    """The text of a page as it is read."""
    return " ".join(BeautifulSoup(path.read_text(), "html.parser").get_text().split())


@pytest.fixture(scope="module")
def html(small):
    return small[0] / "_build" / "html"


class TestBuild:
    def test_a_notebook_that_raises_ends_with_status_one_and_its_cell_named(self, small):
        _, status, told = small
        assert status == 1
        assert re.search(r"^01_good +ran +\d+\.\d of 5 core-seconds, imports \d+\.\d more", told, re.M)
        assert re.search(r"^02_raises +failed +code cell 2, `1 / 0`: ZeroDivisionError: division by zero", told, re.M)

    def test_the_page_to_open_is_named(self, small, html):
        assert f"book: {html / 'index.html'}" in small[2]

    def test_its_page_shows_a_notice(self, html):
        page = words(html / "executed" / "02_raises.html")
        assert "This notebook did not run to its end" in page
        assert "ZeroDivisionError: division by zero" in page

    def test_every_link_anchor_and_file_is_there_and_nothing_comes_from_elsewhere(self, html):
        assert faults(html) == []

    def test_chinese_is_marked_as_such_in_titles_and_beside_them(self, html):
        page = (html / "executed" / "01_good.html").read_text()
        assert re.search(r'<h1>.*<span class="zh" lang="zh">一章</span>', page)
        assert re.search(r'<h2>.*<span class="zh" lang="zh">知识蒸馏的软化标签</span>', page)
        assert re.search(r'<nav.*lang="zh">知识蒸馏的软化标签</span>', page, re.S)

    def test_a_page_says_how_it_was_made(self, html):
        page = words(html / "executed" / "01_good.html")
        assert page.count("How this page was made") == 2 and "Profile smoke, device cpu." in page
        assert "make book PROFILE=smoke DEVICE=cpu NOTEBOOKS=01_good" in page

    def test_no_button_leads_nowhere(self, html):
        page = (html / "executed" / "01_good.html").read_text()
        for dead in ("thebe", "binder", "colab", "executablebooks", "source-repository-button"):
            assert dead not in page.lower()

    @pytest.mark.slow
    def test_a_whole_book_is_built_without_a_warning_and_then_not_again(self, small, capsys, monkeypatch, tmp_path):
        from clones import notebook, write

        from kdcore.publishing import make_book

        monkeypatch.setattr("kdcore.publishing.notebooks.surroundings", lambda project: "")
        monkeypatch.setattr("kdcore.publishing.build.PACKAGE", tmp_path)  # also while somebody saves a file of it
        root = small[0].with_name("whole")
        shutil.copytree(small[0], root, ignore=shutil.ignore_patterns("html"))
        write(root, "02_raises", notebook("1 / 1"))
        cells = (root / "notebooks" / "02_raises.ipynb").read_text().replace("(a-label)=", "(another)=")
        (root / "notebooks" / "02_raises.ipynb").write_text(cells)
        assert make_book("smoke", root=root) == 0
        before = (root / "_build" / "html" / "index.html").stat().st_mtime_ns
        capsys.readouterr()
        assert make_book("smoke", root=root) == 0
        assert (root / "_build" / "html" / "index.html").stat().st_mtime_ns == before
        assert capsys.readouterr().out.count("up to date") == 3

    @pytest.mark.slow
    def test_a_warning_fails_the_book_and_is_told(self, small, capsys):
        from kdcore.publishing.build import build
        from kdcore.publishing.project import Project

        root = small[0].with_name("warned")
        shutil.copytree(small[0], root, ignore=shutil.ignore_patterns("html"))
        (root / "book" / "index.md").write_text("# Front\n\nSee {ref}`no-such-label` and [nothing](nowhere.md).\n")
        built = build(Project(root))
        assert not built.good
        assert any("no-such-label" in warning for warning in built.warnings)
        assert "warnings, which count as errors" in "\n".join(built.lines(Project(root)))


class TestInABrowser:
    @pytest.mark.parametrize("name", PAGES)
    @pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
    def test_it_asks_for_nothing_outside_complains_of_nothing_and_fits(self, page, html, name, size, scheme):
        page.visit(html / name, size=size, scheme=scheme)
        assert [one for one in page.requests if not one.startswith(("file:", "data:", "blob:"))] == []
        assert page.faults == []
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert page.run(FORMULAS) == 0

    def test_every_formula_is_typeset(self, page, html):
        page.visit(html / "executed" / "01_good.html")
        assert page.run("document.querySelectorAll('mjx-container').length") == 2
        assert page.run("document.querySelectorAll('mjx-merror').length") == 0

    def test_a_wide_table_scrolls_in_its_own_box(self, page, html):
        page.visit(html / "executed" / "01_good.html", size=PHONE)
        box = "document.querySelector('table.kd-table').closest('.pst-scrollable-table-container')"
        assert page.run(f"{box}.scrollWidth > {box}.clientWidth")

    def test_the_scheme_of_the_system_is_followed(self, page, html):
        for scheme in ("light", "dark"):
            page.visit(html / "index.html", scheme=scheme)
            assert page.run("document.documentElement.dataset.theme") == scheme

    @pytest.mark.parametrize("word", ["知识蒸馏", "蒸馏", "softened", "chapter"])
    def test_search_finds_chinese_and_english(self, page, html, word):
        page.visit(html / "search.html", query=f"?q={word}")
        page.until("document.querySelectorAll('#search-results ul.search li').length > 0")
        assert "01_good" in page.run("document.querySelector('#search-results ul.search').innerHTML")

    def test_there_is_one_search_field(self, page, html):
        page.visit(html / "index.html")
        fields = "[...document.querySelectorAll('.search-button-field')].filter(one => one.offsetParent)"
        assert page.run(f"{fields}.length") == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("name", PAGES)
    def test_axe_finds_no_barrier(self, page, html, axe, name):
        for scheme in ("light", "dark"):
            page.visit(html / name, scheme=scheme)
            page.run(SETTLED)
            page.run(f"{axe}; true")
            found = page.run(f"axe.run(document, {RULES}).then(told => told.violations.map(one => one.id))")
            assert found == []
