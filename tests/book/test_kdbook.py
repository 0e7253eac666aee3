import doctest
import importlib.util
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).resolve().parents[2] / "book" / "_ext" / "kdbook.py"


@pytest.fixture(scope="module")
def kdbook():
    spec = importlib.util.spec_from_file_location("kdbook", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def nobody_says(monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "KDCORE_BOOK_URL"):
        monkeypatch.delenv(name, raising=False)


class TestPublic:
    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("https://github.com/someone/thing.git", "https://github.com/someone/thing"),
            ("git@github.com:someone/thing.git", "https://github.com/someone/thing"),
            ("ssh://git@gitlab.com:22/group/sub/thing.git", "https://gitlab.com/group/sub/thing"),
            ("https://user:token@github.com/someone/thing", "https://github.com/someone/thing"),
            ("", ""),
            ("/srv/git/thing.git", ""),
            ("../thing", ""),
            ("file:///srv/git/thing.git", ""),
            ("http://localhost:3000/someone/thing", ""),
            ("https://10.0.0.7/someone/thing", ""),
            ("https://forge.internal/someone/thing", ""),
            ("git@forge:someone/thing", ""),
            ("https://github.com/", ""),
        ],
    )
    def test_only_what_others_could_open_and_never_a_password(self, kdbook, address, shown):
        assert kdbook.public(address) == shown

    def test_the_examples_hold(self, kdbook):
        assert doctest.testmod(kdbook).failed == 0


class TestRepository:
    def test_a_clone_knows_where_it_came_from(self, kdbook, tmp_path):
        git = lambda *words: subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
        git("init")
        assert kdbook.repository(tmp_path) == ""
        git("remote", "add", "origin", "git@github.com:someone/thing.git")
        assert kdbook.repository(tmp_path) == "https://github.com/someone/thing"

    def test_a_workflow_says_it_too(self, kdbook, tmp_path, monkeypatch):
        monkeypatch.setenv("GITHUB_REPOSITORY", "someone/thing")
        assert kdbook.repository(tmp_path) == "https://github.com/someone/thing"
        assert kdbook.base("https://github.com/someone/thing") == "https://someone.github.io/thing/"

    def test_the_book_has_an_address_only_where_somebody_said_so(self, kdbook, monkeypatch):
        assert kdbook.base("https://github.com/someone/thing") == ""
        monkeypatch.setenv("KDCORE_BOOK_URL", "https://example.org/book")
        assert kdbook.base("") == "https://example.org/book/"


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
