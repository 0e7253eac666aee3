"""The assignment is the cheapest one, as another library finds it too."""

import itertools

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from kdcore.losses.feature._assignment import assign


class TestAssign:
    @pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (6, 6), (5, 9), (24, 24), (20, 41)])
    def test_costs_as_little_as_scipys(self, sines, rows, columns):
        cost = sines(rows, columns, speed=0.77).square().frac()
        taken = assign(cost)
        assert len(set(taken.tolist())) == rows
        best = cost[linear_sum_assignment(cost.numpy())].sum()
        assert cost[torch.arange(rows), taken].sum().item() == pytest.approx(best.item(), rel=1e-12)

    def test_is_the_best_of_all_ways(self, sines):
        cost = sines(4, 5, speed=1.31)
        every = [
            sum(cost[row, column].item() for row, column in enumerate(way))
            for way in itertools.permutations(range(5), 4)
        ]
        assert cost[torch.arange(4), assign(cost)].sum().item() == pytest.approx(min(every))

    def test_finds_a_hidden_permutation_also_among_equal_rows(self):
        order = torch.arange(16) * 5 % 16
        cost = torch.ones(16, 16)
        cost[torch.arange(16), order] = 0
        assert assign(cost).equal(order)
        assert sorted(assign(torch.zeros(6, 6)).tolist()) == list(range(6))

    def test_more_rows_than_columns_are_answered_in_a_sentence(self):
        with pytest.raises(ValueError, match="at least as many columns as rows, got 3 rows and 2 columns"):
            assign(torch.zeros(3, 2))
