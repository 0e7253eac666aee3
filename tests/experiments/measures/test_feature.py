"""The digits pair by its convolutions: what the measure builds and gives back."""

import pytest
import torch

from kdcore.engine import Recipe, fit
from kdcore.experiments.measures.feature import Layered, layered
from kdcore.models import build
from kdcore.types import Refusal

RECIPE = Recipe(steps=3, batch_size=8, learning_rate=0.05)
ASKED = {"seed": 0, "profile": "smoke", "recipe": RECIPE, "device": "cpu", "data": "digits-100"}
PAIR = {"student": "digits-student", "teacher": {"network": "digits-teacher", "classes": 10}}


@pytest.fixture
def images():
    return torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class TestLayered:
    @pytest.mark.parametrize(("name", "channels"), [("digits-student", [16, 32]), ("digits-teacher", [32, 32, 64, 64])])
    def test_tells_every_convolution_and_answers_as_before(self, name, channels, images):
        network = build(name, 10).eval()
        said, plain = Layered(network)(images), network(images)
        assert [feature.shape[1] for feature in said.features] == channels
        assert torch.equal(said.logits, plain.logits) and torch.equal(said.embedding, plain.embedding)
        last_of_stages = said.features[1::2] if len(channels) == 4 else said.features
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(last_of_stages, plain.features))

    def test_other_networks_are_refused(self):
        with pytest.raises(Refusal, match="layers are told for networks of the digits pair, got ResNet"):
            Layered(build("resnet8", 10))


class TestMeasure:
    def test_matches_the_layers_that_a_row_names(self):
        training = layered(**ASKED, **PAIR, methods=[["at", {"pairs": [[0, 1], [1, 3]]}]])
        fit([training.run])
        found = training.finish(training.run)
        assert 0 <= found["last"]["accuracy"] <= 1 and {"student/at", "student/task"} <= set(found["curve"][0]["terms"])

    def test_runs_share_one_teacher(self):
        one, two = (
            layered(**ASKED | {"seed": seed}, **PAIR, methods=[["at", {"pairs": [[1, 3]]}]]).run for seed in (0, 1)
        )
        assert one.scheme.outside[0] is two.scheme.outside[0]

    def test_a_pair_that_is_not_there_is_refused_before_anything_is_trained(self):
        with pytest.raises(Refusal, match=r"the teacher has stages 0 \.\. 3, got 4"):
            layered.rehearse(**ASKED, **PAIR, methods=[["at", {"pairs": [[1, 4]]}]])
