"""One table says where each chapter lives."""

import re

from kdcore.catalogue import ALIASES, CHAPTERS, chapter_of, row_of
from kdcore.survey import rows


class TestChapters:
    def test_there_are_25_each_with_a_notebook_of_its_own(self):
        assert len(CHAPTERS) == 25
        numbers = [re.fullmatch(r"notebooks/(\d\d)_\w+\.ipynb", told.notebook)[1] for told in CHAPTERS.values()]
        others = [number for key, number in zip(CHAPTERS, numbers) if key != "benchmarks"]  # told beside its tables
        places = [f"{number:02d}" for number, key in enumerate(CHAPTERS, 1) if key != "benchmarks"]
        assert others == places

    def test_the_first_three_are_where_they_are_said_to_be(self):
        first = [CHAPTERS[key].notebook for key in ("foundations", "mechanism", "response")]
        assert first == [f"notebooks/{name}.ipynb" for name in ("01_foundations", "02_mechanism", "03_response")]

    def test_three_notebooks_have_names_of_their_own(self):
        named = [CHAPTERS[key].notebook for key in ("vit", "llm", "benchmarks")]
        names = ("08_transformers", "09_language_models", "20_cifar10_table")
        assert named == [f"notebooks/{name}.ipynb" for name in names]

    def test_a_module_may_be_a_file_or_a_package(self):
        response = CHAPTERS["response"]
        assert response.holds("kdcore/losses/response.py") and response.holds("kdcore/losses/response/decoupled.py")
        assert not response.holds("kdcore/losses/response_other.py") and not response.holds("kdcore/losses/relation.py")

    def test_tests_mirror_modules(self):
        assert "tests/losses/response" in CHAPTERS["response"].tests
        assert all(len(told.tests) == len(told.modules) for told in CHAPTERS.values())

    def test_every_chapter_may_hold_claims(self):
        assert all(any(module.startswith("kdcore/claims/") for module in told.modules) for told in CHAPTERS.values())


class TestTold:
    def test_two_rows_of_mechanism_are_told_in_foundations(self):
        for key in ("t2-gradient-scaling", "high-temperature-logit-matching"):
            assert chapter_of(key, rows()[key]["chapter"]) == CHAPTERS["foundations"]

    def test_all_others_are_told_in_their_own(self):
        assert chapter_of("dark-knowledge", "mechanism") == CHAPTERS["mechanism"]

    def test_the_second_table_has_a_notebook_beside_its_chapters(self):
        told = chapter_of("zhao-table2", "benchmarks")
        assert told.notebook == "notebooks/21_cifar100_table.ipynb"
        assert told.modules == CHAPTERS["benchmarks"].modules


class TestAliases:
    def test_every_alias_is_a_table_of_the_inventory(self):
        assert all(rows()[key]["kind"] == "table" for key in ALIASES)

    def test_either_name_leads_to_the_row(self):
        assert {row_of(name) for name in ("si-table1", "si2023-table1")} == {"si-table1"}
        assert row_of("kd") == "kd"
