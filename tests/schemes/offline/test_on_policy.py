"""What a reader may rely on when the student writes what it is taught on, one claim a test."""

from functools import partial

import pytest
import torch
from small_language import LENGTH, Bench, teacher, texts, writer

from kdcore.engine import Recipe, Run, fit
from kdcore.losses.sequence.divergences import generalised_jsd_loss
from kdcore.losses.sequence.token_level import TokenLevelKD
from kdcore.models.transformer import Transformer
from kdcore.schemes.offline import Distillation
from kdcore.schemes.offline.on_policy import GKD
from kdcore.types import Clock, Data, Refusal, Task

RECIPE = Recipe(steps=7, batch_size=8, optimizer="adamw", learning_rate=3e-3, clip=1.0)


@pytest.fixture
def proof(toy):
    return toy.Proof(texts(), RECIPE)


def make(**settings) -> GKD:
    return GKD(writer(), teacher(), **settings)


def batch(step: int = 0):
    return texts().batch(3, Clock(step, 7, 5), 8)


class TestGKD:
    def test_on_the_data_it_is_the_divergence_after_the_prompt(self):
        scheme, one = make(on_policy=0.0, beta=0.3, temperature=2.0, prompt=3), batch()
        term = scheme._losses(one)["gkd"]
        said, taught = (network(one.inputs).logits for network in (scheme.student, scheme.outside[0]))
        mask = (torch.arange(LENGTH) >= 2).expand(8, LENGTH)
        assert term.weight == 1.0
        torch.testing.assert_close(term.value, generalised_jsd_loss(said, taught, mask, beta=0.3, temperature=2.0))

    def test_on_its_own_texts_it_is_the_divergence_where_it_wrote(self):
        scheme, one = make(on_policy=1.0, prompt=3, beta=1.0), batch()
        tokens = scheme.texts(one)
        assert tokens.shape == (8, LENGTH + 1) and torch.equal(tokens[:, :3], one.inputs[:, :3])
        said, taught = (network(tokens[:, :-1]).logits for network in (scheme.student, scheme.outside[0]))
        expected = generalised_jsd_loss(said[:, 2:], taught[:, 2:], beta=1.0)
        torch.testing.assert_close(scheme._losses(one)["gkd"].value, expected)

    def test_without_its_own_texts_the_forward_end_is_token_level_distillation(self):
        scheme = make(on_policy=0.0, beta=0.0)
        plain = Distillation(writer(), teacher(), TokenLevelKD(task_weight=0.0))
        expected = plain._losses(batch())["token_level_kd"].value
        torch.testing.assert_close(scheme._losses(batch())["gkd"].value, expected)

    def test_the_coin_falls_as_often_as_it_is_told_to(self):
        found = [make(on_policy=0.3)._writes(batch(step)) for step in range(7)]
        assert {make(on_policy=0.0)._writes(batch(step)) for step in range(7)} == {False}
        assert {make(on_policy=1.0)._writes(batch(step)) for step in range(7)} == {True}
        assert found == [make(on_policy=0.3)._writes(batch(step)) for step in range(7)]
        many = [make(on_policy=0.3)._writes(texts().batch(3, Clock(step, 400, 5), 8)) for step in range(400)]
        assert sum(many) / 400 == pytest.approx(0.3, abs=0.07)

    def test_says_at_which_steps_the_student_wrote(self, proof):
        run = proof.trained(lambda: make(on_policy=0.5))
        expected = [float(make(on_policy=0.5)._writes(texts().batch(3, Clock(step, 7, 5), 8))) for step in range(7)]
        assert [entry["terms"]["student/student_written"] for entry in run.curve] == expected

    def test_no_gradient_passes_through_the_sampling(self):
        """The same texts handed over as data give the same slopes."""
        scheme, one = make(on_policy=1.0), batch()
        tokens = scheme.texts(one)
        ours = torch.autograd.grad(scheme._losses(one)["gkd"].value, list(scheme.student.parameters()))
        value = generalised_jsd_loss(scheme.student(tokens[:, :-1]).logits, scheme.outside[0](tokens[:, :-1]).logits)
        fixed = torch.autograd.grad(value, list(scheme.student.parameters()))
        assert not tokens.requires_grad
        for one_slope, other in zip(ours, fixed, strict=True):
            torch.testing.assert_close(one_slope, other)

    def test_positions_without_a_target_and_after_an_end_take_no_part(self):
        data = texts()
        targets = data.targets.masked_fill(torch.arange(LENGTH) >= 5, -100)
        padded = Data(data.inputs, targets, data.task, data.views, classes=7)
        one = padded.batch(3, Clock(0, 7, 5), 8)
        scheme = make(on_policy=0.0)
        said, taught = (network(one.inputs).logits for network in (scheme.student, scheme.outside[0]))
        torch.testing.assert_close(scheme._losses(one)["gkd"].value, generalised_jsd_loss(said[:, :5], taught[:, :5]))
        ending = make(on_policy=1.0, end=2)
        _, _, mask = ending._on_own_texts(batch())
        assert not mask.all() and mask[:, 0].all()

    def test_gradients_reach_the_student_alone(self, proof):
        expected = {"student/task": {"student"}, "student/gkd": {"student"}, "student/student_written": set()}
        for on_policy in (0.0, 1.0):
            assert proof.reached(lambda: make(on_policy=on_policy, task_weight=0.5))["main"] == expected  # noqa: B023

    def test_every_parameter_is_reached_as_declared(self, proof):
        assert proof.untouched(make) == make().untouched() == set()

    def test_the_teacher_and_the_shared_batch_stay_as_they_are(self):
        scheme, one = make(on_policy=1.0), batch()
        before = one.inputs.clone()
        scheme._losses(one)["gkd"].value.backward()
        assert torch.equal(one.inputs, before)
        assert all(torch.equal(a, b) for a, b in zip(scheme.outside[0].parameters(), teacher().parameters()))

    @pytest.mark.parametrize("settings", [{}, {"on_policy": 1.0}, {"warm_up": 0.5, "task_weight": 0.2}])
    def test_resumes_exactly(self, proof, settings):
        proof.resumes_exactly(lambda: make(**settings))

    def test_together_equals_alone(self, proof):
        """Runs of one seed share batches and a teacher; what each writes is its own."""
        shared = teacher()
        build = lambda width, **settings: GKD(writer(width), shared, **settings)
        proof.together_is_alone(
            partial(build, 8),
            partial(build, 8, on_policy=1.0),
            partial(build, 12, on_policy=1.0),
            partial(build, 8, beta=1.0),
        )

    def test_a_fresh_student_may_learn_the_task_first(self):
        first, main = make(warm_up=0.25).stages()
        assert (first.name, first.share, main.name, main.share) == ("task", 0.25, "main", 0.75)
        assert [stage.name for stage in make().stages()] == ["main"]

    def test_training_lowers_the_divergence_on_texts_of_its_own(self):
        run = Run(
            "gkd",
            make(on_policy=1.0, beta=0.0),
            texts(),
            Recipe(steps=80, batch_size=16, optimizer="adam", learning_rate=0.01),
            3,
        )
        fit([run])
        values = [entry["terms"]["student/gkd"] for entry in run.curve]
        assert values[-1] < 0.6 * values[0]

    def test_is_built_from_a_bench(self):
        bench = Bench()
        scheme = GKD.build(bench, on_policy=0.25)
        assert scheme.on_policy == 0.25 and scheme.outside[0] is bench.teacher

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher": None}, "gkd matches a teacher, and the row has none"),
            ({"data": Data(torch.zeros(8, 1, 4, 4), torch.zeros(8), Task(), {})}, "gkd needs texts, rows of tokens"),
            (
                {"teacher": Transformer(7, width=8, layers=1, heads=2, causal=False)},
                "gkd needs networks that write from left to right",
            ),
        ],
    )
    def test_refuses_what_cannot_write(self, change, says):
        bench = Bench()
        vars(bench).update(change)
        with pytest.raises(Refusal, match=says):
            GKD.build(bench)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"on_policy": 1.5}, "on_policy must lie in 0 .. 1, got 1.5"),
            ({"beta": -0.1}, "beta must lie in 0 .. 1, got -0.1"),
            ({"warm_up": 1.0}, "warm_up must be at least 0 and below 1, got 1"),
            ({"sampling_temperature": 0.0}, "sampling_temperature must be above 0, got 0"),
            ({"prompt": 0}, "prompt must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    def test_a_prompt_as_long_as_a_text_leaves_nothing_to_write(self):
        with pytest.raises(Refusal, match="prompt must be shorter than a text of 8, got 8"):
            GKD.build(Bench(), prompt=8)
