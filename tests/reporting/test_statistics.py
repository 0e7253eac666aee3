import itertools
import math

import numpy
import pytest

from kdcore.reporting.statistics import (
    Paired,
    holm,
    paired_difference,
    pool,
    power,
    seeds_needed,
    smallest_gap,
    summarise,
    ties,
    tukey_difference,
    verdict,
)


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


ZERO = seeds(*[0.0] * 9)


class TestSummary:
    def test_mean_and_sample_deviation_by_hand(self):
        assert summarise([0.78, 0.79, 0.80, 0.81, 0.82]) == (
            pytest.approx(0.80, rel=1e-15),
            pytest.approx(math.sqrt(10 / 4) / 100, rel=1e-12),
            5,
        )

    def test_one_value_has_no_spread_and_none_no_mean(self):
        assert summarise([0.9]) == (0.9, None, 1) and summarise([]) == (None, None, 0)

    def test_equal_values_have_exactly_their_mean_and_no_rounding_spread(self):
        assert summarise([0.1] * 7) == (0.1, 0.0, 7)

    def test_a_value_that_is_no_number_is_refused(self):
        with pytest.raises(ValueError, match=r"values must be finite, got \[0.5, nan\]"):
            summarise([0.5, float("nan")])


class TestPairedDifference:
    def test_three_seeds_by_hand(self):
        found = paired_difference(seeds(1, 2, 3), ZERO)
        half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)  # closed form of t's 97.5 % point at two degrees
        t = 2 * math.sqrt(3)
        assert (found.mean, found.std) == (2.0, 1.0)
        assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-12)
        assert found.p == pytest.approx(1 - t / math.sqrt(2 + t**2), rel=1e-12)

    def test_two_seeds_are_answered_with_the_wide_interval_they_deserve(self):
        found = paired_difference(seeds(1, 3), ZERO)
        edge = math.tan(math.pi * 0.475)  # t with one degree of freedom is Cauchy
        assert (found.low, found.high) == pytest.approx((2 - edge, 2 + edge), rel=1e-12)
        assert found.p == pytest.approx(1 - 2 / math.pi * math.atan(2), rel=1e-12)

    def test_one_common_seed_gives_a_difference_and_no_interval(self):
        found = paired_difference({0: 0.9, 1: 0.8}, {1: 0.7, 2: 0.6})
        assert found.mean == pytest.approx(0.1) and found.seeds == (1,) and found.alone == (0, 2)
        assert found[1:5] == (None, None, None, None) and found.why == "one common seed"

    def test_no_common_seed_gives_nothing(self):
        assert paired_difference({0: 1.0}, {1: 1.0}) == Paired(
            None, None, None, None, None, (), (0, 1), "no common seed"
        )

    def test_missing_seeds_are_left_out_of_both_rows(self):
        found = paired_difference({0: 1.0, 1: 2.0, 3: 9.0}, {0: 0.0, 1: 0.0, 2: 5.0})
        assert found.mean == 1.5 and found.seeds == (0, 1) and found.alone == (2, 3)

    @pytest.mark.parametrize("reference", [ZERO, seeds(0.3, 0.31, 0.32, 0.33)])
    def test_equal_differences_have_no_interval_rather_than_a_width_of_zero(self, reference):
        values = {seed: reference[seed] + 0.1 for seed in range(4)}  # equal but for rounding
        found = paired_difference(values, reference)
        assert found.mean == pytest.approx(0.1) and found.std == 0.0
        assert found.low is None and found.p is None and "same for every seed" in found.why

    def test_it_is_the_difference_that_counts_not_the_seeds_level(self):
        hard_and_easy = seeds(0.1, 0.5, 0.9)
        better = {seed: value + 0.05 + 0.001 * seed for seed, value in hard_and_easy.items()}
        found = paired_difference(better, hard_and_easy)
        assert found.std == pytest.approx(0.001) and found.low > 0.04

    @pytest.mark.parametrize("n", [2, 5])
    def test_intervals_cover_the_truth_as_often_as_they_say(self, n):
        random = numpy.random.default_rng(n)
        covered = 0
        for _ in range(1500):
            found = paired_difference(seeds(*random.normal(1.0, 2.0, n)), ZERO)
            covered += found.low <= 1.0 <= found.high
        assert covered / 1500 == pytest.approx(0.95, abs=0.02)

    def test_p_values_without_an_effect_are_uniform(self):
        random = numpy.random.default_rng(0)
        found = [paired_difference(seeds(*random.normal(size=4)), ZERO).p for _ in range(1500)]
        assert [numpy.mean(numpy.array(found) < edge) for edge in (0.05, 0.5)] == pytest.approx([0.05, 0.5], abs=0.03)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"level": 1.0}, "level must lie between 0 and 1, got 1.0"),
            ({"level": 0.0}, "level must lie between 0 and 1, got 0.0"),
            ({"method": "magic"}, "method must be 't' or 'bootstrap', got 'magic'"),
        ],
    )
    def test_bad_requests_are_answered_in_a_sentence(self, change, says):
        with pytest.raises(ValueError, match=says):
            paired_difference(ZERO, ZERO, **change)


class TestBootstrap:
    def test_six_seeds_are_resampled_in_every_way(self):
        values = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
        means = sorted(math.fsum(drawn) / 6 for drawn in itertools.product(values, repeat=6))
        found = paired_difference(seeds(*values), ZERO, method="bootstrap")
        count = len(means)
        assert found.low == pytest.approx(means[math.ceil(0.025 * count) - 1])
        assert found.high == pytest.approx(means[math.ceil(0.975 * count) - 1])

    def test_fewer_seeds_get_no_interval_since_their_range_covers_too_little(self):
        found = paired_difference(seeds(1, 2, 3, 4, 5), ZERO, method="bootstrap")
        assert found.low is None and found.why == "too few seeds to resample" and found.p is not None
        assert paired_difference(seeds(1, 2, 3, 4, 5), ZERO, method="bootstrap", level=0.9).low is not None

    def test_many_seeds_agree_with_the_t_interval_and_with_themselves(self):
        values = seeds(*numpy.random.default_rng(3).normal(5, 1, 40))
        reference = dict.fromkeys(values, 0.0)
        found = [paired_difference(values, reference, method=method) for method in ("t", "bootstrap", "bootstrap")]
        assert found[1] == found[2]
        assert found[1].low == pytest.approx(found[0].low, abs=0.05)

    def test_it_is_narrower_than_it_claims_at_eight_seeds(self):
        """Why the t interval is the default."""
        random = numpy.random.default_rng(1)
        covered = 0
        for _ in range(300):
            found = paired_difference(seeds(*random.normal(size=8)), ZERO, method="bootstrap")
            covered += found.low <= 0 <= found.high
        assert 0.84 < covered / 300 < 0.94


class TestHolm:
    def test_by_hand(self):
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_untested_rows_do_not_count(self):
        assert holm([0.02, None, 0.02]) == [pytest.approx(0.04), None, pytest.approx(0.04)] and holm([None]) == [None]

    def test_never_above_one_and_in_the_order_of_the_p_values(self):
        found = holm([0.5, 0.9, 0.001])
        assert max(found) == 1.0 and found[2] < found[0] <= found[1]

    def test_one_test_is_left_alone(self):
        assert holm([0.03]) == [0.03]

    def test_keeps_the_chance_of_any_false_finding_at_its_level(self):
        random = numpy.random.default_rng(0)
        false = sum(min(holm(list(random.random(8)))) < 0.05 for _ in range(4000))
        assert false / 4000 == pytest.approx(0.05, abs=0.012)

    def test_what_is_no_probability_is_refused(self):
        with pytest.raises(ValueError, match=r"p values must lie between 0 and 1, got \[1.2\]"):
            holm([0.5, 1.2])


class TestVerdict:
    @staticmethod
    def of(mean: float, n: int = 5) -> Paired:
        return Paired(mean, 1.0, None, None, None, tuple(range(n)), ())

    @pytest.mark.parametrize(
        ("mean", "p", "n", "word"),
        [
            (0.1, 0.01, 5, "above"),
            (-0.1, 0.01, 5, "below"),
            (0.1, 0.20, 5, "not told apart"),
            (0.1, 0.05, 5, "not told apart"),
            (0.1, None, 5, "no verdict"),
            (0.1, 0.001, 2, "no verdict"),
        ],
    )
    def test_every_word_is_reached(self, mean, p, n, word):
        assert verdict(self.of(mean, n), p) == word


class TestPooledSpread:
    def test_by_hand(self):
        pooled = pool({"a": [1, 2, 3], "b": [2, 4]})  # sums of squares 2 and 2, degrees of freedom 2 and 1
        assert pooled.std == pytest.approx(math.sqrt(4 / 3)) and pooled.freedom == 3 and pooled.still == ()

    def test_a_row_without_spread_is_left_out_and_named(self):
        pooled = pool({"a": [1, 2, 3], "teacher": [5, 5, 5], "once": [7]})
        assert pooled.std == 1.0 and pooled.freedom == 2 and pooled.still == ("teacher",)

    @pytest.mark.parametrize("groups", [{}, {"a": [1.0]}, {"a": [1.0, 1.0], "b": [2.0]}])
    def test_nothing_to_pool_gives_nothing(self, groups):
        assert pool(groups) is None

    def test_many_rows_find_the_common_deviation(self):
        random = numpy.random.default_rng(2)
        pooled = pool({str(row): list(random.normal(row, 0.3, 4)) for row in range(400)})
        assert pooled.std == pytest.approx(0.3, rel=0.04) and pooled.freedom == 1200


# Smallest gap that two-sided tests at 5 % find with 80 % power, in points, two decimals (our notes on power).
GAPS = {
    3: (0.35, 0.47, 0.59, 0.71),
    5: (0.27, 0.36, 0.45, 0.54),
    10: (0.19, 0.25, 0.32, 0.38),
    16: (0.15, 0.20, 0.25, 0.30),
    30: (0.11, 0.14, 0.18, 0.22),
    50: (0.08, 0.11, 0.14, 0.17),
}
# Seeds that separate two rows at gaps 0.05, 0.1, 0.2, 0.3, 0.5, 0.8; a pair: pooled over 16 rows, and two rows alone.
SEEDS = {
    0.10: (63, 16, 5, (2, 4), (2, 3), 2),
    0.15: (142, 36, 9, 5, (2, 3), 2),
    0.20: (252, 63, 16, 8, 3, 2),
    0.25: (393, 99, 25, 12, 5, (2, 3)),
    0.30: (566, 142, 36, 16, 6, 3),
}


class TestSmallestGap:
    @pytest.mark.parametrize("n", GAPS)
    def test_agrees_with_the_worked_table_at_sixteen_rows(self, n):
        found = [smallest_gap(std, n, 16 * (n - 1)) for std in (0.15, 0.20, 0.25, 0.30)]
        assert found == pytest.approx(GAPS[n], abs=0.00501)

    def test_agrees_with_the_worked_table_for_two_rows_alone(self):
        found = [smallest_gap(0.20, n, 2 * (n - 1)) for n in GAPS]
        assert found == pytest.approx((0.61, 0.40, 0.26, 0.20, 0.15, 0.11), abs=0.00551)

    @pytest.mark.parametrize("std", SEEDS)
    def test_seeds_needed_agree_with_the_worked_table(self, std):
        for gap, expected in zip((0.05, 0.1, 0.2, 0.3, 0.5, 0.8), SEEDS[std]):
            pooled, alone = expected if isinstance(expected, tuple) else (expected, None)
            assert seeds_needed(gap, std, rows=16) == pooled
            assert alone is None or seeds_needed(gap, std, rows=2) == alone

    def test_many_degrees_of_freedom_give_the_normal_formula(self):
        normal = (1.959963984540054 + 0.8416212335729143) * 0.2 * math.sqrt(2 / 7)
        assert smallest_gap(0.2, 7, 10**6) == pytest.approx(normal, rel=1e-5)

    def test_is_the_gap_at_which_the_power_is_reached(self):
        gap = smallest_gap(0.3, 4, 12, power=0.9)
        assert power(gap, 0.3, 4, 12) == pytest.approx(0.9, abs=1e-7)

    def test_without_a_gap_the_power_is_the_error_of_the_first_kind(self):
        assert power(0.0, 0.3, 4, 12) == pytest.approx(0.05, rel=1e-9)

    @pytest.mark.parametrize("freedom", [1, 2])
    def test_hardly_any_freedom_is_no_trouble(self, freedom):
        gaps = [smallest_gap(1.0, 2, freedom, power=wanted) for wanted in (0.5, 0.8, 0.99)]
        assert gaps == sorted(gaps) and all(map(math.isfinite, gaps))

    @pytest.mark.parametrize(("rows", "n"), [(16, 3), (2, 4)])
    def test_simulated_rows_are_told_apart_that_often(self, rows, n):
        from scipy.stats import t

        random, freedom = numpy.random.default_rng(5), rows * (n - 1)
        values = random.normal(0, 0.2, (20_000, rows, n))
        values[:, 0] += smallest_gap(0.2, n, freedom)
        pooled = numpy.sqrt(values.var(2, ddof=1).mean(1))
        gap = values[:, 0].mean(1) - values[:, 1].mean(1)
        told = numpy.abs(gap) > t.ppf(0.975, freedom) * pooled * math.sqrt(2 / n)
        assert told.mean() == pytest.approx(0.8, abs=0.012)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ((0.0, 3, 4), "std, n and freedom must be above 0, got 0.0, 3 and 4"),
            ((0.2, 0, 4), "must be above 0, got 0.2, 0 and 4"),
            ((0.2, 3, 0), "must be above 0, got 0.2, 3 and 0"),
        ],
    )
    def test_bad_requests_are_answered_in_a_sentence(self, arguments, says):
        with pytest.raises(ValueError, match=says):
            smallest_gap(*arguments)

    def test_impossible_power_and_gap_are_refused(self):
        with pytest.raises(ValueError, match=r"power must lie between 0.05 and 1, got 1.0"):
            smallest_gap(0.2, 3, 4, power=1.0)
        with pytest.raises(ValueError, match="gap must be above 0, got 0"):
            seeds_needed(0, 0.2, rows=2)


def three(mean: float, spread: float = 0.1) -> list[float]:
    """Three values with this mean and this standard deviation."""
    return [mean - spread, mean, mean + spread]


class TestTies:
    def test_rows_far_apart_stand_alone_the_highest_first(self):
        assert ties({"a": three(1), "b": three(3), "c": three(2)}) == [("b",), ("c",), ("a",)]

    def test_rows_close_together_are_one_group(self):
        assert ties({"a": three(1.00), "b": three(1.02), "c": three(1.04)}) == [("c", "b", "a")]

    def test_a_row_between_two_may_belong_to_both(self):
        # Three rows, six degrees of freedom, std 0.1: means further apart than 4.339 x 0.1 / sqrt(3) = 0.25 differ.
        assert tukey_difference(3, 6, 0.1, 3, 3) == pytest.approx(4.339 * 0.1 / math.sqrt(3), rel=1e-3)
        assert ties({"a": three(1.0), "b": three(1.2), "c": three(1.4)}) == [("c", "b"), ("b", "a")]

    def test_sixty_tied_rows_are_one_group_at_once(self):
        """Without a pivot the search would visit every subset of them."""
        rows = {f"row {n:02d}": three(1 + n / 1e6) for n in range(60)}
        assert ties(rows) == [tuple(sorted(rows, reverse=True))]

    def test_groups_are_those_of_a_search_through_all_subsets(self):
        means = (1.0, 1.1, 1.18, 1.3, 1.34, 1.5, 1.9)
        rows = {name: three(mean) for name, mean in zip("abcdefg", means)}
        edge = tukey_difference(len(rows), 2 * len(rows), 0.1, 3, 3)
        near = lambda names: all(
            abs(means["abcdefg".index(a)] - means["abcdefg".index(b)]) <= edge for a in names for b in names
        )
        whole = [set(c) for k in range(1, 8) for c in itertools.combinations(rows, k) if near(c)]
        largest = [one for one in whole if not any(one < other for other in whole)]
        assert sorted(map(sorted, ties(rows))) == sorted(map(sorted, largest))

    def test_the_critical_gap_agrees_with_the_worked_values(self):
        found = tukey_difference(16, 32, 0.20, 3, 3), tukey_difference(9, 18, 0.25, 3, 3)
        assert found == pytest.approx((0.61, 0.72), abs=0.005)

    def test_equal_rows_are_called_different_as_rarely_as_it_says(self):
        random = numpy.random.default_rng(7)
        values = random.normal(size=(20_000, 5, 4))
        ranges = numpy.ptp(values.mean(2), axis=1) / numpy.sqrt(values.var(2, ddof=1).mean(1))
        assert (ranges > tukey_difference(5, 15, 1.0, 4, 4)).mean() == pytest.approx(0.05, abs=0.006)

    def test_unequal_numbers_of_seeds_need_a_wider_gap(self):
        assert tukey_difference(3, 6, 1.0, 2, 5) == pytest.approx(
            tukey_difference(3, 6, 1.0, 1, 1) * math.sqrt((1 / 2 + 1 / 5) / 2)
        )

    def test_groups_need_not_be_neighbours_when_seeds_are_unequal(self):
        many = [1.0, -1.0] * 20
        few, unit = [1.0, -1.0], tukey_difference(3, 41, pool({"many": many, "few": [1.0, -1.0] * 2}).std, 1, 1)
        # Few against many differ from 0.51 units on, few against few from 0.71 units on.
        means = {"low": (0.0, few), "middle": (0.58, many), "high": (0.65, few)}
        groups = {name: [mean * unit + one for one in values] for name, (mean, values) in means.items()}
        assert ties(groups) == [("high", "middle"), ("high", "low")]

    @pytest.mark.parametrize("groups", [{}, {"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0]}, {"a": [1, 1], "b": [2, 2]}])
    def test_without_spread_or_company_nothing_is_said(self, groups):
        assert ties(groups) == []

    def test_a_row_of_one_seed_takes_no_part(self):
        assert ties({"a": three(1), "b": three(3), "once": [2.0]}) == [("b",), ("a",)]
