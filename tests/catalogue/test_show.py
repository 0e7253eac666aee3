"""What is shown of a key is what surveys, code and catalogue say of it."""

import pytest

from kdcore.catalogue import show
from kdcore.entry import Refusal

CODE = '''
    def dkd_loss(a, b, c, *, alpha=1.0):
        """Match.

        .. math::
            L = a + b

        Args:
            alpha: weight of the first.
        """
        return a - b

    class DKD(Method):
        """A method.

        Args:
            warm_up: share of the run.
        """

        def __init__(self, *, alpha=1.0, warm_up=0.1, weight=WEIGHT):
            self.alpha = alpha

    WEIGHT = 0.9

    ENTRIES = (Entry("dkd", "loss", DKD), Entry("dkd-zhao2026", "loss", DKD, {"alpha": 2.0}, "as printed"))
'''
HOME = "kdcore/losses/response/decoupled.py"


@pytest.fixture
def root(plant):
    return plant({HOME: CODE, "notebooks/03_response.ipynb": ["1"]})


class TestShow:
    def test_a_row_with_its_code(self, root):
        shown = show("dkd", root)
        assert (shown.row["id"], shown.module, shown.formula) == ("dkd", HOME, "L = a + b")
        assert [equation["id"] for equation in shown.equations] == ["zhao2026-10"]
        assert [erratum["id"] for erratum in shown.errata] == ["Z-01"]
        assert [other.key for other in shown.variants] == ["dkd-zhao2026"]
        assert shown.notebook == "notebooks/03_response.ipynb" and shown.test is None

    def test_defaults_come_from_function_and_class(self, root):
        assert show("dkd", root).arguments == (
            ("alpha", "1.0", "weight of the first."),
            ("warm_up", "0.1", "share of the run."),
            ("weight", "0.9", ""),
        )

    def test_what_no_list_of_arguments_describes_stands_behind_what_the_class_says(self, root):
        text = " ".join(str(show("dkd", root)).split())
        assert "method DKD: A method." in text and "further: weight = 0.9" in text

    def test_a_variant_shows_its_row_with_its_own_settings(self, root):
        shown = show("dkd-zhao2026", root)
        assert shown.row["id"] == "dkd" and shown.arguments[0] == ("alpha", "2.0", "weight of the first.")

    def test_a_row_without_code(self, root):
        shown = show("crd", root)
        assert (shown.module, shown.entry, shown.formula) == (None, None, None)
        assert "code: none yet" in str(shown)

    def test_a_table_by_either_name(self, plant):
        root = plant({"kdcore/experiments/online.py": 'X = Experiment("si2023-table1", "Table 1", (Row("kd"),))'})
        assert show("si2023-table1", root) == show("si-table1", root)
        assert show("si-table1", root).module == "kdcore/experiments/online.py"

    def test_text_names_what_a_reader_looks_for(self, root):
        text = str(show("dkd", root))
        for said in ("解耦知识蒸馏", "zhao2026 §5.1", "zhao2026 (10)", "corrected", "Z-01", "alpha = 1.0", HOME):
            assert said in text
        assert max(map(len, text.splitlines())) <= 100

    def test_what_is_not_confirmed_is_marked(self, root):
        assert "Z-26: Model compression" in str(show("ce-teacher-hard", root))
        assert "Not confirmed; The training objective" in " ".join(str(show("ce-teacher-hard", root)).split())

    def test_an_addition_says_that_no_text_names_it(self, root):
        assert "not named in the five texts" in str(show("nst", root))

    def test_a_misspelt_key_is_answered_with_the_nearest(self, root):
        with pytest.raises(Refusal, match="'logitstd' is no key of the catalogue, the nearest is 'logit-std'"):
            show("logitstd", root)
