"""What a reader may rely on when only hard samples are put to the teacher, one claim a test."""

import doctest
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from kdcore.engine import Run, fit
from kdcore.losses.response.distillation import KD, kd_loss
from kdcore.losses.response.uncertainty import MEASURES
from kdcore.schemes.offline import Distillation, mixing
from kdcore.schemes.offline.mixing import UnixKD, mixing_weights
from kdcore.types import Clock, Refusal


@pytest.fixture
def make(toy):
    def build(**settings):
        return UnixKD(toy.network(), toy.network("teacher", 12, seed=0), **settings)

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


class TestMixingWeights:
    # xuguodong03/UNIXKD 1b09d2b, student_v0.py: mask_proto, with batch 64, b 32 and w 10
    @pytest.mark.parametrize(("place", "value"), [(0, 0.007232), (31, 0.480484), (32, 0.519516), (63, 0.992768)])
    def test_agrees_with_the_authors_formula(self, place, value):
        printed = 1 / (1 + math.exp(-10 * (place / 64 - 63 / 128)))
        ours = mixing_weights(64, turning=0.5, sharpness=10)[place].item()
        assert ours == pytest.approx(printed, rel=1e-5) == pytest.approx(value, abs=1e-4)

    def test_the_more_certain_take_in_more(self):
        weights = mixing_weights(32, turning=0.3, sharpness=5, strength=0.7)
        assert (weights.diff() > 0).all() and 0 < weights.min() < weights.max() < 0.7

    def test_no_sharpness_mixes_all_alike(self):
        assert mixing_weights(8, turning=0.5, sharpness=0).tolist() == [0.5] * 8

    def test_finite_however_sharp(self):
        assert mixing_weights(8, turning=0.5, sharpness=1e30).tolist() == [0.0] * 4 + [1.0] * 4


class TestUnixKD:
    def test_asks_both_networks_about_the_hardest_samples_mixed(self, make, batch, toy):
        """One step, retold from the definition; the twin network keeps the batch norms where they were."""
        scheme, twin = make(task_weight=0.5), toy.network()
        torch.manual_seed(0)
        terms = scheme._losses(batch)
        random = batch.generator("unix")
        strength, partners = torch.rand((), generator=random), torch.randperm(16, generator=random)
        torch.manual_seed(0)
        scores = twin(batch.inputs).logits.softmax(1)
        order = sorted(range(16), key=lambda i: sum(p * math.log(p) for p in scores[i].tolist()))[:12]
        weights = [strength.item() / (1 + math.exp(-10 * (r / 16 - 15 / 32))) for r in range(12)]
        rows = zip(weights, order, partners.tolist())
        images = torch.stack([(1 - m) * batch.inputs[a] + m * batch.inputs[b] for m, a, b in rows])
        said, taught = twin(images).logits, scheme.outside[0](images).logits
        torch.testing.assert_close(terms["kd"].value, kd_loss(said, taught), rtol=1e-4, atol=1e-5)
        y = batch.targets
        one, two = (F.cross_entropy(said, y[index], reduction="none") for index in (order, partners[:12]))
        mixed = (1 - torch.tensor(weights)) * one + torch.tensor(weights) * two
        torch.testing.assert_close(terms["task"].value, mixed.mean(), rtol=1e-4, atol=1e-5)
        assert (terms["kd"].weight, terms["task"].weight, terms["teacher_forwards"].weight) == (1.0, 0.5, 0.0)

    def test_unmixed_and_kept_whole_it_is_distillation(self, toy, batch):
        teacher = lambda: toy.network("teacher", 12, seed=0)
        ours = UnixKD(toy.network(dropout=0.0), teacher(), keep=1.0, turning=1.0, sharpness=1e9)
        plain = Distillation(toy.network(dropout=0.0), teacher(), KD(weight=1.0, task_weight=0.0))
        torch.testing.assert_close(ours._losses(batch)["kd"].value, plain._losses(batch)["kd"].value)
        batch.live.clear()
        torch.testing.assert_close(ours._losses(batch)["task"].value, plain._losses(batch)["task"].value)

    def test_counts_what_it_asks_of_the_teacher(self, proof, make):
        run = proof.trained(lambda: make(keep=0.5))
        assert run.scheme.asked == 12 * 8
        assert {entry["terms"]["student/teacher_forwards"] for entry in run.curve} == {8.0}

    def test_the_teacher_sees_the_kept_images_and_nothing_else(self, proof, make):
        run, seen = proof.run(make), []
        run.scheme.outside[0].register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
        run.advance()
        assert seen == [12]

    def test_at_least_one_sample_is_kept(self, make, batch):
        assert make(keep=0.001)._losses(batch)["teacher_forwards"].value == 1

    @pytest.mark.parametrize("uncertainty", MEASURES)
    def test_the_most_uncertain_are_asked(self, toy, batch, uncertainty):
        scheme = UnixKD(toy.network(dropout=0.0), toy.network("teacher", 12), uncertainty=uncertainty, keep=0.25)
        hardest = MEASURES[uncertainty](scheme.student(batch.inputs).logits).topk(4).indices
        assert scheme._chosen(batch)[0].tolist() == hardest.tolist()

    def test_chance_asks_others_at_every_step(self, make, toy):
        scheme, data = make(uncertainty="random", keep=0.25), toy.patterns()
        chosen = {tuple(scheme._chosen(data.batch(toy.seed, Clock(step, 12, 6), 16))[0].tolist()) for step in range(4)}
        assert len(chosen) == 4

    def test_mixes_images_kept_as_bytes(self, toy):
        images = torch.tensor([[[[0, 255]]], [[[255, 0]]]], dtype=torch.uint8)
        first, second = torch.tensor([0]), torch.tensor([1])
        assert mixing._mixed(images, first, second, torch.tensor([0.25])).tolist() == [[[[0.25, 0.75]]]]

    def test_words_cannot_be_mixed(self):
        index = torch.tensor([0])
        with pytest.raises(TypeError, match="mixing needs images, uint8 or floating"):
            mixing._mixed(torch.zeros(2, 5, dtype=torch.long), index, index, torch.tensor([0.5]))

    def test_gradients_reach_the_student_alone(self, proof, make):
        found = proof.reached(make)["main"]
        expected = {"student/task": {"student"}, "student/kd": {"student"}, "student/teacher_forwards": set()}
        assert found == expected

    def test_the_teacher_and_the_shared_batch_stay_as_they_are(self, make, batch, toy):
        scheme, before = make(), batch.inputs.clone()
        scheme._losses(batch)["kd"].value.backward()
        assert torch.equal(batch.inputs, before) and batch.inputs.grad is None
        teacher, untouched = scheme.outside[0].state_dict(), toy.network("teacher", 12, seed=0).state_dict()
        assert all(torch.equal(teacher[name], untouched[name]) for name in untouched)

    @pytest.mark.parametrize("uncertainty", ["entropy", "random"])
    def test_resumes_exactly(self, proof, make, uncertainty):
        proof.resumes_exactly(lambda: make(uncertainty=uncertainty))

    def test_the_count_survives_an_interruption(self, proof, make):
        run, again = proof.run(make), proof.run(make)
        for _ in range(5):
            run.advance()
        again.restore(run.state())
        assert again.scheme.asked == 5 * 12

    def test_together_equals_alone(self, proof, make, toy):
        """Two of them share a teacher and differ in what they mix: nothing mixed may be shared."""
        kd = lambda: Distillation(toy.network(), toy.network("teacher", 12, seed=0), KD())
        proof.together_is_alone(make, lambda: make(uncertainty="margin"), lambda: make(keep=0.5), kd)

    def test_runs_that_share_one_teacher_mix_their_own_images(self, proof, toy):
        teacher = toy.network("teacher", 12, seed=0)
        make = lambda width: UnixKD(toy.network(width=width), teacher)
        alone = [toy.digest(proof.trained(partial(make, width))) for width in (6, 8)]
        runs = [Run(str(width), make(width), proof.data, toy.recipe, toy.seed) for width in (6, 8)]
        fit(runs)
        assert [toy.digest(run) for run in runs] == alone

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_training_lowers_the_distillation(self, make, toy):
        run = Run("unix", make(), toy.patterns(), replace(toy.recipe, steps=80), toy.seed)
        fit([run])
        assert run.curve[-1]["terms"]["student/kd"] < 0.5 * run.curve[0]["terms"]["student/kd"]

    def test_is_built_from_a_bench(self, bench):
        scheme = UnixKD.build(bench, keep=0.5)
        assert scheme.keep == 0.5 and scheme.outside[0] is bench.teacher
        bench.teacher = None
        with pytest.raises(Refusal, match="unix-kd matches a teacher, and the row has none"):
            UnixKD.build(bench)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"keep": 0.0}, "keep must lie above 0 and be at most 1, got 0"),
            ({"turning": 1.5}, "turning must lie above 0 and be at most 1, got 1.5"),
            ({"sharpness": -1.0}, "sharpness must be at least 0, got -1"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
            ({"uncertainty": "entropi"}, "entropy, margin, least-confidence, random, got 'entropi'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)


def test_the_examples_are_true():
    assert doctest.testmod(mixing).failed == 0
