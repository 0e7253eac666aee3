"""The data of the surveys is whole, joined, and says no more than is known."""

import re
from collections import Counter

import pytest
import yaml

from kdcore import survey
from kdcore.catalogue import CHAPTERS

TEXTS = {"zhao2026", "si2023", "huang2022", "note-hinton", "note-kd"}
FILES = ("inventory", "additions", "equations", "errata", "published", "surveys")
WORDS = {"id", "name", "zh", "chapter", "paper", "kind", "what", "needs"}
OPTIONAL = {"title", "identification", "survey_form", "reported", "members", "note"}


def text_of(name: str) -> str:
    return (survey.HERE / f"{name}.yaml").read_text("utf-8")


@pytest.fixture(params=["inventory", "additions"])
def items(request) -> list:
    return getattr(survey, request.param)()


class TestFiles:
    @pytest.mark.parametrize("name", FILES)
    def test_no_open_question_is_left(self, name):
        said = re.sub(r"https?://\S+", "", text_of(name))
        assert not [line for line in said.splitlines() if "?" in line or "？" in line]

    @pytest.mark.parametrize("name", FILES)
    def test_ids_stand_once(self, name):
        twice = {key: count for key, count in Counter(item["id"] for item in survey._read(name)).items() if count > 1}
        assert not twice

    @pytest.mark.parametrize("name", ["additions", "equations", "errata", "published", "surveys"])
    def test_both_parsers_read_the_same(self, name):
        assert yaml.safe_load(text_of(name)) == survey._read(name)

    def test_a_file_is_read_once(self):
        assert survey.inventory() is survey.inventory()


class TestInventory:
    def test_it_has_375_rows(self):
        assert len(survey.inventory()) == 375

    def test_tier_1_and_2_are_318(self):
        assert Counter(item["tier"] < 3 for item in survey.inventory()) == {True: 318, False: 57}

    def test_every_field_is_documented_and_of_its_type(self, items):
        for item in items:
            assert set(item) >= WORDS | {"tier", "where"}, item["id"]
            assert set(item) <= WORDS | OPTIONAL | {"tier", "where"}, item["id"]
            assert all(isinstance(item[word], str) and item[word].strip() for word in WORDS), item["id"]

    def test_chapters_kinds_and_tiers_are_known(self, items):
        for item in items:
            assert item["chapter"] in CHAPTERS, item["id"]
            assert item["kind"] in survey.KINDS, item["id"]
            assert item["tier"] in (1, 2, 3), item["id"]

    def test_every_place_names_a_text(self):
        for item in survey.inventory():
            assert item["where"], item["id"]
            assert {place.split()[0] for place in item["where"]} <= TEXTS, item["id"]

    def test_ids_are_keys(self, items):
        assert not [item["id"] for item in items if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", item["id"])]

    def test_a_doubtful_citation_says_how_doubtful(self, items):
        marks = {item.get("identification") for item in items} - {None}
        assert marks <= {"probable", "unconfirmed"}
        assert all("note" in item for item in items if "identification" in item)

    def test_chapters_stand_in_the_order_of_the_book(self):
        assert list(dict.fromkeys(item["chapter"] for item in survey.inventory())) == list(CHAPTERS)

    def test_evaluation_protocol_is_a_table(self):
        assert survey.rows()["eval-protocol"]["kind"] == "table"

    def test_readme_describes_every_field_and_file(self):
        readme = (survey.HERE / "README.md").read_text("utf-8")
        said = set(re.findall(r"`([\w.]+)`", readme))
        assert said >= WORDS | OPTIONAL | {"tier", "where"} | {f"{name}.yaml" for name in FILES}


class TestAdditions:
    def test_they_are_no_rows_of_the_inventory(self):
        assert not {item["id"] for item in survey.additions()} & {item["id"] for item in survey.inventory()}

    def test_no_text_names_them(self):
        assert all(item["where"] == [] for item in survey.additions())

    def test_those_that_comparisons_expect_are_there(self):
        expected = {"nst", "vid", "ab", "ofd", "dist", "mlkd", "nkd", "wsld", "curriculum-temperature", "simkd", "srrl"}
        assert expected <= {item["id"] for item in survey.additions()}


class TestEquations:
    def test_every_number_of_each_survey_is_there(self):
        numbers = {name: [e["number"] for e in survey.equations() if e["survey"] == name] for name in TEXTS}
        assert numbers == {
            text["id"]: list(range(1, text["equations"] + 1)) for text in survey.surveys() if text["id"] in TEXTS
        }
        assert len(survey.equations()) == 42

    def test_each_belongs_to_a_row(self):
        rows = survey.rows()
        assert all(equation["rows"] and set(equation["rows"]) <= set(rows) for equation in survey.equations())

    def test_rows_name_the_survey_that_prints_it(self):
        for equation in survey.equations():
            texts = {place.split()[0] for key in equation["rows"] for place in survey.rows()[key]["where"]}
            assert equation["survey"] in texts, equation["id"]

    def test_errata_and_equations_point_at_each_other(self):
        here = {(equation["id"], erratum) for equation in survey.equations() for erratum in equation["errata"]}
        there = {(equation, erratum["id"]) for erratum in survey.errata() for equation in erratum["equations"]}
        assert here == there

    def test_what_changes_an_implementation_is_put_right(self):
        wrong = {equation for e in survey.errata() if e["severity"] == "E" for equation in e["equations"]}
        assert wrong <= {equation["id"] for equation in survey.equations() if "corrected" in equation}

    def test_a_corrected_form_differs_from_the_printed_one(self):
        assert all(equation.get("corrected") != equation["latex"] for equation in survey.equations())

    @pytest.mark.parametrize("field", ["latex", "corrected"])
    def test_braces_close(self, field):
        for equation in survey.equations():
            latex = re.sub(r"\\[{}]", "", equation.get(field, ""))
            assert latex.count("{") == latex.count("}"), equation["id"]
            assert len(re.findall(r"\\left\b", latex)) == len(re.findall(r"\\right\b", latex)), equation["id"]


class TestErrata:
    def test_there_are_76(self):
        assert len(survey.errata()) == 76

    def test_each_names_rows_and_a_text(self):
        for erratum in survey.errata():
            assert erratum["rows"] and set(erratum["rows"]) <= set(survey.rows()), erratum["id"]
            assert erratum["survey"] in TEXTS | {"all"}, erratum["id"]
            assert erratum["severity"] in set("EMLU") and set(erratum["marks"]) <= set("DCAITK"), erratum["id"]

    def test_what_rests_on_memory_is_not_confirmed(self):
        for erratum in survey.errata():
            if set(erratum["marks"]) <= {"K"} or erratum["severity"] == "U":
                assert not erratum["confirmed"], erratum["id"]

    def test_what_is_not_confirmed_says_what_would_confirm_it(self):
        assert all(erratum["confirmed"] != ("to_confirm" in erratum) for erratum in survey.errata())

    def test_those_of_a_row_are_found_by_its_key(self):
        assert [erratum["id"] for erratum in survey.errata_of("normkd")] == ["Z-24", "Z-25"]
        assert [equation["id"] for equation in survey.equations_of("logit-mse")] == ["zhao2026-4"]


class TestPublished:
    def test_every_block_has_source_and_protocol(self):
        for block in survey.published():
            assert block["source"] and block["protocol"] and block["data"] in ("cifar10", "cifar100"), block["id"]
            assert block["selection"] in ("last", "best", "mixed", "unknown"), block["id"]

    def test_every_value_belongs_to_a_key_or_says_that_it_does_not(self):
        keys = set(survey.rows())
        for block in survey.published():
            named = {key for name in block["values"] if not name.startswith("other:") for key in name.split("+")}
            assert named <= keys, block["id"]

    def test_values_are_accuracies_in_percent(self):
        for block in survey.published():
            for value in block["values"].values():
                assert 60 < (value["mean"] if isinstance(value, dict) else value) < 95, block["id"]

    def test_gains_of_zhao2026_add_up(self):
        block = next(block for block in survey.published() if block["id"] == "zhao2026-table2")
        for key, value in block["values"].items():
            row = survey.rows()["logit-std" if "+" in key else key]
            printed = next(text for name, text in row["reported"].items() if name.startswith("zhao2026 Table 2"))
            assert printed == f"{value:.2f} ({value - block['student']['accuracy']:+.2f})", key

    def test_si2023_agrees_with_its_rows(self):
        block = next(block for block in survey.published() if block["id"] == "si2023-table1")
        for key, value in block["values"].items():
            printed = [
                text for name, text in survey.rows()[key]["reported"].items() if name.startswith("si2023 Table 1")
            ]
            assert printed == [f"{value:.2f}"], key


class TestSurveys:
    def test_five_texts(self):
        assert {text["id"] for text in survey.surveys()} == TEXTS

    def test_they_have_42_equations(self):
        assert sum(text["equations"] for text in survey.surveys()) == 42
