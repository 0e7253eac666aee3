"""The pages of the surveys and the notes: nothing that a text prints is left without a line."""

import html
import json
import re
from pathlib import Path

import pytest
from clones import ROOT

from kdcore import catalogue, survey
from kdcore.publishing.pages.answers import Answers, Made
from kdcore.publishing.pages.links import Links
from kdcore.publishing.pages.methods import SURVEYS
from kdcore.publishing.pages.places import address_of, label, places, places_in, rows_of, touches
from kdcore.publishing.pages.surveys import notes_page, survey_page

TEXTS = {text["id"]: text for text in survey.surveys()}
ROWS = {row["id"]: row for row in survey.inventory()}
STATE = {
    "dkd": {"implemented": True, "test": "tests/losses/test_one.py::TestDKD"},
    "zhao-table1": {"implemented": True},
}
MADE = {"dkd": (Made("kdcore/losses/one.py", "DKD"), Made("kdcore/losses/one.py", "dkd_loss"))}
LINKS = Links({"dkd": "executed/03_response", "zhao-table1": "executed/03_response"}, frozenset(ROWS))
ANSWERS = Answers(ROWS, STATE, MADE, LINKS, "https://github.com/someone/thing", catalogue.ALIASES)


@pytest.fixture(scope="module")
def pages():
    """Every page by the id of its text."""
    contents, equations, errata = survey.contents(), survey.equations(), survey.errata()
    made = {key: survey_page(TEXTS[key], contents[key], equations, errata, ANSWERS) for key in SURVEYS}
    notes = notes_page([TEXTS["note-hinton"], TEXTS["note-kd"]], contents, errata, ANSWERS)
    return made | {"note-hinton": notes, "note-kd": notes}


def line(page, name):
    """The line of the table of contents that begins with a name."""
    return re.search(rf'<tr class="[\w-]+"[^>]*><th scope="row">(?:<a [^>]*>)?{name}\b.*?</tr>', page)[0]


class TestContents:
    def test_all_42_equations_have_a_section_and_no_other_number_has(self):
        told = [
            (text, place.number)
            for text, sections in survey.contents().items()
            for number, section in sections.items()
            for place in places(section, number)
            if place.kind == "equation"
        ]
        assert sorted(told) == sorted((one["survey"], one["number"]) for one in survey.equations())
        assert len(told) == 42

    @pytest.mark.parametrize(("kind", "mark"), [("figure", "Fig"), ("table", "Table")])
    def test_every_figure_and_table_that_a_row_names_has_a_section(self, kind, mark):
        named = {
            (place.split()[0], int(number))
            for row in survey.inventory()
            for place in row["where"]
            for number in re.findall(rf"\b{mark}(\d+)", place)
        }
        told = {
            (text, place.number)
            for text, sections in survey.contents().items()
            for number, section in sections.items()
            for place in places(section, number)
            if place.kind == kind
        }
        assert named == told

    def test_every_section_that_a_row_or_an_erratum_names_is_there(self):
        said = [place for row in survey.inventory() for place in row["where"]]
        said += [f"{one['survey']} {one['place']}" for one in survey.errata() if one["survey"] != "all"]
        for place in said:
            text = place.split()[0]
            for number in re.findall(r"§(\d+(?:\.\d+)*)", place):
                assert number in survey.contents()[text], place

    def test_a_number_stands_once_in_a_text(self):
        for sections in survey.contents().values():
            for kind in ("equation", "figure", "table"):
                found = [
                    one.number
                    for name, section in sections.items()
                    for one in places(section, name)
                    if one.kind == kind
                ]
                assert found == sorted(set(found))

    def test_titles_are_in_both_languages(self):
        for sections in survey.contents().values():
            for section in sections.values():
                assert section["title"].isascii() and re.search(r"[\u4e00-\u9fff]", section["zh"])


class TestPage:
    @pytest.mark.parametrize("text", SURVEYS)
    def test_every_equation_figure_and_table_has_a_line(self, pages, text):
        for number, section in survey.contents()[text].items():
            for place in places(section, number):
                word = {"equation": "Eq.", "figure": "Fig.", "table": "Table"}[place.kind]
                assert line(pages[text], f"{word} {place.number}")

    @pytest.mark.parametrize("text", list(TEXTS))
    def test_every_section_has_a_line_and_a_heading_to_point_at(self, pages, text):
        for number, section in survey.contents()[text].items():
            assert f"§{number} {html.escape(section['title'])}</a>" in pages[text]
            assert f"({label(text, number)})=\n#" in pages[text]

    @pytest.mark.parametrize("text", SURVEYS)
    def test_equations_stand_under_their_own_text_alone_in_order(self, pages, text):
        own = [one for one in survey.equations() if one["survey"] == text]
        assert re.findall(r"^\*\*Equation (\d+)\*\*", pages[text], re.M) == [str(one["number"]) for one in own]

    def test_the_formulas_of_the_notes_are_listed(self, pages):
        count = sum(
            len(section.get("formulas", ()))
            for text in ("note-hinton", "note-kd")
            for section in survey.contents()[text].values()
        )
        assert pages["note-kd"].count('<tr class="kd-formula"') == count == 6

    def test_what_answers_a_line_is_linked(self, pages):
        found = line(pages["zhao2026"], "Eq. 10")
        assert 'href="../../executed/03_response.html#dkd"' in found
        assert 'href="../api/losses.html#kdcore.losses.one.dkd_loss"' in found
        assert found.index("dkd_loss</code>") < found.index("DKD</code>")
        assert 'href="https://github.com/someone/thing/blob/HEAD/tests/losses/test_one.py"' in found
        assert 'href="../../errata.html#erratum-z-01"' in found

    def test_what_nothing_answers_yet_is_planned(self, pages):
        assert 'href="../coverage.html#row-fitnet">planned</a>' in line(pages["zhao2026"], "Eq. 5")

    def test_a_table_names_the_command_that_makes_it(self, pages):
        assert "kdcore run zhao2026-table1" in line(pages["zhao2026"], "Table 1")
        assert "kdcore run" not in line(pages["zhao2026"], "Table 2")

    def test_a_corrected_equation_shows_both_forms(self, pages):
        assert pages["zhao2026"].count("Implemented as") == sum(
            "corrected" in one for one in survey.equations() if one["survey"] == "zhao2026"
        )

    @pytest.mark.parametrize(
        ("text", "link"),
        [
            ("zhao2026", "https://www.hanspub.org/journal/paperinformation?paperid=135561"),
            ("huang2022", "https://doi.org/10.11897/SP.J.1016.2022.00624"),
        ],
    )
    def test_the_citation_is_whole_and_leads_to_the_text(self, pages, text, link):
        for author in TEXTS[text]["authors"]:
            assert author in pages[text]
        assert f"<{link}>" in pages[text]

    def test_an_address_that_the_copies_do_not_give_is_left_out(self, pages):
        assert "http" not in pages["si2023"].partition("Every section")[0]


class TestLines:
    """A line is lost neither where an equation is added to the data nor where a row is renamed."""

    def test_an_equation_without_a_row_is_an_error(self):
        place = next(one for one in places({"equations": [99]}, "1"))
        with pytest.raises(KeyError):
            rows_of(place, "zhao2026", ANSWERS, {})

    def test_a_table_is_answered_by_its_own_row(self):
        place = next(one for one in places({"tables": {2: "T"}}, "6"))
        assert rows_of(place, "zhao2026", ANSWERS, {}) == ["zhao-table2"]

    def test_a_figure_is_answered_by_what_it_shows_before_the_page_of_diagrams(self):
        found = {number: next(places({"figures": {number: "T"}}, "1")) for number in (3, 4)}
        assert rows_of(found[3], "si2023", ANSWERS, {}) == ["fitnet"]
        assert rows_of(found[4], "si2023", ANSWERS, {}) == ["scheme-diagrams"]

    def test_an_erratum_of_another_number_is_not_taken(self):
        place = next(places({"tables": {1: "T"}}, "2.3"))
        wrong = {"survey": "zhao2026", "place": "§6, Table 12", "equations": []}
        assert not touches(wrong, place, "zhao2026")
        assert touches(wrong | {"place": "§2.3, Table 1"}, place, "zhao2026")
        assert not touches(wrong | {"place": "§2.3, Table 1"}, place, "si2023")


class TestPlacesInProse:
    @pytest.mark.parametrize(
        ("said", "found"),
        [
            ("zhao2026 eq. 2, si2023 eq. 1; missing", ["zhao2026 eq. 2", "si2023 eq. 1"]),
            ("huang2022 eq. 7, and eq. 15 as a sum", ["huang2022 eq. 7", "eq. 15"]),
            ("zhao2026\neq. 6, 7", ["zhao2026\neq. 6", "7"]),
            ("zhao2026's eq. 14 has none. Ours, eq. 2, has", ["eq. 14"]),
            ("zhao2026 takes the root first (eq. 6; {ref}`Z-06 <z>`) and divides (eq. 7)", ["eq. 6", "eq. 7"]),
            ("si2023 eq. 2 {cite:p}`one`, eq. 3", ["si2023 eq. 2"]),
            ("zhao2026 eq. 10, eq. 7 of the paper, the paper's eq. 5", ["zhao2026 eq. 10"]),
            ("huang2022 (Fig. 3) shows", ["Fig. 3"]),
            ("zhao2026 eq. 2 of 40", ["zhao2026 eq. 2"]),
            ("zhao2026 has 3 tables", []),
            ("zhao2026 eq. 2 and 30 epochs", ["zhao2026 eq. 2"]),
            ("ours eq. 3", []),
        ],
    )
    def test_are_found_where_the_text_has_them(self, said, found):
        assert [said[start:end] for start, end, _ in places_in(said)] == found

    def test_lead_to_a_line_of_the_page(self, pages):
        for text in SURVEYS:
            for number, section in survey.contents()[text].items():
                for place in places(section, number):
                    _, anchor = address_of(text, place.kind, str(place.number))
                    assert f"({anchor})=" in pages[text] or f'id="{anchor}"' in pages[text]


def told_in(path: Path) -> set[tuple[str, str, str]]:
    """Places that the prose of a notebook names."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return {place for text in prose for *_, place in places_in(text)}


def test_each_chapter_names_the_numbered_equations_that_it_tells():
    """So that each number, a link in the book, leads back to the survey's own page."""
    labels, named = {}, set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        named |= told_in(path)
        labels |= dict.fromkeys(re.findall(r"\(([a-z0-9-]+)\)=", path.read_text(encoding="utf-8")), path.stem)
    told = [one for one in survey.equations() if any(key in labels for key in one["rows"])]
    assert told
    missing = [one["id"] for one in told if (one["survey"], "equation", str(one["number"])) not in named]
    assert missing == []
