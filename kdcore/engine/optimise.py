"""From a recipe to a step: the optimiser, its rate, and where gradients may go."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

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


def move(optimizer: torch.optim.Optimizer) -> None:
    """One step, also where a parameter has its first gradient later than others, which torch's fused SGD refuses."""
    try:
        optimizer.step()
    except TypeError:
        if not _brought_up(optimizer):
            raise
        optimizer.step()


def _brought_up(optimizer: torch.optim.Optimizer) -> bool:
    """Give parameters that have stood still a speed of nothing, from which the first gradient is all that counts."""
    if not isinstance(optimizer, torch.optim.SGD):
        return False
    late = [
        parameter
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None and optimizer.state[parameter].get("momentum_buffer") is None
    ]
    for parameter in late:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return bool(late)


def step_together(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Move what several optimisers own, those of one rate and kind in a call for all, to the bit as each would alone.

    SGD with momentum, the optimiser of all tables, is joined from its second step on; everything else moves alone.
    """
    groups: dict[tuple, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for optimizer in optimizers:
        moved = _with_momentum(optimizer)
        if not moved:
            move(optimizer)
            continue
        (settings,) = optimizer.param_groups
        kind = tuple(settings[name] for name in ("lr", "momentum", "weight_decay", "nesterov", "dampening", "maximize"))
        groups.setdefault((*kind, moved[0][0].device), []).extend(moved)
    for (rate, momentum, decay, nesterov, dampening, maximize, _), moved in groups.items():
        parameters, gradients, speeds = (list(column) for column in zip(*moved))
        with torch.no_grad():
            sgd(
                parameters, gradients, speeds, fused=True, foreach=False, lr=rate, momentum=momentum,
                weight_decay=decay, nesterov=nesterov, dampening=dampening, maximize=maximize,
            )  # fmt: skip


def _with_momentum(optimizer: torch.optim.Optimizer) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Parameters that move, their gradients and their speeds; nothing where some has no speed yet or never will."""
    if type(optimizer) is not torch.optim.SGD or len(optimizer.param_groups) > 1:
        return []
    moving = [parameter for parameter in optimizer.param_groups[0]["params"] if parameter.grad is not None]
    speeds = [optimizer.state[parameter].get("momentum_buffer") for parameter in moving]
    if any(speed is None for speed in speeds):
        return []
    return [(parameter, parameter.grad, speed) for parameter, speed in zip(moving, speeds)]


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
