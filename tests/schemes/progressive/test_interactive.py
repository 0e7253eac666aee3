"""What a reader may rely on when stages are swapped, one claim a test."""

import doctest

import pytest
import torch
from torch import nn

from kdcore.schemes.offline import Distillation
from kdcore.schemes.progressive import InteractiveKD, interactive
from kdcore.schemes.progressive.interactive import swapping
from kdcore.types import Clock, Refusal


@pytest.fixture
def make(staged):
    return lambda width=6, **settings: InteractiveKD.build(staged.bench(width), **settings)


@pytest.fixture
def batch(staged):
    return staged.data.batch(3, Clock(0, 12, 6), 16)


class TestSwapping:
    def test_starts_where_it_is_told_and_ends_as_it_says(self):
        ends = {"uniform": 0.6, "linear": 0.0, "curriculum": 0.0}
        assert {s: (swapping(0.0, 0.6, s), swapping(1.0, 0.6, s)) for s in ends} == {
            s: (0.6, e) for s, e in ends.items()
        }
        assert swapping(0.5, 0.6, "linear") == pytest.approx(0.3) and swapping(0.5, 0.6, "curriculum") == 0.0

    def test_its_examples_are_true(self):
        assert doctest.testmod(interactive).failed == 0


class TestInteractiveKD:
    def test_with_nothing_swapped_it_is_the_student_alone(self, make, batch, staged):
        scheme, alone = make(swap=0.0), Distillation(staged.network())
        torch.testing.assert_close(scheme._losses(batch)["task"].value, alone._losses(batch)["task"].value)

    def test_with_everything_swapped_between_networks_that_fit_the_teachers_stages_feed_the_students_classifier(
        self, make, batch
    ):
        scheme = make(width=4)
        said = scheme.hybrid(batch.inputs, [True, True])
        maps = scheme.outside[0](batch.inputs).features[-1]
        torch.testing.assert_close(said.logits, scheme.student.classifier(maps.mean((2, 3))))
        assert all(isinstance(bridge, nn.Identity) for bridge in (*scheme.into, *scheme.back))

    @pytest.mark.parametrize("swapped", [[True, False], [False, True], [True, True], [False, False]])
    def test_bridges_stand_only_where_one_network_meets_the_other(self, make, batch, swapped):
        scheme = make()
        crossed = []
        for kind, bridges in (("into", scheme.into), ("back", scheme.back)):
            for number, bridge in enumerate(bridges):
                name = f"{kind} {number}"
                bridge.register_forward_hook(lambda *_, name=name: crossed.append(name))
        scheme.hybrid(batch.inputs, swapped)
        expected = {
            (True, False): ["into 0", "back 0"],
            (False, True): ["into 1", "back 1"],
            (True, True): ["into 0", "back 1"],
            (False, False): [],
        }
        assert crossed == expected[tuple(swapped)]

    def test_each_stage_is_swapped_as_often_as_it_should(self, make, staged):
        scheme, data = make(swap=0.3, schedule="uniform"), staged.data
        drawn = torch.tensor([scheme.drawn(data.batch(3, Clock(step, 600, 6), 16)) for step in range(600)]).float()
        assert ((drawn.mean(0) - 0.3).abs() < 0.06).all()
        together = (drawn[:, 0] * drawn[:, 1]).mean()
        assert abs(together - 0.09) < 0.04  # each stage by a chance of its own

    def test_gradients_reach_the_student_and_the_bridges_and_never_the_teacher(self, proof, make):
        found = proof.reached(make)["main"]["student/task"]
        assert "student" in found and found <= {"student", "into.0", "into.1", "back.0", "back.1"}
        run = proof.trained(make)
        assert all(weight.grad is None for weight in run.scheme.outside[0].parameters())

    def test_a_stage_that_is_swapped_out_gets_a_gradient_of_zero(self, make, batch):
        scheme = make(swap=1.0)
        (update,) = scheme.stages()[0].updates
        parameters = [weight for module in update.trains for weight in module.parameters()]
        update.backward(update.losses(batch), parameters)
        assert all(weight.grad is not None for weight in parameters)
        assert all(weight.grad.eq(0).all() for weight in scheme.student.stages.parameters())
        assert scheme.student.classifier.weight.grad.ne(0).any()

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make, staged):
        proof.together_is_alone(make, lambda: make(schedule="curriculum"), lambda: Distillation(staged.network()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_the_teacher_stays_as_it_is_statistics_too(self, proof, make, staged):
        run, before = proof.trained(make), staged.teacher().state_dict()
        assert all(torch.equal(value, before[name]) for name, value in run.scheme.outside[0].state_dict().items())

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"swap": 1.5}, "swap must be at most 1, got 1.5"),
            ({"schedule": "review"}, "schedule must be 'uniform', 'linear' or 'curriculum', got 'review'"),
        ],
    )
    def test_refuses_what_cannot_be(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["Net cannot be run stage by stage"])
    def test_refuses_a_network_of_another_form(self, toy, staged, says):
        with pytest.raises(Refusal, match=says):
            InteractiveKD(toy.network(), staged.teacher(), staged.sample)
