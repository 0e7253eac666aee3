import os
import re

import pytest
from clones import clone, notebook

from kdcore.publishing import build as building
from kdcore.publishing.build import Built, build, replace, state
from kdcore.publishing.checking import faults
from kdcore.publishing.project import Project


@pytest.fixture
def project(tmp_path):
    return Project(clone(tmp_path, **{"01_one": notebook("x = 1")}))


def page(folder, name, body):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"<html><head></head><body>{body}</body></html>")


class TestFaults:
    def test_a_book_that_holds_together_has_none(self, tmp_path):
        page(tmp_path, "index.html", '<a href="deep/other.html#here">x</a><a href="https://example.org">y</a>')
        page(tmp_path, "deep/other.html", '<p id="here"><a href="../index.html">back</a><a href="#here">up</a></p>')
        assert faults(tmp_path) == []

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ('<a href="none.html">x</a>', "none.html leads to no file"),
            ('<a href="#nowhere">x</a>', "#nowhere leads to no place in its page"),
            ('<a href="two%20words.html#no">x</a>', "two%20words.html#no leads to no place in its page"),
            ('<img src="data:image/png;base64,AA">', "has no description"),
            ('<img src="gone.png" alt="A line">', "gone.png leads to no file"),
            (
                '<script src="https://cdn.example.org/x.js"></script>',
                "loads https://cdn.example.org/x.js from elsewhere",
            ),
            ('<link rel="stylesheet" href="//cdn.example.org/x.css">', "loads //cdn.example.org/x.css from elsewhere"),
        ],
    )
    def test_each_kind_is_found(self, tmp_path, body, fault):
        page(tmp_path, "index.html", body)
        page(tmp_path, "two words.html", "")
        (found,) = faults(tmp_path)
        assert found.startswith("index.html: ")
        assert fault in found

    def test_a_canonical_address_is_no_load(self, tmp_path):
        page(tmp_path, "index.html", '<link rel="canonical" href="https://example.org/index.html">')
        assert faults(tmp_path) == []


class TestState:
    @pytest.mark.parametrize(
        "change",
        [
            lambda root: (root / "book" / "index.md").write_text("# Changed\n"),
            lambda root: (root / "book" / "_static" / "kd.css").write_text("/* changed */"),
            lambda root: (root / "book" / "_ext" / "kdbook.py").write_text("# changed"),
            lambda root: (root / "_config.yml").write_text("title: changed"),
            lambda root: (root / "book" / "executed").mkdir() or (root / "book/executed/01.ipynb").write_text("{}"),
        ],
        ids=["prose", "style", "extension", "configuration", "notebook"],
    )
    def test_whatever_a_book_shows_changes_it(self, project, change):
        before = state(project)
        assert state(project) == before
        change(project.root)
        assert state(project) != before

    def test_so_does_the_address(self, project, monkeypatch):
        before = state(project)
        monkeypatch.setenv("KDCORE_BOOK_URL", "https://example.org/book")
        assert state(project) != before


class TestBuild:
    def stand_in(self, monkeypatch, status=0, output="", made=True):
        """Sphinx replaced by a page that says which build it is of."""
        calls = []

        def sphinx(project, folder, strict):
            calls.append(strict)
            if made:
                page(folder / "_build" / "html", "index.html", f"build {len(calls)}")
            return status, output

        monkeypatch.setattr(building, "sphinx", sphinx)
        return calls

    def test_an_unchanged_book_is_built_once(self, project, monkeypatch):
        calls = self.stand_in(monkeypatch)
        assert build(project).good
        again = build(project)
        assert (again.good, again.fresh) == (True, False)
        assert calls == [True]

    def test_a_changed_one_again_and_from_nothing(self, project, monkeypatch):
        self.stand_in(monkeypatch)
        build(project)
        (project.html / "left over.html").write_text("")
        (project.book / "index.md").write_text("# Changed\n")
        assert "build 2" in build(project).page.read_text()
        assert [path.name for path in project.html.iterdir()] == ["index.html"]

    def test_warnings_are_told_and_the_book_is_tried_again(self, project, monkeypatch):
        calls = self.stand_in(monkeypatch, 1, "reading\nindex.md:3: WARNING: something\n")
        built = build(project)
        assert not built.good
        assert built.warnings == ["index.md:3: WARNING: something"]
        assert "1 warnings, which count as errors" in "\n".join(built.lines(project))
        build(project)
        assert len(calls) == 2

    def test_a_broken_link_counts_as_a_warning(self, project, monkeypatch):
        self.stand_in(monkeypatch)
        monkeypatch.setattr(building, "faults", lambda html: ["index.html: x leads to no file"])
        assert not build(project).good
        assert build(project, strict=False).good

    def test_where_nothing_was_built_no_old_page_is_shown_as_new(self, project, monkeypatch):
        self.stand_in(monkeypatch)
        build(project)
        self.stand_in(monkeypatch, 2, "Extension error", made=False)
        (project.book / "index.md").write_text("# Changed\n")
        built = build(project)
        assert not built.good
        assert not built.page.exists()
        assert "could not be built" in "\n".join(built.lines(project))

    def test_nothing_is_left_beside_the_book(self, project, monkeypatch):
        self.stand_in(monkeypatch)
        build(project)
        assert sorted(path.name for path in project.build.iterdir()) == ["book.log", "book.sha256", "html"]

    def test_the_page_to_open_is_the_last_line(self, project):
        built = Built(True, True, project.html / "index.html", project.build / "book.log")
        project.html.mkdir(parents=True)
        built.page.write_text("")
        assert built.lines(project) == [f"book: {project.html / 'index.html'}"]

    def test_a_folder_is_replaced_whole(self, tmp_path):
        for name in ("old", "new"):
            (tmp_path / name).mkdir()
            (tmp_path / name / name).write_text("")
        replace(tmp_path / "old", tmp_path / "new")
        assert [path.name for path in (tmp_path / "old").iterdir()] == ["new"]
        assert os.listdir(tmp_path) == ["old"]


class TestConfiguration:
    def test_no_address_is_written_down_but_those_of_the_licences(self, project):
        text = (project.root / "_config.yml").read_text()
        hosts = set(re.findall(r"https?://([^/\s\"]+)", text))
        assert hosts <= {"www.apache.org", "creativecommons.org"}
