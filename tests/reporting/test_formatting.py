import pytest

from kdcore.reporting.formatting import compact, counted, listed, number, percent, plus_minus, ranges, shortest


class TestPercent:
    def test_a_fraction_becomes_a_percentage_that_does_not_break(self):
        assert percent(0.8554) == "85.5\u00a0%" and percent(0.8554, 2) == "85.54\u00a0%"

    def test_a_gain_carries_its_sign_and_a_loss_a_real_minus(self):
        assert percent(0.09, signed=True) == "+9.0\u00a0%" and percent(-0.012) == "\u22121.2\u00a0%"

    def test_what_rounds_to_zero_has_no_sign(self):
        assert percent(-0.0001) == percent(0.0001, signed=True) == "0.0\u00a0%"

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_no_number_is_refused(self, value):
        with pytest.raises(ValueError, match=r"must be finite, got (nan|inf)"):
            percent(value)


class TestPlusMinus:
    def test_mean_spread_and_seeds_stand_together(self):
        assert plus_minus(0.945, 0.0071, 5) == "94.5 ± 0.7 (5)"

    def test_one_seed_shows_no_spread_rather_than_zero(self):
        assert plus_minus(0.945, None, 1) == "94.5 (1)"

    def test_other_units_are_left_as_they_are(self):
        assert plus_minus(1.46, 0.012, 3, 2, scale=1) == "1.46 ± 0.01 (3)"


class TestNumbers:
    def test_rounding_happens_once_at_the_digits_that_are_shown(self):
        assert number(0.05, 1) == "0.1" and number(12.345678, 3) == "12.346"

    def test_a_printed_value_keeps_the_digits_it_has(self):
        assert [shortest(100 * value) for value in (0.7445, 0.924, 0.9)] == ["74.45", "92.4", "90"]

    @pytest.mark.parametrize(
        ("value", "shown"), [(0.01234, "0.0123"), (-2.5e-9, "−2.5 × 10⁻⁹"), (1.5e12, "1.5 × 10¹²"), (0.0, "0")]
    )
    def test_any_size_has_a_compact_form(self, value, shown):
        assert compact(value) == shown

    def test_runs_of_seeds_are_joined(self):
        assert ranges([4, 0, 1, 2, 2]) == "0–2, 4" and ranges([7]) == "7" and ranges([]) == ""

    def test_words_are_listed_as_in_a_sentence(self):
        assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]

    def test_one_is_no_plural(self):
        assert counted(1, "record") == "1 record" and counted(2, "entry", "entries") == "2 entries"
