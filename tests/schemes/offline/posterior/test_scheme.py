"""What a reader may rely on when a posterior over networks is distilled, one claim a test."""

from dataclasses import replace

import pytest
import torch

from kdcore.engine import Run, fit
from kdcore.losses.adversarial.wasserstein import gradient_penalty
from kdcore.randomness import seeded
from kdcore.schemes.offline.compression.tabular import Perceptron
from kdcore.schemes.offline.posterior import APD, flat
from kdcore.types import Clock, Refusal

SMALL = {"kept": 5, "noise": 4, "hidden": 6, "rows": 8, "critic_steps": 2, "networks": 3}


@pytest.fixture
def make(toy):
    def build(**settings):
        body = toy.seeded(lambda: Perceptron(36, 4, hidden=5))
        return toy.seeded(lambda: APD(body, samples=96, **SMALL | settings))

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


class TestAPD:
    def test_first_a_walk_then_a_game_of_the_given_lengths(self, make):
        walk, distil = make(shares=(0.5, 2.0)).stages()
        assert (walk.name, walk.share, distil.name, distil.share) == ("sgld", 0.5, "distil", 2.0)
        critic, generator = distil.updates
        assert (critic.every, generator.every) == (1, 2)
        assert critic.recipe == generator.recipe and critic.recipe.optimizer == "adam"
        assert (critic.recipe.learning_rate, critic.recipe.momentum) == (1e-4, 0.5)

    def test_the_critic_weighs_rows_of_weights_and_its_own_slope(self, make, batch):
        scheme = make(penalty_weight=3.0)
        scheme.chain.samples.copy_(torch.arange(5.0)[:, None].expand_as(scheme.chain.samples))
        terms = scheme._judged(batch)
        true = scheme.chain.draw(8, batch.generator("apd true"))
        false = scheme.generator.draw(8, batch.generator("apd false"))
        torch.testing.assert_close(
            terms["distance"].value, scheme.critic(false).mean() - scheme.critic(true).mean(), rtol=1e-4, atol=1e-5
        )
        penalty = gradient_penalty(scheme.critic, false, true, batch.generator("apd between"))
        assert torch.equal(terms["penalty"].value, penalty) and terms["penalty"].weight == 3.0

    def test_the_generator_raises_the_critics_score(self, make, batch):
        scheme = make()
        rows = scheme.generator.draw(8, batch.generator("apd written"))
        torch.testing.assert_close(scheme._written(batch)["fool"].value, -scheme.critic(rows).mean())

    def test_samples_are_the_weights_of_the_walk_before_each_step(self, proof, make):
        run, seen = proof.run(lambda: make(burn_in=0.25)), []
        while run.stages[run.at].name == "sgld":
            seen.append(flat(run.scheme.body))
            run.advance({})
        at = [3, 5, 7, 9, 11]  # twelve steps, the first three of which leave none
        torch.testing.assert_close(run.scheme.chain.samples, torch.stack([seen[step] for step in at]))

    def test_no_update_moves_what_it_does_not_own(self, proof, make):
        moved = proof.moves(make)
        assert moved["sgld"] == {"chain": {"body"}}
        assert moved["distil"] == {"critic": {"critic"}, "generator": {"generator"}}

    def test_gradients_are_routed_by_term(self, proof, make):
        found = proof.reached(make)["distil"]
        assert found["critic/distance"] == found["critic/penalty"] == {"critic"}
        assert found["generator/fool"] == {"generator", "critic"}  # the engine keeps it out of the critic

    def test_resumes_exactly(self, short, make):
        short.resumes_exactly(make)

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(critic_steps=1))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_delivers_the_generators_networks_the_chains_and_the_last(self, make):
        delivered = make().delivers()
        assert list(delivered) == ["generator", "chain", "last"]

    def test_the_chain_learns_the_task_and_the_generator_comes_near_it(self, make, toy):
        recipe = replace(toy.recipe, steps=150)
        settings = {"kept": 40, "hidden": 32, "rows": 32, "rate": 0.2, "game_rate": 2e-3, "shares": (1.0, 4.0)}
        run = Run("apd", make(**settings), toy.patterns(), recipe, toy.seed)
        fit([run])
        assert run.failed is None
        scores = run.result()
        assert scores["chain"]["accuracy"] > 0.7 and scores["generator"]["accuracy"] > 0.5

    def test_is_built_from_a_bench_with_a_perceptron_of_so_many_units(self, bench):
        scheme = APD.build(bench, units=7, **SMALL)
        assert isinstance(scheme.body, Perceptron) and flat(scheme.body).numel() == 36 * 7 + 7 + 7 * 4 + 4
        again = APD.build(bench, units=7, **SMALL)
        assert torch.equal(flat(scheme.body), flat(again.body)) and torch.equal(flat(scheme.critic), flat(again.critic))
        assert scheme.walk.samples == 96

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"kept": 0}, "kept must be above 0, got 0"),
            ({"burn_in": 1.0}, r"burn_in must lie in \[0, 1\), got 1"),
            ({"decay": -1.0}, "decay must be at least 0, got -1"),
            ({"shares": (1.0, 0.0)}, "distil share must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["batch norms keep statistics beside them"])
    def test_a_body_whose_weights_are_not_all_of_it_is_refused(self, toy, says):
        with pytest.raises(Refusal, match=says):
            APD(toy.network(), samples=96)

    @pytest.mark.parametrize("says", ["apd samples a perceptron that classifies rows of numbers"])
    def test_a_task_without_classes_is_refused(self, bench, says):
        bench.data = replace(bench.data, targets=bench.data.targets[:, None].expand(-1, 3))
        with pytest.raises(Refusal, match=says):
            APD.build(bench)

    def test_seeds_give_different_parts(self, toy):
        body = toy.seeded(lambda: Perceptron(36, 4, hidden=5))
        one, other = (seeded(lambda: APD(body, samples=96, **SMALL), seed) for seed in (1, 2))
        assert not torch.equal(flat(one.generator), flat(other.generator))
