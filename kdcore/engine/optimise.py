"""From a recipe to a step: the optimiser, its rate, and where gradients may go."""

from __future__ import annotations

import torch
from torch import nn

from kdcore.recipe import Recipe
from kdcore.types import Term


def optimizer_for(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The recipe's optimiser, fused: one kernel for all parameters instead of one for each."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov and recipe.momentum > 0,
            fused=True,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    betas = (recipe.momentum, 0.999)
    return kind(parameters, recipe.learning_rate, betas=betas, weight_decay=recipe.weight_decay, fused=True)


def forget_gradients(parameters: list[nn.Parameter]) -> None:
    """What ``optimizer.zero_grad`` does, without the profiler's hooks, which cost more than the work."""
    for parameter in parameters:
        parameter.grad = None


def backward(terms: dict[str, Term], parameters: list[nn.Parameter]) -> None:
    """Gradients of the weighted sum, into these parameters and nowhere else."""
    total = sum(term.weight * term.value for term in terms.values())
    torch.autograd.backward(total, inputs=parameters)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
