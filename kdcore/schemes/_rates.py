"""Optimisers that a scheme brings along because a game needs other steps than a classifier."""

from __future__ import annotations

from dataclasses import replace

from kdcore.recipe import Recipe


def steady(rate: float, momentum: float = 0.9) -> Recipe:
    """Adam at one rate throughout, for a critic: its opponent moves as long as the run lasts."""
    return Recipe(optimizer="adam", learning_rate=rate, momentum=momentum, weight_decay=0.0, schedule="constant")


def slowed(recipe: Recipe, factor: float) -> Recipe:
    """The same training at a share of its rate, without the decay that another update of the weights carries out."""
    return replace(recipe, learning_rate=factor * recipe.learning_rate, weight_decay=0.0)
