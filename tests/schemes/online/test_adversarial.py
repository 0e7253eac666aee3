"""What a reader may rely on when networks pass for each other, one claim a test."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kdcore.engine import Run, fit
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.online.adversarial import OnlineAdversarialKD
from kdcore.schemes.online.mutual import DML
from kdcore.types import Clock, Refusal


@pytest.fixture
def make(toy):
    def build(*, peers: int = 2, dropout: float = 0.1, **settings):
        networks = [toy.network(f"peer{number}", 4 + 2 * number, dropout=dropout) for number in range(peers)]
        return toy.seeded(
            lambda: OnlineAdversarialKD(
                *networks, sample=toy.patterns().inputs[:2], hidden=5, recipe=toy.recipe, **settings
            )
        )

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


def terms_of(scheme, batch) -> dict:
    """The terms of every update, each asked afresh, at weights as they stand."""
    found = {}
    for update in scheme.stages()[0].updates:
        batch.live.clear()
        found |= {f"{update.name}/{name}": term for name, term in update.losses(batch).items()}
    return found


class TestOnlineAdversarialKD:
    def test_lowers_the_equations_of_the_paper(self, make, batch):
        """L_D1 = [1 - D1(T2(F2))]^2 + [D1(T1(F1))]^2 and L_G1 = [1 - D1(T1(F1))]^2, for both networks."""
        scheme = make(dropout=0.0)
        terms = terms_of(scheme, batch)
        maps = [transfer(peer(batch.inputs).features[-1]) for peer, transfer in zip(scheme.peers, scheme.transfers)]
        for me, other in ((0, 1), (1, 0)):
            mine, theirs = scheme.critics[me](maps[me]), scheme.critics[me](maps[other])
            torch.testing.assert_close(terms[f"maps/fool{me}"].value, (1 - mine).square().mean())
            both = (1 - theirs).square().mean() + mine.square().mean()
            torch.testing.assert_close(terms[f"critics/critic{me}"].value, both)

    def test_answers_learn_the_labels_and_the_neighbours_softened_answer(self, make, batch):
        scheme = make(dropout=0.0, temperature=2.5, mimicry_weight=0.4)
        terms, said = terms_of(scheme, batch), [peer(batch.inputs).logits for peer in scheme.peers]
        for me, other in ((0, 1), (1, 0)):
            torch.testing.assert_close(terms[f"answers{me}/task"].value, F.cross_entropy(said[me], batch.targets))
            mimicry = terms[f"answers{me}/mimicry"]
            torch.testing.assert_close(mimicry.value, kd_loss(said[me], said[other], temperature=2.5))
            assert mimicry.weight == 0.4

    def test_three_stand_in_a_circle_with_a_critic_each(self, make, batch):
        scheme = make(peers=3, dropout=0.0)
        terms, said = terms_of(scheme, batch), [peer(batch.inputs) for peer in scheme.peers]
        maps = [transfer(one.features[-1]) for one, transfer in zip(said, scheme.transfers)]
        assert len(scheme.critics) == 3
        for me, before in ((0, 2), (1, 0), (2, 1)):
            softened = kd_loss(said[me].logits, said[before].logits, temperature=3.0)
            torch.testing.assert_close(terms[f"answers{me}/mimicry"].value, softened)
            true, false = scheme.critics[me](maps[before]), scheme.critics[me](maps[me])
            both = (1 - true).square().mean() + false.square().mean()
            torch.testing.assert_close(terms[f"critics/critic{me}"].value, both)

    def test_no_update_moves_what_it_does_not_own(self, proof, make):
        moved = proof.moves(make)["main"]
        assert moved["answers0"] == {"peers.0"} and moved["answers1"] == {"peers.1"}
        assert moved["maps"] == {"peers.0", "peers.1", "transfers.0", "transfers.1"}
        assert moved["critics"] == {"critics.0", "critics.1"}

    def test_gradients_end_at_the_networks_own_map_and_at_the_critic(self, proof, make):
        found = proof.reached(make)["main"]
        assert found["maps/fool0"] == {"peers.0", "transfers.0", "critics.0"}
        assert found["critics/critic0"] == {"critics.0"} and found["answers1/mimicry"] == {"peers.1"}

    def test_the_game_runs_at_a_share_of_the_rate_and_without_decay(self, make, toy):
        *answers, maps, critics = make(slower=0.2).stages()[0].updates
        assert all(update.recipe is None for update in answers)
        slow = replace(toy.recipe, learning_rate=0.2 * toy.recipe.learning_rate, weight_decay=0.0)
        assert maps.recipe == slow and (critics.recipe.optimizer, critics.recipe.learning_rate) == ("adam", 1e-4)

    def test_without_the_game_two_peers_learn_as_in_mutual_learning(self, proof, make, toy):
        pair = lambda: [toy.network(f"peer{number}", 4 + 2 * number, dropout=0.0) for number in range(2)]
        ours = make(dropout=0.0)
        main = ours.stages()[0]
        main.updates = main.updates[:2]
        ours.stages = lambda: [main]
        runs = [proof.run(lambda: ours, "ours"), proof.run(lambda: DML(*pair(), temperature=3.0), "dml")]
        fit(runs)
        theirs = runs[1].scheme.peers.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.peers.state_dict().items())

    @pytest.mark.parametrize("settings", [{}, {"peers": 3}], ids=str)
    def test_resumes_exactly(self, short, make, settings):
        short.resumes_exactly(lambda: make(**settings))

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(temperature=1.0))

    def test_heads_are_out_of_the_games_reach_as_declared(self, proof, make):
        heads = {f"peers.{number}.head.{kind}" for number in range(2) for kind in ("weight", "bias")}
        assert proof.untouched(make) == make().untouched() == heads

    def test_critics_learn_to_tell_the_peers_apart_and_the_task_is_learned(self, make, toy):
        run = Run("afd", make(), toy.patterns(), replace(toy.recipe, steps=80), toy.seed)
        fit([run])
        assert run.failed is None
        first, last = run.curve[0]["terms"], run.curve[-1]["terms"]
        assert all(last[f"answers{me}/task"] < 0.5 * first[f"answers{me}/task"] for me in range(2))

    def test_is_built_from_a_bench_the_students_own_weights_first(self, bench, toy):
        scheme = OnlineAdversarialKD.build(bench, peers=[None, "wide"], hidden=3)
        assert bench.asked == [("student", None), ("peer1", "wide")]
        assert torch.equal(scheme.peers[0].head.weight, toy.network("student").head.weight)
        again = OnlineAdversarialKD.build(bench, peers=[None, "wide"], hidden=3)
        assert torch.equal(scheme.critics[0].score.weight, again.critics[0].score.weight)
        assert list(scheme.delivers()) == ["peer0", "peer1", "ensemble"]

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"peers": 1}, "at least 2 different networks, got 1"),
            ({"slower": 0.0}, "slower must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)
