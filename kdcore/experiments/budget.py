"""What a delivered network may cost: stages in which it learns, and their length together."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from kdcore.entry import Refusal
from kdcore.recipe import Recipe
from kdcore.types import Scheme, Stage


def ranked(scheme: Scheme) -> nn.Module:
    return next(iter(scheme.delivers().values()))


def teaches(stage: Stage, network: nn.Module) -> bool:
    """Whether a stage trains some of a network's parameters."""
    own = {id(parameter) for parameter in network.parameters()}
    trained = (parameter for update in stage.updates for module in update.trains for parameter in module.parameters())
    return any(id(parameter) in own for parameter in trained)


def within_budget(scheme: Scheme, recipe: Recipe, samples: int) -> Scheme:
    """The scheme with its preparation taken out of the recipe's length, step by step.

    Stages in which the ranked network learns keep their proportions and take as many steps together as one stage of
    the recipe; what only others learn in (an assistant, a paraphraser) keeps its own length.

    Raises:
        Refusal: such a stage brings a recipe of its own, so that its steps are of another kind.
    """
    stages = scheme.stages()
    mine = [stage for stage in stages if teaches(stage, ranked(scheme))]
    if others := [stage.name for stage in mine if stage.recipe is not None]:
        raise Refusal(f"stage {others[0]} has a recipe of its own, so its steps cannot be taken out of the row's")
    shares = dict(zip(map(id, mine), shares_of(mine, recipe, samples)))
    shortened = [replace(stage, share=shares.get(id(stage), stage.share)) for stage in stages]
    scheme.stages = lambda: shortened
    return scheme


def shares_of(stages: list[Stage], recipe: Recipe, samples: int) -> list[float]:
    """Shares whose steps add up to the recipe's exactly: the last stage has what the others leave, one step at least.

    Example:
        >>> parts = [Stage("hint", [], share=0.5), Stage("main", [])]
        >>> [round(10 * share) for share in shares_of(parts, Recipe(steps=10), 100)]
        [4, 6]
    """
    whole, _ = recipe.length(samples)
    total = sum(stage.share for stage in stages)
    steps = [recipe.length(samples, stage.share / total)[0] for stage in stages[:-1]]
    return [count / whole for count in (*steps, max(1, whole - sum(steps)))]
