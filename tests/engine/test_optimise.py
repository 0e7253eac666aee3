"""From a recipe to a step, against the formulas."""

import pytest
import torch
from torch import nn

from kdcore.engine import Recipe
from kdcore.engine.optimise import backward, forget_gradients, move, optimizer_for, set_rate, step_together
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


class TestMove:
    @pytest.mark.parametrize("kind", ["sgd", "adamw"])
    def test_a_parameter_may_have_its_first_gradient_later_than_others(self, kind):
        recipe = Recipe(optimizer=kind, learning_rate=0.1, momentum=0.9, weight_decay=0.0)
        early, late, fresh = (nn.Parameter(torch.ones(2)) for _ in range(3))
        optimizer, alone = optimizer_for(recipe, [early, late]), optimizer_for(recipe, [fresh])
        early.grad = torch.ones(2)
        move(optimizer)
        assert torch.equal(late, torch.ones(2))
        for slope in SLOPES:
            early.grad, late.grad, fresh.grad = torch.ones(2), slope.clone(), slope.clone()
            move(optimizer), move(alone)
            assert torch.equal(late, fresh)

    def test_another_fault_is_heard(self):
        weights = nn.Parameter(torch.ones(2))
        optimizer = optimizer_for(Recipe(), [weights])
        weights.grad = torch.ones(2)
        move(optimizer)
        optimizer.param_groups[0]["lr"] = "fast"
        with pytest.raises(TypeError):
            move(optimizer)


class TestStepTogether:
    """Several optimisers in one call, to the bit what each does alone."""

    RECIPES = (
        Recipe(learning_rate=0.1),
        Recipe(learning_rate=0.1),
        Recipe(learning_rate=0.1, nesterov=True, weight_decay=0.0),
        Recipe(learning_rate=0.02),
        Recipe(momentum=0.0),
        Recipe(optimizer="adamw"),
    )

    def walked(self, together: bool) -> list[torch.Tensor]:
        runs = []
        for number, recipe in enumerate(self.RECIPES):
            sizes = (3, 5 + number), (7,)
            owned = [
                nn.Parameter(torch.sin(torch.arange(float(torch.Size(size).numel()))).view(size)) for size in sizes
            ]
            runs.append((optimizer_for(recipe, owned), owned))
        for step in range(4):
            for number, (_, owned) in enumerate(runs):
                for parameter in owned:
                    parameter.grad = torch.cos(parameter.detach() * (step + 1) + number)
                if number == 1 and step < 2:
                    owned[1].grad = None  # its first gradient comes late
            if together:
                step_together(optimizer for optimizer, _ in runs)
            else:
                for optimizer, _ in runs:
                    move(optimizer)
        return [parameter.detach() for _, owned in runs for parameter in owned]

    def test_moves_every_parameter_to_the_bits_of_moving_alone(self):
        assert all(torch.equal(one, other) for one, other in zip(self.walked(True), self.walked(False), strict=True))

    def test_those_of_one_kind_and_rate_move_in_one_call(self, monkeypatch):
        calls, plain = [], torch._fused_sgd_

        def counting(moved, *given, **more):
            calls.append(len(moved))
            plain(moved, *given, **more)

        monkeypatch.setattr(torch, "_fused_sgd_", counting)
        optimizers = []
        for _ in range(3):
            parameter = nn.Parameter(torch.ones(2))
            optimizers.append(optimizer_for(Recipe(), [parameter]))
            parameter.grad = torch.ones(2)
        step_together(optimizers)
        step_together(optimizers)
        assert calls == [1, 1, 1, 3]

    def test_the_state_is_the_optimisers_own(self):
        parameter = nn.Parameter(torch.ones(2))
        optimizer = optimizer_for(Recipe(weight_decay=0.0, momentum=0.5), [parameter])
        for slope in (1.0, 2.0):
            parameter.grad = torch.full((2,), slope)
            step_together([optimizer])
        (state,) = optimizer.state_dict()["state"].values()
        assert torch.equal(state["momentum_buffer"], torch.full((2,), 2.5))


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
