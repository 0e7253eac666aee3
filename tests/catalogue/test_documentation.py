"""Formulas, arguments and sections are read from docstrings as they are written."""

import ast

import pytest

from kdcore.catalogue.documentation import arguments, docstring, formula, section

LOSS = '''
def dkd_loss(student, teacher, *, alpha: float = 1.0, beta, reduction="mean"):
    r"""Match.

    .. math::
        L = \\alpha a
        + \\beta b

    Args:
        student: scores.
        alpha: weight of the first,
            at least 0.
        reduction: over examples.

    Cost:
        Nothing to speak of.

    Returns:
        A value.
    """
'''
CLASS = '''
class DKD(Method):
    """Puts it into a training.

    Args:
        warm_up: share of the run.
    """

    def __init__(self, stages=(0, 1), *, warm_up=20 / 240):
        super().__init__()
'''


def node(text: str) -> ast.AST:
    return ast.parse(text).body[0]


class TestFormula:
    @pytest.mark.parametrize(
        "text",
        [
            "Match.\n\n.. math::\n    L = a\n    + b\n\nSurvey: one.",
            "Match.\n\n.. math:: L = a + b\n\nSurvey: one.",
            "Match.\n\n.. math::\n\n    L = a + b",
            "Match.\n\n```{math}\n:label: kd\nL = a + b\n```\nMore.",
            "Match.\n\n```math\nL = a + b\n```",
        ],
    )
    def test_every_way_to_write_one(self, text):
        assert formula(text) == "L = a + b"

    def test_none_where_there_is_none(self):
        assert formula("Match.\n\nArgs:\n    a: b") is None


class TestArguments:
    def test_of_a_function(self):
        found = arguments(node(LOSS))
        assert found[0] == ("alpha", "1.0", "weight of the first, at least 0.")
        assert [(name, default) for name, default, _ in found[1:]] == [("beta", None), ("reduction", "'mean'")]

    def test_of_a_class_they_are_its_constructor_s(self):
        assert arguments(node(CLASS)) == (("stages", "(0, 1)", ""), ("warm_up", "20 / 240", "share of the run."))

    def test_names_that_share_an_entry_share_what_it_says(self):
        text = 'def f(*, first=1, second=2):\n    """One.\n\n    Args:\n        first, second: see there.\n    """'
        assert [says for *_, says in arguments(node(text))] == ["see there.", "see there."]

    def test_a_default_with_a_name_is_told_by_its_value(self):
        module = ast.parse("SHARE = 20 / 240\ndef f(*, share=SHARE, other=OTHER): ...")
        told = arguments(module.body[1], {"SHARE": module.body[0]})
        assert [default for _, default, _ in told] == ["20 / 240", "OTHER"]

    def test_none_of_what_is_neither(self):
        assert arguments(node("DARK = Claim()")) == ()


class TestSection:
    def test_is_what_is_indented_under_its_title(self):
        assert section(docstring(node(LOSS)), "Cost") == "Nothing to speak of."

    def test_nothing_where_it_is_missing(self):
        assert section(docstring(node(CLASS)), "Cost") == ""
