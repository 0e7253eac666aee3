"""From a recipe to a step, against the formulas."""

import pytest
import torch
from torch import nn

from kdcore.engine import Recipe
from kdcore.engine.optimise import backward, forget_gradients, optimizer_for, set_rate
from kdcore.types import Term

SLOPES = [torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.25]), torch.tensor([-1.0, 1.0])]


def walked(recipe: Recipe) -> torch.Tensor:
    """Where two numbers stand after three steps with known gradients."""
    weights = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = optimizer_for(recipe, [weights])
    for slope in SLOPES:
        weights.grad = slope.clone()
        optimizer.step()
    return weights.detach()


class TestOptimizerFor:
    @pytest.mark.parametrize("nesterov", [False, True])
    def test_sgd_is_its_formula(self, nesterov):
        found = walked(Recipe(learning_rate=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01))
        weights, speed = torch.tensor([1.0, -2.0]), None
        for slope in SLOPES:
            slope = slope + 0.01 * weights
            speed = slope if speed is None else 0.9 * speed + slope
            weights = weights - 0.1 * (slope + 0.9 * speed if nesterov else speed)
        torch.testing.assert_close(found, weights)

    @pytest.mark.parametrize("kind", ["adam", "adamw"])
    def test_adam_is_its_formula(self, kind):
        found = walked(Recipe(optimizer=kind, learning_rate=0.1, momentum=0.8, weight_decay=0.01))
        weights = torch.tensor([1.0, -2.0])
        first, second = torch.zeros(2), torch.zeros(2)
        for step, slope in enumerate(SLOPES, start=1):
            if kind == "adam":
                slope = slope + 0.01 * weights
            else:
                weights = weights - 0.1 * 0.01 * weights
            first, second = 0.8 * first + 0.2 * slope, 0.999 * second + 0.001 * slope**2
            sizes = (second / (1 - 0.999**step)).sqrt() + 1e-8
            weights = weights - 0.1 * first / (1 - 0.8**step) / sizes
        torch.testing.assert_close(found, weights)

    def test_without_momentum_nesterov_has_nothing_to_look_ahead_with(self):
        recipe = Recipe(momentum=0.0, nesterov=True)
        assert not optimizer_for(recipe, [nn.Parameter(torch.zeros(1))]).param_groups[0]["nesterov"]

    @pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
    def test_all_parameters_move_in_one_kernel(self, kind):
        group = optimizer_for(Recipe(optimizer=kind), [nn.Parameter(torch.zeros(1))]).param_groups[0]
        assert group["fused"]

    def test_the_rate_is_set_from_outside(self):
        optimizer = optimizer_for(Recipe(learning_rate=0.1), [nn.Parameter(torch.zeros(1))])
        set_rate(optimizer, 0.025)
        assert [group["lr"] for group in optimizer.param_groups] == [0.025]


class TestBackward:
    def test_gradients_flow_into_the_named_parameters_alone(self):
        mine, other = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
        backward({"product": Term(mine * other, 2.0), "square": Term(mine**2, 0.5)}, [mine])
        assert mine.grad.item() == 2.0 * 3.0 + 0.5 * 2 * 2.0 and other.grad is None

    def test_parameters_that_no_term_reaches_have_none(self):
        mine, idle = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
        backward({"square": Term(mine**2, 1.0)}, [mine, idle])
        assert mine.grad.item() == 4.0 and idle.grad is None

    def test_gradients_are_forgotten_before(self):
        mine = nn.Parameter(torch.tensor(2.0))
        mine.grad = torch.tensor(5.0)
        forget_gradients([mine])
        assert mine.grad is None
