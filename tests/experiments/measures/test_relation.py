"""What noise in the images does to what a network says of them."""

import pytest
import torch

from kdcore.experiments.measures.relation import moved, under_noise
from kdcore.recipe import Recipe


class TestUnderNoise:
    def test_a_change_is_told_in_differences_between_samples(self):
        rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        assert moved(3 * rows, rows) == pytest.approx(2.0)
        assert moved(rows + 100, rows + 99) == pytest.approx(2**0.5)  # every row by (1, 1), of rows 1 from their mean

    def test_grows_with_the_noise_and_repeats_itself(self):
        asked = {"seed": 0, "profile": "smoke", "recipe": Recipe(steps=1), "device": "cpu", "scales": [0.0, 0.1, 0.4]}
        teacher = {"row": "teacher", "network": "digits-teacher", "classes": 10}  # one that nobody trained
        given = {"data": "digits-100", "student": "digits-student", "teacher": teacher}
        found = under_noise(**asked, **given)
        assert found.keys() == {"answers", "features", "similarities"}
        for numbers in found.values():
            assert numbers["0"] == 0 and 0 < numbers["0.1"] < numbers["0.4"]
        assert under_noise(**asked, **given) == found
