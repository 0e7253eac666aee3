"""What a reader may rely on when stages are learned one after the other, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.engine import fit
from kdcore.losses import fitnet_loss
from kdcore.losses.feature.hints import Regressor
from kdcore.schemes.offline import Distillation
from kdcore.schemes.progressive import StageByStageKD
from kdcore.types import Clock, Refusal


@pytest.fixture
def make(staged):
    return lambda **settings: StageByStageKD.build(staged.bench(), **settings)


class TestStageByStageKD:
    def test_every_parameter_is_learned_in_exactly_one_stage(self, proof, make):
        run, seen = proof.run(make), []
        known = {id(weight): name for name, weight in run.scheme.named_parameters()}
        while run.active:
            names = [known[id(weight)] for weight in run.parameters[0]]
            if names not in seen:
                seen.append(names)
            run.advance()
        first, second, head = ([name.removeprefix("student.") for name in names] for names in seen)
        assert {name.split(".")[1] for name in first if name.startswith("stages")} == {"0"}
        assert {name.split(".")[1] for name in second if name.startswith("stages")} == {"1"}
        assert {name.split(".")[0] for name in head} == {"classifier"}
        every = [name for names in seen for name in names]
        assert sorted(every) == sorted(known.values())

    def test_gradients_reach_the_stage_at_hand_and_its_adapter_then_the_head(self, proof, make):
        found = proof.reached(make)
        assert found == {
            "layer0": {"student/hint": {"student", "adapters.0"}},
            "layer1": {"student/hint": {"student", "adapters.1"}},
            "head": {"student/task": {"student"}},
        }

    def test_what_was_learned_before_rests_batch_norms_too(self, proof, make):
        run = proof.run(make)
        while run.at == 0:
            run.advance()
        lower = run.scheme.student.stages[0]
        before = {name: value.clone() for name, value in lower.state_dict().items()}
        upper = run.scheme.student.stages[1].layers[0].norm.running_mean.clone()
        fit([run])
        assert all(torch.equal(value, before[name]) for name, value in lower.state_dict().items())
        assert not torch.equal(run.scheme.student.stages[1].layers[0].norm.running_mean, upper)

    def test_each_stage_is_a_hint_by_its_mean(self, make, staged):
        scheme, batch = make(weight=3.0), staged.data.batch(3, Clock(0, 12, 6), 16)
        stages = scheme.stages()
        for number, stage in enumerate(stages[:2]):
            (term,) = stage.updates[0].losses(batch).values()
            made = scheme.adapters[number](batch.outputs(scheme.student).features[number])
            target = batch.outputs(*scheme.outside).features[number]
            torch.testing.assert_close(term.value, fitnet_loss(made, target, form="mean"))
            assert term.weight == 3.0
        assert [stage.share for stage in stages] == [1 / 3] * 3

    def test_takes_as_many_steps_as_any_student(self, proof, make):
        assert proof.run(make).remaining == proof.recipe.steps

    def test_maps_that_fit_need_no_adapter(self, staged):
        scheme = StageByStageKD.build(staged.bench(width=4))
        assert all(isinstance(adapter, nn.Identity) for adapter in scheme.adapters)
        assert all(isinstance(adapter, Regressor) for adapter in StageByStageKD.build(staged.bench()).adapters)

    def test_what_lies_between_two_named_stages_is_learned_with_the_later(self, make):
        scheme = make(pairs=[[1, 1]])
        known = {id(weight): name for name, weight in scheme.named_parameters()}
        first, head = ({known[id(weight)].split(".")[1] for weight in part.parameters()} for part in scheme.portions)
        assert (first, head) == ({"stages"}, {"classifier"})

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make, staged):
        proof.together_is_alone(make, lambda: make(pairs=[[1, 1]]), lambda: Distillation(staged.network()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_lowers_the_hints_and_leaves_the_teacher_alone(self, proof, make, staged):
        run = proof.trained(make)
        for stage in ("layer0", "layer1"):
            values = [entry["terms"]["student/hint"] for entry in run.curve if entry["stage"] == stage]
            assert values[-1] < values[0]
        before = staged.teacher().state_dict()
        assert all(torch.equal(value, before[name]) for name, value in run.scheme.outside[0].state_dict().items())

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"pairs": [[1, 1], [0, 0]]}, "stages must be paired shallow to deep"),
            ({"pairs": [[0, 4]]}, "the teacher has stages 0 .. 1, got 4"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_refuses_what_cannot_be(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["stage-by-stage-kd matches a teacher, and the row has none"])
    def test_refuses_a_row_without_a_teacher(self, staged, says):
        bench = staged.bench()
        bench.teacher = None
        with pytest.raises(Refusal, match=says):
            StageByStageKD.build(bench)
