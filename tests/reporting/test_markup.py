import pytest

from kdcore.reporting.display import fenced, quoted
from kdcore.reporting.markup import Grid, code, escape, latex_escape, to_html, to_latex, to_plain

HOSTILE = r"50% of a_b & <b>#1</b> | ${x}^2$ ~ \cite 中文 `tick` *star* [link]"


class TestEscaping:
    def test_any_text_comes_through_unchanged(self):
        assert to_plain(escape(HOSTILE)) == HOSTILE

    def test_html_shows_the_letters_not_the_tags(self):
        found = to_html(escape(HOSTILE))
        assert "&lt;b&gt;#1&lt;/b&gt;" in found and "<b>" not in found and "<code>" not in found

    def test_latex_has_no_special_character_left(self):
        found = latex_escape(HOSTILE)
        for sign in "%&#_{}$":
            assert all(found[place - 1] == "\\" or "{}" in found[place - 2 : place + 2]
                       for place, letter in enumerate(found) if letter == sign), sign  # fmt: skip
        assert "中文" in found and r"\textasciitilde{}" in found and r"\textbackslash{}cite" in found

    def test_line_breaks_do_not_break_a_cell(self):
        assert escape("one\n  two") == "one two"

    @pytest.mark.parametrize(
        ("sign", "latex"),
        [
            ("±", r"$\pm$"),
            ("−", "$-$"),
            ("–", "--"),
            ("†", r"$^{\dagger}$"),
            ("10⁻⁹", "10$^{-}$$^{9}$"),
            ("\u00a0", "~"),
        ],
    )
    def test_signs_of_our_tables_have_a_latex_form(self, sign, latex):
        assert latex_escape(sign) == latex


class TestInlineMarks:
    TEXT = r"`a_b` and **bold `x`** with $T^2$, {cite:p}`zhao2022dkd` and \*"

    def test_html(self):
        assert to_html(self.TEXT) == (
            "<code>a_b</code> and <strong>bold <code>x</code></strong> with $T^2$, [zhao2022dkd] and *"
        )

    def test_latex(self):
        assert to_latex(self.TEXT) == (
            r"\texttt{a\_b} and \textbf{bold \texttt{x}} with $T^2$, \cite{zhao2022dkd} and *"
        )

    def test_plain(self):
        assert to_plain(self.TEXT) == "a_b and bold x with T^2, [zhao2022dkd] and *"

    def test_a_name_with_a_tick_is_escaped(self):
        assert to_plain(code("a`b")) == "a`b" and code("kd") == "`kd`"


class TestGrid:
    GRID = Grid(("row", "value, %"), (("`a|b`", "1 ± 2"), ("中文", "**3**")), "lr")

    def test_markdown_keeps_bars_inside_their_cells(self):
        assert self.GRID.markdown().splitlines() == [
            "| row | value, % |",
            "| :-- | --: |",
            r"| `a\|b` | 1 ± 2 |",
            "| 中文 | **3** |",
        ]

    def test_text_lines_up_wide_letters_too(self):
        assert self.GRID.text().splitlines() == ["row   value, %", "----  --------", "a|b      1 ± 2", "中文         3"]

    def test_latex_is_a_booktabs_table(self):
        assert self.GRID.latex().splitlines() == [
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"row & value, \% \\",
            r"\midrule",
            r"\texttt{a\textbar{}b} & 1 $\pm$ 2 \\",
            r"中文 & \textbf{3} \\",
            r"\bottomrule",
            r"\end{tabular}",
        ]

    def test_html_names_columns_and_rows_for_screen_readers(self):
        found = self.GRID.html("A caption")
        assert "<caption>A caption</caption>" in found
        assert found.count('scope="col"') == 2 and found.count('scope="row"') == 2 and "<strong>3</strong>" in found

    def test_a_short_row_is_refused(self):
        with pytest.raises(ValueError, match=r"as many cells as its header, got \[1, 2\]"):
            Grid(("a", "b"), (("1",),), "lr")


class TestDirective:
    def test_a_fence_is_longer_than_any_inside(self):
        found = fenced("figure", "x.svg", {"name": "fig-x"}, "text\n~~~~\nmore")
        assert found.startswith("~~~~~{figure} x.svg\n") and found.endswith("\n~~~~~")

    def test_an_options_value_stays_on_its_line(self):
        assert quoted('a "b"\n\\ c') == '"a \\"b\\" \\\\ c"'
