"""What rules read out of records."""

import doctest
import math

import pytest

from kdcore.claims import evidence
from kdcore.claims.evidence import gap, values


class TestValues:
    def test_are_a_row_s_last_numbers_by_seed(self):
        records = [
            {"row": "kd", "seed": 0, "last": {"accuracy": 0.9}},
            {"row": "kd", "seed": 1, "last": {"accuracy": 0.8}},
            {"row": "student", "seed": 0, "last": {"accuracy": 0.7}},
        ]
        assert values(records, "kd", "accuracy") == {0: 0.9, 1: 0.8}

    def test_a_row_without_record_is_named(self):
        with pytest.raises(ValueError, match=r"a record of row kd is needed, got those of \['student'\]"):
            values([{"row": "student", "seed": 0, "last": {}}], "kd", "accuracy")


class TestGap:
    def test_is_paired_by_seed_not_by_row(self):
        """Rows that scatter widely but differ by the same each time are told apart."""
        low = {seed: 0.5 + 0.1 * seed for seed in range(5)}
        high = {seed: value + 0.01 + 0.001 * (-1) ** seed for seed, value in low.items()}
        found = gap(high, low)
        assert found.mean == pytest.approx(0.0102) and found.above and not found.below

    def test_interval_is_student_s(self):
        found = gap({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.0, 1: 0.0, 2: 0.0})
        assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-5)  # t of 2 degrees at 95 %

    def test_a_wider_level_tells_less(self):
        upper, lower = {0: 0.9, 1: 0.93, 2: 0.94}, {0: 0.89, 1: 0.90, 2: 0.92}
        assert gap(upper, lower, level=0.9).above and not gap(upper, lower, level=0.99).above

    def test_below_is_the_mirror_of_above(self):
        upper, lower = {0: 0.9, 1: 0.92, 2: 0.91}, {0: 0.8, 1: 0.82, 2: 0.80}
        assert gap(lower, upper).below and gap(upper, lower).above

    def test_two_seeds_tell_nothing(self):
        found = gap({0: 0.9, 1: 0.91}, {0: 0.1, 1: 0.1})
        assert not found.above and not found.below and "2 seeds, too few to tell" in str(found)

    def test_the_same_difference_for_every_seed_is_certain(self):
        assert gap({0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.25, 1: 0.25, 2: 0.25}).low == 0.25
        assert not gap({0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.5, 1: 0.5, 2: 0.5}).above

    def test_rows_without_a_common_seed_are_refused(self):
        with pytest.raises(ValueError, match=r"must share a seed, got \[0\] and \[1\]"):
            gap({0: 0.5}, {1: 0.5})

    def test_says_itself_in_points(self):
        assert str(gap({0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.25, 1: 0.25, 2: 0.25})) == (
            "+25.0 points (+25.0 to +25.0 at 95 %, 3 seeds)"
        )


def test_the_examples_are_true():
    assert doctest.testmod(evidence).failed == 0
