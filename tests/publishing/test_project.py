import os

import pytest
from clones import cell, clone, notebook, write

from kdcore.entry import Refusal
from kdcore.publishing.project import Mistake, Project, Source, digest, write_whole


@pytest.fixture
def project(tmp_path):
    return Project(clone(tmp_path, **{"01_one": notebook("x = 1"), "03_three": notebook("x = 3")}))


def source(project, content):
    write(project.root, "09_other", content)
    return Source(project.sources / "09_other.ipynb")


class TestChoice:
    def test_all_notebooks_come_in_order_where_none_is_named(self, project):
        assert [one.name for one in project.notebooks()] == ["01_one", "03_three"]

    @pytest.mark.parametrize("wanted", ["03_three", "03_three.ipynb", "notebooks/03_three.ipynb", " 03_three, "])
    def test_a_name_may_be_written_as_a_file(self, project, wanted):
        assert [one.name for one in project.notebooks(wanted)] == ["03_three"]

    def test_several_are_separated_by_commas_or_blanks(self, project):
        assert len(project.notebooks("03_three,01_one")) == len(project.notebooks("01_one 03_three")) == 2

    def test_an_unknown_name_is_refused_with_the_nearest(self, project):
        with pytest.raises(Refusal, match=r"unknown notebook '03_tree', .* the nearest is '03_three'"):
            project.notebooks("03_tree")


class TestParameters:
    def test_profile_and_device_come_first(self, project):
        assert project.notebooks()[0].parameters() == ["profile", "device"]

    def test_further_ones_follow(self, project):
        wide = notebook(parameters='profile = "quick"\ndevice = "cpu"\ntemperature = 4.0')
        assert source(project, wide).parameters()[2:] == ["temperature"]

    def test_a_notebook_without_the_cell_is_a_mistake(self, project):
        with pytest.raises(Mistake, match=r"09_other.ipynb needs one code cell tagged 'parameters', it has 0"):
            source(project, notebook("x = 1", parameters=None)).parameters()

    def test_another_order_is_a_mistake(self, project):
        with pytest.raises(Mistake, match=r"must begin with profile, device, they are \['device', 'profile'\]"):
            source(project, notebook(parameters='device = "cpu"\nprofile = "quick"')).parameters()

    def test_a_cell_that_is_no_python_is_a_mistake(self, project):
        with pytest.raises(Mistake, match="no Python"):
            source(project, notebook(parameters="profile =")).parameters()


class TestKey:
    VALUES = {"profile": "smoke", "device": "cpu"}  # noqa: RUF012

    def test_the_same_notebook_keeps_its_key(self, project):
        first, second = (source(project, notebook("x = 1")).key(self.VALUES, "around") for _ in range(2))
        assert first == second

    @pytest.mark.parametrize(
        ("content", "values", "around"),
        [
            (notebook("x = 2"), VALUES, "around"),
            (notebook(cell("x = 1", "hide-input")), VALUES, "around"),
            (notebook("x = 1", title="Another"), VALUES, "around"),
            (notebook("x = 1"), VALUES | {"device": "cuda"}, "around"),
            (notebook("x = 1"), VALUES, "another lock"),
        ],
        ids=["source", "tag", "prose", "parameter", "surroundings"],
    )
    def test_whatever_a_page_rests_on_changes_it(self, project, content, values, around):
        before = source(project, notebook("x = 1")).key(self.VALUES, "around")
        assert source(project, content).key(values, around) != before

    def test_outputs_do_not(self, project):
        run = notebook("x = 1")
        run["cells"][-1] |= {
            "execution_count": 7,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}],
        }
        assert source(project, run).key({}, "") == source(project, notebook("x = 1")).key({}, "")


class TestContent:
    def test_the_title_is_the_first_heading(self, project):
        assert project.notebooks()[0].title == "A chapter"

    def test_the_budget_is_read_by_profile(self, project):
        assert project.notebooks()[0].budget("smoke") == 5
        assert project.notebooks()[0].budget("paper") is None

    def test_what_it_took_is_expected_and_else_its_budget(self, project):
        source = project.notebooks()[0]
        source.content["metadata"]["kdcore"]["measured"] = {"quick": 40}
        assert [source.expected(profile) for profile in ("quick", "smoke", "paper")] == [40, 5, 0]

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [{"source": "x"}]}'])
    def test_a_file_that_is_no_notebook_is_a_mistake(self, project, text):
        path = project.sources / "09_broken.ipynb"
        path.write_text(text)
        with pytest.raises(Mistake, match=r"09_broken.ipynb is no notebook"):
            _ = Source(path).cells
        assert Source(path).title == "09_broken"


class TestFiles:
    def test_a_digest_covers_names_and_contents(self, tmp_path):
        a, b = tmp_path / "a", tmp_path / "b"
        a.write_text("1")
        b.write_text("2")
        first = digest([b, a], tmp_path)
        assert first == digest([a, b], tmp_path) != digest([a], tmp_path)
        a.write_text("2")
        b.write_text("1")
        assert digest([a, b], tmp_path) != first

    def test_the_same_text_leaves_a_file_untouched(self, tmp_path):
        path = tmp_path / "deep" / "file"
        write_whole(path, "x")
        os.utime(path, (1, 1))
        write_whole(path, "x")
        assert path.stat().st_mtime == 1
        write_whole(path, "y")
        assert path.read_text() == "y"
        assert [one.name for one in path.parent.iterdir()] == ["file"]

    def test_outside_a_clone_there_is_no_book(self, tmp_path, monkeypatch):
        monkeypatch.setattr("kdcore.publishing.project.PACKAGE", tmp_path / "site-packages" / "kdcore")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(Refusal, match="from a clone of the project"):
            Project.here()
