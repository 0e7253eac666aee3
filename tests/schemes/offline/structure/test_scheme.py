"""What a reader may rely on when structure is traded for features, one claim a test."""

from dataclasses import replace

import pytest
import torch

from kdcore.engine import Recipe, Run, fit
from kdcore.schemes.offline import Distillation
from kdcore.schemes.offline.structure import ChainCRF, StructureCompilation, WindowLogistic, hidden_chain
from kdcore.schemes.offline.structure.chain import viterbi
from kdcore.types import Clock, Refusal

WORDS, LABELS = 12, 5
SHORT = Recipe(steps=5, batch_size=8, optimizer="adam", learning_rate=0.05, weight_decay=1e-4)  # three steps an epoch


@pytest.fixture
def data():
    return hidden_chain(24, 60, 40, length=6)


@pytest.fixture
def make(data):
    def build(window: int = 2, **settings):
        return StructureCompilation(ChainCRF(WORDS, LABELS), WindowLogistic(WORDS, LABELS, window=window), data)

    return build


@pytest.fixture
def proof(toy, data):
    return toy.Proof(data, SHORT)


class TestStructureCompilation:
    def test_the_student_learns_the_best_sequences_of_the_chain(self, make, data):
        scheme = make()
        torch.nn.init.normal_(scheme.structured.emissions.weight, generator=torch.Generator().manual_seed(0))
        torch.nn.init.normal_(scheme.structured.transitions, generator=torch.Generator().manual_seed(1))
        scheme.stages()[1].between(data, Clock(0, 5, 3))
        said = scheme.structured(data.splits["unlabelled"].inputs)
        assert torch.equal(scheme.labels, viterbi(said.logits, said.transitions))
        assert not torch.equal(scheme.labels, said.logits.argmax(2))

    def test_labels_are_given_once(self, make, data):
        scheme = make()
        scheme.labels.fill_(3)
        for step in (3, 5):
            scheme.stages()[1].between(data, Clock(step, 5, 3))
        assert scheme.labels.eq(3).all()

    def test_the_student_sees_neither_given_labels_nor_labelled_sequences(self, proof, make):
        run = proof.run(make)
        while run.at == 0:
            run.advance()
        run.data.targets.fill_(-7)
        run.data.inputs.fill_(10**6)
        run.advance()
        assert run.failed is None and run.curve[-1]["terms"]["student/imitation"] > 0

    def test_gradients_reach_the_chain_then_the_student(self, proof, make):
        found = proof.reached(make)
        assert found == {
            "structure": {"structured/likelihood": {"structured"}},
            "compile": {"student/imitation": {"student"}},
        }

    def test_the_chain_rests_once_its_labels_are_given(self, proof, make):
        run = proof.run(make)
        while run.at == 0:
            run.advance()
        before = [value.clone() for value in run.scheme.structured.state_dict().values()]
        fit([run])
        assert all(torch.equal(a, b) for a, b in zip(run.scheme.structured.state_dict().values(), before))

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make):
        alone = lambda: Distillation(WindowLogistic(WORDS, LABELS))
        proof.together_is_alone(make, lambda: make(window=1), alone)

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_it_beats_the_same_labeller_on_the_labelled_sequences_alone(self):
        """The paper's comparison: 30 labelled sequences, 1,000 unlabelled ones."""
        data = hidden_chain(30, 1000, 500)
        recipe = replace(SHORT, steps=150, batch_size=20, schedule="cosine")
        compiled = StructureCompilation(ChainCRF(WORDS, LABELS), WindowLogistic(WORDS, LABELS), data)
        runs = [
            Run("compiled", compiled, data, recipe, 0),
            Run("alone", Distillation(WindowLogistic(WORDS, LABELS)), data, recipe, 0),
        ]
        fit(runs)
        (student, chain), (alone,) = ([score["accuracy"] for score in run.result().values()] for run in runs)
        assert student > alone + 0.03 and student > chain - 0.02

    def test_delivers_the_student_first_then_the_chain(self, make):
        assert list(make().delivers()) == ["student", "structured"]

    def test_is_built_from_a_bench(self, bench, data):
        bench.data = data
        scheme = StructureCompilation.build(bench, window=1, pairs=False)
        assert scheme.student.weights.weight.shape == (3 * (WORDS + 1), LABELS)
        assert scheme.labels.shape == (60, 6)

    @pytest.mark.parametrize("says", ["needs a split 'unlabelled', the data has test"])
    def test_data_without_unlabelled_sequences_are_refused(self, data, says):
        only = replace(data, splits={"test": data.splits["test"]})
        with pytest.raises(Refusal, match=says):
            StructureCompilation(ChainCRF(WORDS, LABELS), WindowLogistic(WORDS, LABELS), only)

    @pytest.mark.parametrize("says", ["labels sequences, the data's task is Task"])
    def test_another_task_is_refused(self, toy, says):
        images = toy.patterns()
        images = replace(images, splits={"unlabelled": images})
        with pytest.raises(Refusal, match=says):
            StructureCompilation(ChainCRF(WORDS, LABELS), WindowLogistic(WORDS, LABELS), images)
