"""What a reader may rely on when a discriminator assists a teacher, one claim a test."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.engine import Run, fit
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.offline.portable import PortableStudent
from kdcore.types import Clock, Outputs, Refusal


@pytest.fixture
def make(toy):
    def build(*, wide: int = 9, **settings):
        networks = toy.network(dropout=0.0), toy.network("teacher", wide, seed=0)
        return toy.seeded(lambda: PortableStudent(*networks, sample=toy.patterns().inputs[:2], hidden=8, **settings))

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


class TestPortableStudent:
    def test_the_student_lowers_labels_softened_answers_and_what_the_assistant_says(self, make, batch):
        scheme = make(temperature=2.0, kd_weight=0.7, weight=0.3)
        terms = scheme._learn(batch)
        student, teacher = scheme.student(batch.inputs), scheme.outside[0](batch.inputs)
        torch.testing.assert_close(terms["task"].value, F.cross_entropy(student.logits, batch.targets))
        torch.testing.assert_close(terms["kd"].value, kd_loss(student.logits, teacher.logits, temperature=2.0))
        believed = scheme.assistant(scheme.adapter(student.embedding)).sigmoid()
        torch.testing.assert_close(terms["fool"].value, -believed.log().mean())
        assert {name: term.weight for name, term in terms.items()} == {"task": 1.0, "kd": 0.7, "fool": 0.3}

    def test_the_assistant_tells_the_teachers_features_from_those_the_student_just_gave(self, make, batch):
        scheme = make()
        scheme._learn(batch)
        value = scheme._assist(batch)["assistant"].value
        mine = scheme.assistant(scheme.adapter(scheme.student(batch.inputs).embedding)).sigmoid()
        theirs = scheme.assistant(scheme.outside[0](batch.inputs).embedding).sigmoid()
        torch.testing.assert_close(value, -theirs.log().mean() - (1 - mine).log().mean())

    def test_answers_may_be_read_in_place_of_features(self, make, batch):
        scheme = make(of="outputs")
        believed = scheme.assistant(scheme.student(batch.inputs).logits).sigmoid()
        torch.testing.assert_close(scheme._learn(batch)["fool"].value, -believed.log().mean())

    def test_embeddings_of_one_size_are_compared_as_they_are(self, make):
        assert isinstance(make(wide=6).adapter, nn.Identity) and isinstance(make(wide=9).adapter, nn.Linear)

    def test_no_update_moves_what_it_does_not_own(self, proof, make):
        assert proof.moves(make)["main"] == {"student": {"student", "adapter"}, "assistant": {"assistant"}}

    def test_gradients_reach_the_assistant_by_its_own_term_alone(self, proof, make):
        found = proof.reached(make)["main"]
        assert found["student/task"] == found["student/kd"] == {"student"}
        assert found["student/fool"] == {"student", "adapter", "assistant"}  # whose update is another
        assert found["assistant/assistant"] == {"assistant"}

    def test_the_assistant_has_an_optimiser_of_its_own(self, make):
        student, assistant = make(assistant_rate=0.02).stages()[0].updates
        assert student.recipe is None
        assert (assistant.recipe.optimizer, assistant.recipe.learning_rate) == ("adam", 0.02)

    def test_the_teacher_is_no_part_of_what_is_saved_and_stays_as_it_is(self, proof, make, toy):
        run = proof.trained(make)
        assert {name.split(".")[0] for name in run.scheme.state_dict()} == {"student", "adapter", "assistant"}
        teacher, untouched = run.scheme.outside[0].state_dict(), toy.network("teacher", 9, seed=0).state_dict()
        assert all(torch.equal(teacher[name], untouched[name]) for name in untouched)

    def test_resumes_exactly(self, short, make):
        short.resumes_exactly(make)

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(of="outputs"))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_training_teaches_the_student(self, make, toy):
        run = Run("portable", make(kd_weight=0.0), toy.patterns(), replace(toy.recipe, steps=60), toy.seed)
        fit([run])
        assert run.failed is None and run.result()["student"]["accuracy"] > 0.6

    def test_is_built_from_a_bench(self, bench, toy):
        scheme = PortableStudent.build(bench, hidden=4)
        assert bench.asked == [("student", None)] and scheme.outside == (bench.teacher,)
        again = PortableStudent.build(bench, hidden=4)
        assert torch.equal(scheme.assistant.layers[0].weight, again.assistant.layers[0].weight)
        assert list(scheme.delivers()) == ["student"]

    @pytest.mark.parametrize("says", ["matches a teacher, and the row has none"])
    def test_a_row_without_a_teacher_is_refused(self, bench, says):
        bench.teacher = None
        with pytest.raises(Refusal, match=says):
            PortableStudent.build(bench)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
            ({"of": "maps"}, "of must be 'features' or 'outputs', got 'maps'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["the assistant reads one vector an image, and the student gives none"])
    def test_a_network_without_an_embedding_is_refused(self, toy, says):
        class Bare(nn.Linear):
            def forward(self, images):
                return Outputs(super().forward(images.flatten(1)))

        with pytest.raises(Refusal, match=says):
            PortableStudent(Bare(36, 4), toy.network("teacher"), sample=toy.patterns().inputs[:2])
