import sys

import pytest

import kdcore.reporting
from kdcore.reporting import glue, plain_table


@pytest.fixture
def shown(monkeypatch):
    """What is handed to the notebook."""
    found = []
    module = sys.modules["kdcore.reporting.glue"]
    monkeypatch.setattr(module, "_display", lambda bundle, metadata: found.append((bundle, metadata)))
    return found


class TestGlue:
    def test_is_the_bundle_that_the_book_reads(self, shown):
        glue("kd-gain", 9.0625)
        prefix = "application/papermill.record/"
        assert shown == [({f"{prefix}text/plain": "9.0625"}, {"scrapbook": {"name": "kd-gain", "mime_prefix": prefix}})]

    @pytest.mark.slow
    def test_agrees_with_the_bundle_of_myst_nb(self, shown, monkeypatch):
        theirs = pytest.importorskip("myst_nb.ext.glue", reason="the extra `book` brings it")
        monkeypatch.setattr(theirs, "ipy_display", lambda bundle, raw, metadata: shown.append((bundle, metadata)))
        glue("a", 0.25)
        theirs.glue("a", 0.25, display=False)
        assert shown[0] == shown[1]

    @pytest.mark.parametrize("kind", ["numpy", "torch"])
    def test_numbers_of_other_libraries_become_plain_ones(self, shown, kind):
        library = pytest.importorskip(kind)
        glue("a", library.float64(0.5) if kind == "numpy" else library.tensor(0.5))
        assert shown[0][0]["application/papermill.record/text/plain"] == "0.5"

    def test_a_sentence_is_pasted_without_its_quotes(self, shown):
        glue("a", "94.5 ± 0.7")
        assert shown[0][0]["application/papermill.record/text/plain"] == "'94.5 ± 0.7'"

    def test_a_table_can_be_kept_too(self, shown):
        glue("a", plain_table(["x"], [[1]], caption="One", name="tab-one"))
        assert any(mime.endswith("text/markdown") for mime in shown[0][0])

    def test_outside_a_notebook_nothing_happens(self, capsys):
        glue("a", 1.0)
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize(("name", "value"), [("a:b", 1.0), ("", 1.0), ("a", float("nan"))])
    def test_what_no_sentence_can_hold_is_refused(self, name, value):
        with pytest.raises(ValueError, match=r"name must be a word without a colon|a must be finite"):
            glue(name, value)


class TestImports:
    def test_the_functions_stand_where_notebooks_look_for_them(self):
        assert all(callable(getattr(kdcore.reporting, name)) for name in ("glue", "provenance", "result_table"))
