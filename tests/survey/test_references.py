"""The bibliography can be read, and holds what the texts and the first chapters cite."""

import re
from pathlib import Path

import pytest

from kdcore import survey

ROOT = Path(__file__).resolve().parents[2]
BIBLIOGRAPHY = ROOT / "book" / "references.bib"


@pytest.fixture(scope="module")
def references():
    return pytest.importorskip("pybtex.database").parse_file(str(BIBLIOGRAPHY)).entries


class TestReferences:
    def test_every_entry_has_author_title_and_year(self, references):
        for key, entry in references.items():
            assert {"title", "year"} <= set(entry.fields) and entry.persons["author"], key

    def test_surveys_are_cited_by_the_keys_they_name(self, references):
        assert {text["cite"] for text in survey.surveys() if "cite" in text} <= set(references)

    def test_every_citation_of_the_code_is_there(self, references):
        files = sorted((ROOT / "kdcore").rglob("*.py"))
        cited = {key for file in files for key in re.findall(r"\{cite:[tp]\}`([\w-]+)`", file.read_text("utf-8"))}
        assert cited and cited <= set(references)

    def test_numbers_of_arxiv_look_like_numbers_of_arxiv(self, references):
        numbers = [entry.fields["eprint"] for entry in references.values() if "eprint" in entry.fields]
        assert all(re.fullmatch(r"\d{4}\.\d{4,5}", number) for number in numbers)

    def test_arxiv_numbers_of_the_inventory_agree(self, references):
        known = " ".join(item["paper"] for item in survey.inventory())
        chapter = [item for item in survey.inventory() if item["chapter"] in ("foundations", "response")]
        named = {number for item in chapter for number in re.findall(r"arXiv:(\d{4}\.\d{5})", item["paper"])}
        assert named <= {entry.fields.get("eprint") for entry in references.values()} and known
