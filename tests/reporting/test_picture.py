"""The drawing of a small table: numbers as the table shows them, places that keep their order and scale."""

import re
from xml.etree import ElementTree

import pytest

from kdcore.publishing.picture import picture
from kdcore.publishing.project import Project
from kdcore.reporting import result_table
from kdcore.reporting.picture import svg_table

SVG = "{http://www.w3.org/2000/svg}"
BESIDE = {"kd": {"value": 0.7445, "citation": "zhao2026", "protocol": "theirs"}}


@pytest.fixture
def drawn(rows):
    records = [*rows("student", (0.78, 0.80, 0.82)), *rows("kd", (0.90, 0.90, 0.90)), *rows("at", (0.86, 0.87, 0.88))]
    return svg_table(result_table(records, published=BESIDE), "somewhere", "A remark & more.")


class TestDrawing:
    def test_it_is_xml_with_a_title(self, drawn):
        assert ElementTree.fromstring(drawn).find(f"{SVG}title").text.endswith("accuracy in %")

    def test_numbers_are_those_of_the_table(self, drawn):
        said = [text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
        assert "80.0 ± 2.0 (3)" in said and "90.0 ± 0.0 (3)" in said
        assert "74.45" in said and said.count("–") == 2
        assert "A remark & more." in said

    def test_means_stand_in_their_order_on_one_scale(self, drawn):
        dots = [float(dot.get("cx")) for dot in ElementTree.fromstring(drawn).iter(f"{SVG}circle")]
        student, kd, at = dots
        assert student < at < kd
        assert (at - student) / (kd - student) == pytest.approx(0.7, abs=0.01)

    def test_a_bar_is_two_standard_deviations_long(self, drawn):
        bars = [line for line in ElementTree.fromstring(drawn).iter(f"{SVG}line") if line.get("stroke-width") == "2"]
        lengths = [float(bar.get("x2")) - float(bar.get("x1")) for bar in bars]
        assert lengths[0] == pytest.approx(2 * lengths[2], abs=0.3) and lengths[1] == pytest.approx(0)


def test_the_readme_shows_the_newest_edition():
    """`python -m kdcore.publishing.picture` draws it anew after a publication."""
    project = Project.here()
    committed = (project.book / "_static" / "table.svg").read_text(encoding="utf-8")
    assert committed == picture(project)
    assert re.search(r"\!\[[^\]]{30,}\]\(book/_static/table\.svg\)", (project.root / "README.md").read_text())
