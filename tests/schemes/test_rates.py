"""What a reader may rely on in the optimisers that a game brings along."""

from kdcore.recipe import Recipe
from kdcore.schemes._rates import slowed, steady


class TestRates:
    def test_a_steady_recipe_is_adam_at_one_rate_without_decay(self):
        recipe = steady(2e-3, momentum=0.5)
        assert (recipe.optimizer, recipe.momentum, recipe.weight_decay) == ("adam", 0.5, 0.0)
        assert {recipe.rate(progress / 4) for progress in range(5)} == {2e-3}

    def test_a_slowed_recipe_keeps_its_course_at_a_share_of_the_rate(self):
        recipe = Recipe(steps=10, learning_rate=0.4, schedule="one-cycle", weight_decay=1e-3)
        slow = slowed(recipe, 0.25)
        assert [slow.rate(p / 4) for p in range(5)] == [0.25 * recipe.rate(p / 4) for p in range(5)]
        assert slow.weight_decay == 0 and slow.length(50, 1.0) == recipe.length(50, 1.0)
