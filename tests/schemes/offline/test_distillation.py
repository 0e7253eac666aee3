"""What a reader may rely on in the frame of every offline method, for images and for text."""

from dataclasses import replace

import pytest
import torch

from kdcore.data import load
from kdcore.engine import Recipe, at_rest, setting_of
from kdcore.losses.adversarial.game import GANKD
from kdcore.losses.response.distillation import KD
from kdcore.losses.sequence.token_level import TokenLevelKD
from kdcore.models import build
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Clock


@pytest.fixture
def make(toy):
    def build(*methods, **settings):
        teacher = toy.network("teacher", 12, seed=0) if methods else None
        return Distillation(toy.network(), teacher, *methods, **settings)

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


def critic() -> GANKD:
    return seeded(lambda: GANKD(4), 3, "init", "gan-kd")


class TestDistillation:
    def test_without_methods_it_is_the_task_alone(self, make, batch):
        terms = make()._losses(batch)
        assert list(terms) == ["task"] and terms["task"].weight == 1.0

    def test_the_first_methods_task_weight_counts_unless_another_is_given(self, make):
        assert make(KD()).task_weight == 0.1
        assert make(KD(task_weight=0.5), TokenLevelKD()).task_weight == 0.5
        assert make(KD(), task_weight=0.0).task_weight == 0.0

    def test_terms_of_every_method_are_named(self, make, batch):
        assert list(make(KD(), critic())._losses(batch)) == ["task", "kd", "gan_kd"]

    def test_gradients_reach_the_student_and_a_critic_each_by_its_own_terms(self, proof, make):
        found = proof.reached(lambda: make(KD(), critic()))["main"]
        assert found["student/task"] == found["student/kd"] == {"student"}
        assert "student" in found["student/gan_kd"]  # the engine keeps it out of the critic, whose update is another
        assert found["critic/critic"] == {"methods.1"}

    def test_a_critic_has_its_own_optimiser_where_its_method_names_a_rate(self, make):
        student, own = make(GANKD(4, critic_rate=2e-3)).stages()[0].updates
        assert student.recipe is None and own.name == "critic"
        assert (own.recipe.optimizer, own.recipe.learning_rate, own.recipe.weight_decay) == ("adam", 2e-3, 0.0)
        plain = critic()
        del plain.critic_rate
        assert make(plain).stages()[0].updates[1].recipe is None

    def test_two_methods_with_critics_have_an_update_each(self, proof, make):
        moved = proof.moves(lambda: make(critic(), KD(), critic()))["main"]
        assert moved == {"student": {"student"}, "critic0": {"methods.0"}, "critic1": {"methods.2"}}

    def test_the_teacher_is_no_part_of_what_is_saved_and_stays_as_it_is(self, proof, make, toy):
        run = proof.trained(lambda: make(KD()))
        assert all(name.startswith("student.") for name in run.scheme.state_dict())
        teacher, untouched = run.scheme.outside[0].state_dict(), toy.network("teacher", 12, seed=0).state_dict()
        assert all(torch.equal(teacher[name], untouched[name]) for name in untouched)

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(lambda: make(KD()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(lambda: make(KD())) == make().untouched() == set()

    def test_a_method_without_a_teacher_is_refused(self, toy):
        with pytest.raises(ValueError, match="KD matches a teacher, and none was given"):
            Distillation(toy.network(), None, KD())


@pytest.fixture(scope="module")
def text():
    """Forty windows of the help texts: five steps an epoch."""
    whole = load("topics", length=16)
    return replace(whole, inputs=whole.inputs[:40], targets=whole.targets[:40], splits={})


@pytest.fixture
def teacher(text):
    return at_rest(build("text-teacher", text.classes, 0, "teacher"))


class TestLanguageModels:
    """A small transformer learns from a larger one, every position an example or every sequence a mean."""

    @pytest.fixture
    def proof(self, toy, text):
        return toy.Proof(text, Recipe(steps=7, batch_size=8, optimizer="adamw", learning_rate=3e-3, clip=1.0))

    @pytest.fixture
    def taught(self, text, teacher):
        def make(method):
            student = build("text-student", text.classes, 3)
            return Distillation(student, teacher, method)

        return make

    @pytest.mark.parametrize("method", [KD, TokenLevelKD])
    def test_resumes_exactly(self, proof, taught, method):
        proof.resumes_exactly(lambda: taught(method()))

    def test_together_equals_alone(self, proof, taught, text):
        alone = lambda: Distillation(build("text-student", text.classes, 3))
        proof.together_is_alone(lambda: taught(TokenLevelKD()), lambda: taught(KD()), alone)

    @pytest.mark.parametrize("method", [KD, TokenLevelKD])
    def test_gradients_reach_the_student_alone(self, proof, taught, method):
        assert set().union(*proof.reached(lambda: taught(method()))["main"].values()) == {"student"}

    def test_every_parameter_is_reached_as_declared(self, proof, taught):
        assert proof.untouched(lambda: taught(TokenLevelKD())) == taught(TokenLevelKD()).untouched() == set()

    def test_both_methods_mean_the_same_where_nothing_is_padded(self, taught, text):
        batch = text.batch(3, Clock(0, 7, 5), 8)
        token = taught(TokenLevelKD(temperature=4.0))._losses(batch)["token_level_kd"].value
        torch.testing.assert_close(taught(KD())._losses(text.batch(3, Clock(0, 7, 5), 8))["kd"].value, token)

    def test_the_method_is_built_for_the_pair(self, text, teacher):
        setting = setting_of(build("text-student", text.classes, 3), teacher, text)
        assert isinstance(TokenLevelKD.build(setting), TokenLevelKD)

    def test_training_lowers_the_distance_from_a_teacher_with_something_to_say(self, proof, taught, teacher):
        with torch.no_grad():
            teacher.tokens.weight.mul_(20)  # an untrained one says next to nothing
        proof.recipe = replace(proof.recipe, steps=60)
        terms = [entry["terms"] for entry in proof.trained(lambda: taught(TokenLevelKD(task_weight=0.0))).curve]
        assert terms[-1]["student/token_level_kd"] < 0.8 * terms[0]["student/token_level_kd"]
