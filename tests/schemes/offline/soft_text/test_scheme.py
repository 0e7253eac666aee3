"""What a reader may rely on when a generator of texts learns from an autoencoder, one claim a test."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from kdcore.engine import Run, fit
from kdcore.losses.adversarial.wasserstein import gradient_penalty
from kdcore.schemes.offline.soft_text import TextKDGAN
from kdcore.types import Clock, Refusal

SMALL = {"hidden": 8, "noise": 4, "width": 8, "blocks": 1, "critic_steps": 2}


@pytest.fixture
def make(toy):
    def build(**settings):
        return toy.seeded(lambda: TextKDGAN(5, 6, **SMALL | settings))

    return build


@pytest.fixture
def writing(toy, words):
    """The promises, on texts."""
    return toy.Proof(words, replace(toy.recipe, steps=6))


@pytest.fixture
def batch(toy, words):
    return words.batch(toy.seed, Clock(0, 12, 6), 16)


class TestTextKDGAN:
    def test_first_the_autoencoder_alone_then_all_three(self, make):
        first, main = make(share=0.3).stages()
        assert [update.name for update in first.updates] == ["autoencoder"] and first.share == 0.3
        assert [update.name for update in main.updates] == ["autoencoder", "critic", "generator"]
        assert [update.every for update in main.updates] == [1, 1, 2]
        rates = [(update.recipe.learning_rate, update.recipe.momentum) for update in main.updates]
        assert rates == [(1e-3, 0.9), (1e-4, 0.5), (1e-4, 0.5)]

    def test_the_autoencoder_learns_to_copy(self, make, batch):
        scheme = make()
        scores = scheme.autoencoder(batch.inputs)
        value = scheme._copied(batch)["copy"].value
        torch.testing.assert_close(value, F.cross_entropy(scores.flatten(0, 1), batch.inputs.flatten()))

    def test_what_the_critic_takes_for_real_is_the_autoencoders_soft_answer(self, make, batch):
        scheme = make(smoothing=2.0)
        real = scheme._real(batch)
        torch.testing.assert_close(real, (scheme.autoencoder(batch.inputs) / 2).softmax(2))
        assert not real.requires_grad and real.amax() < 1

    def test_or_the_text_itself_and_then_there_is_no_teacher(self, make, batch):
        scheme = make(real="one-hot")
        assert torch.equal(scheme._real(batch), F.one_hot(batch.inputs, 5).float())
        assert [stage.name for stage in scheme.stages()] == ["main"]
        assert {name.split(".")[0] for name in scheme.state_dict()} == {"generator", "critic"}

    def test_the_critic_weighs_both_and_its_own_slope(self, make, batch):
        scheme = make(penalty_weight=4.0)
        terms, true = scheme._judged(batch), scheme._real(batch)
        false = scheme.generator.draw(16, batch.generator("textkd false"))
        distance = scheme.critic(false).mean() - scheme.critic(true).mean()
        torch.testing.assert_close(terms["distance"].value, distance, rtol=1e-4, atol=1e-6)
        penalty = gradient_penalty(scheme.critic, false, true, batch.generator("textkd between"))
        torch.testing.assert_close(terms["penalty"].value, penalty)
        assert terms["penalty"].weight == 4.0

    def test_the_generator_raises_the_critics_score(self, make, batch):
        scheme = make()
        texts = scheme.generator.draw(16, batch.generator("textkd written"))
        torch.testing.assert_close(scheme._written(batch)["fool"].value, -scheme.critic(texts).mean())

    def test_no_update_moves_what_it_does_not_own(self, writing, make):
        moved = writing.moves(make)
        assert moved["autoencoder"] == {"autoencoder": {"autoencoder"}}
        assert moved["main"] == {"autoencoder": {"autoencoder"}, "critic": {"critic"}, "generator": {"generator"}}

    def test_gradients_are_routed_by_term(self, writing, make):
        found = writing.reached(make)["main"]
        assert found["critic/distance"] == found["critic/penalty"] == {"critic"}
        assert found["autoencoder/copy"] == {"autoencoder"}
        assert found["generator/fool"] == {"generator", "critic"}  # the engine keeps it out of the critic

    @pytest.mark.parametrize("real", ["autoencoder", "one-hot"])
    def test_resumes_exactly(self, writing, make, real):
        writing.resumes_exactly(lambda: make(real=real))

    def test_together_equals_alone(self, writing, make):
        writing.together_is_alone(make, lambda: make(real="one-hot"))

    def test_every_parameter_is_reached_as_declared(self, writing, make):
        assert writing.untouched(make) == make().untouched() == set()

    def test_delivers_the_generator(self, make):
        scheme = make()
        assert scheme.delivers() == {"generator": scheme.generator}

    def test_training_teaches_copying_and_writing(self, make, toy, words):
        settings = {"hidden": 16, "width": 16, "autoencoder_rate": 2e-2, "game_rate": 3e-3}
        before = words.task.evaluate(make(**settings).generator, words)
        run = Run("textkd", make(**settings), words, replace(toy.recipe, steps=150), toy.seed)
        fit([run])
        assert run.failed is None
        scores = run.result()["generator"]
        assert run.curve[-1]["terms"]["autoencoder/copy"] < 0.1
        assert scores["distance2"] < 0.5 * before["distance2"] and scores["distinct"] > 1 / 64

    def test_is_built_from_a_bench_of_texts(self, words, toy):
        bench = SimpleNamespace(data=words, seed=toy.seed)
        scheme, again = (TextKDGAN.build(bench, **SMALL) for _ in range(2))
        assert (scheme.vocabulary, scheme.generator.length) == (5, 6)
        assert torch.equal(scheme.critic.score.weight, again.critic.score.weight)

    @pytest.mark.parametrize("says", ["textkd-gan learns from texts, rows of numbered tokens"])
    def test_images_are_refused(self, bench, says):
        with pytest.raises(Refusal, match=says):
            TextKDGAN.build(bench)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"real": "soft"}, "real must be 'autoencoder' or 'one-hot', got 'soft'"),
            ({"blocks": 0}, "blocks must be above 0, got 0"),
            ({"penalty_weight": -1.0}, "penalty_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)
