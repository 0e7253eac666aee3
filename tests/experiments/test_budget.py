"""Preparation taken out of a row's length: the student's steps add up, nobody else's change."""

import pytest
from torch import nn

from kdcore.engine import Recipe
from kdcore.entry import Refusal
from kdcore.experiments.budget import ranked, shares_of, teaches, within_budget
from kdcore.types import Scheme, Stage, Update


class Prepared(Scheme):
    """A stage of an assistant, two of the student, the last one the main."""

    def __init__(self, own: Recipe | None = None):
        super().__init__()
        self.student, self.assistant, self.own = nn.Linear(2, 2), nn.Linear(2, 2), own

    def stages(self):
        first = Update("assistant", [self.assistant], lambda batch: {})
        mine = Update("student", [self.student], lambda batch: {})
        hint = Stage("hint", [mine], share=0.5, recipe=self.own)
        return [Stage("assistant", [first], share=1.0), hint, Stage("main", [mine])]

    def delivers(self):
        return {"student": self.student, "assistant": self.assistant}


class TestWithinBudget:
    @pytest.mark.parametrize("recipe", [Recipe(steps=7), Recipe(epochs=5, batch_size=128), Recipe(steps=1)], ids=str)
    def test_the_students_stages_take_the_recipes_length_and_the_assistants_its_own(self, recipe):
        samples = 50000
        stages = {stage.name: stage for stage in within_budget(Prepared(), recipe, samples).stages()}
        steps = {name: recipe.length(samples, stage.share)[0] for name, stage in stages.items()}
        whole = recipe.length(samples)[0]
        assert steps["assistant"] == whole
        assert steps["hint"] + steps["main"] == max(whole, 2)  # a stage takes one step at least
        if whole > 2:
            assert steps["hint"] == -(-whole // 3)

    def test_a_stage_with_a_recipe_of_its_own_is_refused(self):
        with pytest.raises(Refusal, match="stage hint has a recipe of its own"):
            within_budget(Prepared(Recipe(steps=3)), Recipe(steps=9), 100)

    def test_who_learns_in_a_stage_is_seen_by_its_weights(self):
        scheme = Prepared()
        found = {stage.name: teaches(stage, ranked(scheme)) for stage in scheme.stages()}
        assert ranked(scheme) is scheme.student and found == {"assistant": False, "hint": True, "main": True}

    def test_steps_add_up_exactly_for_every_length_and_share(self):
        for steps in range(2, 200, 7):
            for share in (0.125, 0.4, 0.5, 1.0):
                recipe = Recipe(steps=steps)
                shares = shares_of([Stage("first", [], share=share), Stage("main", [])], recipe, 100)
                assert sum(recipe.length(100, one)[0] for one in shares) == steps
