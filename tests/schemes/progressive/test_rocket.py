"""What a reader may rely on when a light network is launched by a booster, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.schemes.offline import Distillation
from kdcore.schemes.progressive import RocketLaunching
from kdcore.schemes.progressive.rocket import Booster
from kdcore.types import Clock, Refusal


@pytest.fixture
def make(staged):
    return lambda **settings: RocketLaunching.build(staged.bench(), **{"booster": "wide"} | settings)


@pytest.fixture
def batch(staged):
    return staged.data.batch(3, Clock(0, 12, 6), 16)


class TestBooster:
    def test_of_a_whole_network_with_its_own_lower_stage_it_answers_as_the_network(self, staged):
        network = staged.network(width=4, depth=2).eval()
        said = network(staged.sample)
        booster = Booster(network, 1, (4, 6, 6), staged.sample)
        assert isinstance(booster.bridge, nn.Identity)
        assert torch.equal(booster(said.features[0]).logits, said.logits)

    def test_has_no_weights_of_the_stages_that_it_shares(self, staged):
        booster = Booster(staged.network(width=6), 1, (4, 6, 6), staged.sample)
        assert {name.split(".")[0] for name, _ in booster.named_parameters()} == {"bridge", "network"}
        assert not [name for name, _ in booster.named_parameters() if "stages.0" in name or "stem" in name]


class TestRocketLaunching:
    def test_is_two_label_losses_and_a_sum_of_squares(self, make, batch):
        scheme = make(weight=0.5)
        terms = scheme._losses(batch)
        light = batch.outputs(scheme.student)
        heavy = scheme.booster(light.features[0])
        squares = [
            sum((a - b) ** 2 for a, b in zip(s, t)) for s, t in zip(light.logits.tolist(), heavy.logits.tolist())
        ]
        assert terms["hint"].value.item() == pytest.approx(sum(squares) / 16, rel=1e-4) and terms["hint"].weight == 0.5
        for name, said in (("task", light), ("booster", heavy)):
            torch.testing.assert_close(terms[name].value, nn.functional.cross_entropy(said.logits, batch.targets))

    def test_gradients_of_the_hint_stop_at_the_booster(self, proof, make):
        found = proof.reached(make)["main"]
        assert found["rocket/task"] == found["rocket/hint"] == {"student"}
        assert found["rocket/booster"] == {"student", "booster"}

    def test_without_the_block_they_reach_it(self, proof, make):
        assert proof.reached(lambda: make(block=False))["main"]["rocket/hint"] == {"student", "booster"}

    def test_the_booster_moves_the_shared_stage_and_nothing_else_of_the_light_network(self, make, batch):
        scheme = make()
        scheme._losses(batch)["booster"].value.backward()
        hit = {name for name, weight in scheme.student.named_parameters() if weight.grad is not None}
        assert hit == {name for name, _ in scheme.student.named_parameters() if name.startswith("stages.0.")}

    def test_without_hint_and_booster_it_is_the_light_network_alone(self, make, batch, staged):
        alone = Distillation(staged.network())
        torch.testing.assert_close(make()._losses(batch)["task"].value, alone._losses(batch)["task"].value)

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make):
        proof.together_is_alone(make, lambda: make(block=False), lambda: make(booster=None))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_both_learn_and_the_light_one_is_delivered_first(self, proof, make):
        run = proof.trained(make)
        assert run.curve[-1]["terms"]["rocket/task"] < run.curve[0]["terms"]["rocket/task"]
        light, boosted = run.scheme.delivers().values()
        assert light is run.scheme.student and boosted(proof.data.inputs[:3]).logits.shape == (3, 4)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"shared": 0}, "shared must lie in 1 .. 2, stages of the student, got 0"),
            ({"shared": 2}, "shared must lie in 1 .. 1, stages of the booster, got 2"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_refuses_what_cannot_be(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)
