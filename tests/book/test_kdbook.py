import doctest
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document

PATH = Path(__file__).resolve().parents[2] / "book" / "_ext" / "kdbook.py"


@pytest.fixture(scope="module")
def kdbook():
    spec = importlib.util.spec_from_file_location("kdbook", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_hold(kdbook):
    assert doctest.testmod(kdbook).failed == 0


def configured(kdbook, monkeypatch, address):
    """The theme's options after our extension has seen them."""
    monkeypatch.setattr(kdbook, "repository", lambda root: address)
    config = SimpleNamespace(html_theme_options={"launch_buttons": {"binderhub_url": "x"}}, html_baseurl="")
    kdbook.configure(SimpleNamespace(events=SimpleNamespace(listeners={}), srcdir="book"), config)
    return config.html_theme_options


class TestButtons:
    def test_without_an_address_there_are_none(self, kdbook, monkeypatch):
        assert configured(kdbook, monkeypatch, "") == {"repository_url": ""}

    def test_a_host_without_such_pages_gets_none(self, kdbook, monkeypatch):
        assert configured(kdbook, monkeypatch, "https://example.org/someone/thing") == {"repository_url": ""}

    def test_with_one_they_lead_to_it(self, kdbook, monkeypatch):
        options = configured(kdbook, monkeypatch, "https://github.com/someone/thing")
        assert options["repository_url"] == "https://github.com/someone/thing"
        assert options["use_edit_page_button"]
        assert "launch_buttons" not in options

    def test_a_notebook_is_edited_where_it_was_written_and_a_generated_page_not_at_all(self, kdbook):
        edit = "https://github.com/someone/thing/edit/main/book"
        button = {"buttons": [{"url": f"{edit}/executed/01_one.ipynb"}, {"url": f"{edit}/generated/map.md"}]}
        moved = kdbook.at_source(button)["buttons"]
        assert moved == [{"url": "https://github.com/someone/thing/edit/main/notebooks/01_one.ipynb"}]


class TestTidy:
    def test_thebe_goes_and_nothing_stands_twice(self, kdbook):
        script = lambda name, **attributes: SimpleNamespace(filename=name, attributes=attributes)
        inline = script(None, body="let x = 1")
        files = [script("a.js"), script("sphinx-thebe.js"), script(None, body="const THEBE_JS_URL = 1"), inline, inline]
        context = {"script_files": files, "css_files": ["a.css", "a.css", "thebe.css"]}
        kdbook.tidy(None, "index", "page.html", context, None)
        assert context["script_files"] == [files[0], inline]
        assert context["css_files"] == ["a.css"]


class TestWithoutTree:
    @pytest.mark.parametrize(("page", "kept"), [("_modules/kdcore/types", False), ("generated/api/index", True)])
    def test_only_a_listing_goes_without_the_tree_of_pages(self, kdbook, page, kept):
        context = {"sidebars": ["navbar-logo.html", "search-button-field.html", kdbook.TREE]}
        kdbook.without_tree(None, page, "page.html", context, None)
        assert (kdbook.TREE in context["sidebars"]) == kept and len(context["sidebars"]) == 2 + kept

    def test_the_tree_has_that_name_in_the_theme(self, kdbook):
        import sphinx_book_theme

        folder = Path(sphinx_book_theme.__file__).parent / "theme" / "sphinx_book_theme"
        assert kdbook.TREE in (folder / "theme.conf").read_text()


class TestOrigins:
    @pytest.mark.parametrize(
        ("caption", "frames"),
        [
            ("Gains, edition 1, committed record; again:", ["committed record"]),
            ("Gains published by others beside this build.", ["published by others", "this build"]),
            ("Two intervals for each gain, committed records.", []),
        ],
    )
    def test_the_words_themselves_are_framed_and_no_part_of_longer_ones(self, kdbook, caption, frames):
        table = nodes.table("", nodes.title("", caption))
        page = new_document("page")
        page += table
        kdbook.marked(None, page, "page")
        assert [found.astext() for found in page.findall(nodes.inline)] == frames
        assert table.astext() == caption


class TestDocstring:
    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            ("Survey: zhao2026 eq. 10", "\n**Survey:** zhao2026 eq. 10"),
            ("    Paper: {cite:t}`one`", "\n    **Paper:** :cite:t:`one`"),
            ("see errata Z-01, S-02", "see errata :ref:`Z-01 <erratum-z-01>`, :ref:`S-02 <erratum-s-02>`"),
            (r"L = \{a\}", r"L = \{a\}"),
            ("plain {words} stay", "plain {words} stay"),
        ],
    )
    def test_its_short_forms_become_links(self, kdbook, line, shown):
        assert kdbook.linked(line) == shown
