"""What a reader may rely on when the teacher's texts are learned, one claim a test."""

import doctest
import math
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from small_language import LENGTH, Bench, teacher, texts, writer

from kdcore.engine import Recipe, Run, fit
from kdcore.schemes.offline import sequence_level
from kdcore.schemes.offline.decoding import beam_search
from kdcore.schemes.offline.sequence_level import SeqLevelKD, closest_to, decoded, references, sentence_similarity
from kdcore.types import Clock, Refusal

RECIPE = Recipe(steps=7, batch_size=8, optimizer="adamw", learning_rate=3e-3, clip=1.0)


@pytest.fixture
def data():
    return texts()


@pytest.fixture
def proof(toy, data):
    return toy.Proof(data, RECIPE)


@pytest.fixture
def make(data):
    taught = teacher()

    def build(**settings):
        return SeqLevelKD(writer(), taught, data, **{"prompt": 2, "beams": 3} | settings)

    return build


def prepared(scheme, data):
    scheme._prepare(data, Clock(0, 7, 5))
    return scheme


class TestSeqLevelKD:
    def test_learns_the_likeliest_text_of_a_beam_search(self, make, data):
        scheme = prepared(make(), data)
        found = beam_search(teacher(), data.inputs[:, :2], LENGTH + 1, beams=3)
        assert torch.equal(scheme.texts, found.tokens[:, 0])
        assert torch.equal(scheme.texts[:, :2], data.inputs[:, :2])

    def test_the_loss_is_the_texts_likelihood_after_the_prompt(self, make, data):
        scheme = prepared(make(), data)
        batch = data.batch(3, Clock(0, 7, 5), 8)
        text = scheme.texts[batch.index]
        logs = scheme.student(text[:, :-1]).logits.log_softmax(2).gather(2, text[:, 1:, None])[:, :, 0]
        term = scheme._losses(batch)["seq_level_kd"]
        torch.testing.assert_close(term.value, -logs[:, 1:].mean())
        assert term.weight == 1.0 and list(scheme._losses(batch)) == ["seq_level_kd"]

    def test_it_is_not_the_token_level_loss_not_even_on_the_same_texts(self, data):
        """The survey's name for the other one: errata Z-14. One sees the teacher's choice, the other its doubts."""
        from kdcore.losses.sequence.token_level import token_level_kd_loss

        doubting = writer(12, 2, 0, "teacher", loud=8.0).eval().requires_grad_(False)
        scheme = prepared(SeqLevelKD(writer(), doubting, data, prompt=2, beams=3), data)
        batch = data.batch(3, Clock(0, 7, 5), 8)
        text = scheme.texts[batch.index]
        said, taught = (network(text[:, :-1]).logits[:, 1:] for network in (scheme.student, doubting))
        ours = torch.autograd.grad(scheme._losses(batch)["seq_level_kd"].value, scheme.student.norm.weight)[0]
        theirs = torch.autograd.grad(token_level_kd_loss(said, taught), scheme.student.norm.weight)[0]
        assert (ours - theirs).norm() > 0.1 * ours.norm()

    def test_interpolation_takes_the_candidate_closest_to_the_data(self, make, data):
        scheme = prepared(make(choose="closest", beams=6), data)
        found = beam_search(teacher(), data.inputs[:, :2], LENGTH + 1, beams=6).tokens
        whole = references(data)
        for number in range(len(data)):
            alike = [naive(text[2:].tolist(), whole[number, 2:].tolist()) for text in found[number]]
            mine = naive(scheme.texts[number, 2:].tolist(), whole[number, 2:].tolist())
            assert mine == pytest.approx(max(alike), rel=1e-5)
        assert not torch.equal(scheme.texts, found[:, 0])

    def test_some_texts_suffice_and_are_met_again(self, make, data):
        scheme = prepared(make(texts=5), data)
        assert scheme.texts.shape == (5, LENGTH + 1)
        batch = data.batch(3, Clock(0, 7, 5), 8)
        whole = prepared(make(), data)
        assert torch.equal(scheme.texts, whole.texts[:5])
        assert scheme._losses(batch)["seq_level_kd"].value.isfinite()

    def test_runs_that_share_teacher_and_data_share_the_search(self, make, data):
        for choose in ("likeliest", "closest"):
            prepared(make(choose=choose), data)
        assert len(data.tables) == 1
        other = teacher()
        decoded(other, data, 4, 2, 3)
        assert len(data.tables) == 2

    def test_nothing_counts_after_the_end_of_a_text(self, make, data):
        scheme = prepared(make(end=3, beams=1), data)
        batch = data.batch(3, Clock(0, 7, 5), 8)
        text, total, count = scheme.texts[batch.index], 0.0, 0
        logs = scheme.student(text[:, :-1]).logits.log_softmax(2)
        for row in range(8):
            for place in range(2, LENGTH + 1):
                total, count = total - logs[row, place - 1, text[row, place]].item(), count + 1
                if text[row, place] == 3:
                    break
        assert scheme._losses(batch)["seq_level_kd"].value.item() == pytest.approx(total / count, rel=1e-5)

    def test_gradients_reach_the_student_alone(self, proof, make):
        expected = {"student/seq_level_kd": {"student"}, "student/task": {"student"}}
        assert proof.reached(lambda: make(task_weight=0.5))["main"] == expected

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    @pytest.mark.parametrize("choose", ["likeliest", "closest"])
    def test_resumes_exactly(self, proof, make, choose):
        proof.resumes_exactly(lambda: make(choose=choose))

    def test_an_interrupted_run_does_not_ask_the_teacher_again(self, proof, make, data, monkeypatch):
        run, again = proof.run(make), proof.run(make)
        for _ in range(3):
            run.advance({})
        again.restore(run.state())
        monkeypatch.setattr(sequence_level, "decoded", None)
        again.advance({})
        assert torch.equal(again.scheme.texts, run.scheme.texts)

    def test_together_equals_alone(self, proof, make):
        proof.together_is_alone(make, partial(make, choose="closest"), partial(make, beams=1))

    def test_the_teacher_stays_as_it_is(self, proof, make):
        run = proof.trained(make)
        assert all(torch.equal(a, b) for a, b in zip(run.scheme.outside[0].parameters(), teacher().parameters()))

    def test_training_makes_the_teacher_s_texts_likely(self, make, data):
        run = Run("texts", make(), data, Recipe(steps=80, batch_size=16, optimizer="adam", learning_rate=0.01), 3)
        fit([run])
        values = [entry["terms"]["student/seq_level_kd"] for entry in run.curve]
        assert values[-1] < 0.5 * values[0]

    def test_is_built_from_a_bench(self):
        bench = Bench()
        scheme = SeqLevelKD.build(bench, prompt=3)
        assert scheme.prompt == 3 and scheme.outside[0] is bench.teacher
        assert len(scheme.texts) == 3 * 4 and len(SeqLevelKD.build(bench, texts=5).texts) == 5  # no more than are met
        bench.teacher = None
        with pytest.raises(Refusal, match="seq-level-kd matches a teacher, and the row has none"):
            SeqLevelKD.build(bench)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"choose": "best"}, "choose must be 'likeliest' or 'closest', got 'best'"),
            ({"beams": 0}, "beams must be above 0, got 0"),
            ({"prompt": 8}, "prompt must be shorter than a text of 8, got 8"),
            ({"texts": 0}, "texts must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)


def naive(text: list[int], reference: list[int]) -> float:
    """Sentence-level BLEU, counted run by run."""
    logs = []
    for size in range(1, 5):
        mine, theirs = (
            Counter(tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)) for tokens in (text, reference)
        )
        shared, smooth = sum((mine & theirs).values()), float(size > 1)
        logs.append(math.log(max((shared + smooth) / (sum(mine.values()) + smooth), 1e-38)))
    return math.exp(min(0.0, 1 - len(reference) / len(text)) + sum(logs) / 4)


def test_padded_texts_are_refused():
    padded = replace(texts(), targets=texts().targets.masked_fill(torch.arange(LENGTH) >= 5, -100))
    with pytest.raises(Refusal, match="texts must fill their windows"):
        SeqLevelKD(writer(), teacher(), padded)


class TestSentenceSimilarity:
    def test_counts_shared_runs_as_a_loop_does(self):
        draws = torch.Generator().manual_seed(0)
        texts, whole = (torch.randint(0, 4, (60, 9), generator=draws) for _ in range(2))
        expected = [naive(a, b) for a, b in zip(texts.tolist(), whole.tolist())]
        assert sentence_similarity(texts, whole).tolist() == pytest.approx(expected, rel=1e-4, abs=1e-8)

    def test_a_repeated_word_is_not_rewarded_twice(self):
        text, whole = torch.tensor([[1, 1, 1, 1]]), torch.tensor([[1, 2, 3, 4]])
        assert sentence_similarity(text, whole, order=1).item() == pytest.approx(1 / 4)

    def test_ends_where_the_texts_end(self):
        text, whole = torch.tensor([[1, 2, 0, 0, 0]]), torch.tensor([[1, 2, 3, 0, 0]])
        found = sentence_similarity(text, whole, end=0).item()
        assert found == pytest.approx(naive([1, 2, 0], [1, 2, 3, 0]), rel=1e-4)

    def test_the_likelier_of_equals_is_taken(self):
        candidates = torch.tensor([[[5, 1, 2], [5, 2, 1], [5, 1, 2]]])
        assert closest_to(torch.tensor([[5, 1, 2]]), candidates, 1).tolist() == [0]


def test_the_examples_are_true():
    assert doctest.testmod(sequence_level).failed == 0
