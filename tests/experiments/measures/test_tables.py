"""The network at the head of a table."""

import torch

from kdcore.data import load
from kdcore.engine import Recipe
from kdcore.experiments.bench import raw_teacher
from kdcore.experiments.measures.tables import teacher


def test_is_judged_on_the_whole_test_split_as_it_was_trained():
    source = {"row": "teacher", "network": "digits-teacher", "classes": 10}
    asked = {"seed": 3, "profile": "smoke", "recipe": Recipe(steps=1, precision="bfloat16"), "device": "cpu"}
    found = teacher(**asked, data="digits-100", student="digits-student", teacher=source)
    test = load("digits-100").splits["test"]
    with torch.no_grad():
        right = (raw_teacher(source)(test.inputs).logits.argmax(1) == test.targets).double().mean().item()
    assert found["accuracy"] == right and set(found) == {"accuracy", "cross_entropy"}
