"""What a reader may rely on when networks teach each other."""

from dataclasses import replace

import pytest
import torch

from kdcore.engine import Run, fit
from kdcore.losses.response.distillation import KD, kd_loss
from kdcore.schemes.offline import Distillation
from kdcore.schemes.online.mutual import DML
from kdcore.types import Clock, Refusal, Stage


@pytest.fixture
def make(toy):
    def build(*, peers: int = 3, **settings):
        return DML(*(toy.network(f"peer{number}", 6 + 2 * number) for number in range(peers)), **settings)

    return build


@pytest.fixture
def still(toy):
    """Peers without dropout, so that a second answer is the first."""

    def build(*, peers: int = 3, **settings):
        return DML(*(toy.network(f"peer{number}", dropout=0.0) for number in range(peers)), **settings)

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


class TestDML:
    def test_two_peers_lower_the_equations_of_huang2022(self, still, batch):
        """Equations 14 to 17, number by number, with the mean in place of their sum over examples."""
        scheme = still(peers=2)
        z = [peer(batch.inputs).logits.double() for peer in scheme.peers]
        p = [scores.exp() / scores.exp().sum(1, keepdim=True) for scores in z]
        own = torch.arange(len(batch.targets))
        for me, other in ((0, 1), (1, 0)):
            batch.live.clear()
            terms = scheme.stages()[0].updates[me].losses(batch)
            supervised = -p[me][own, batch.targets].log().mean()
            mimicry = (p[other] * (p[other] / p[me]).log()).sum(1).mean()
            total = sum(term.value * term.weight for term in terms.values())
            torch.testing.assert_close(total.double(), supervised + mimicry, rtol=1e-5, atol=1e-6)

    def test_mimicry_is_the_mean_over_the_other_peers(self, still, batch):
        scheme = still(peers=4, temperature=2.0, mimicry_weight=0.5)
        said = [peer(batch.inputs).logits for peer in scheme.peers]
        for me, update in enumerate(scheme.stages()[0].updates):
            batch.live.clear()
            term = update.losses(batch)["mimicry"]
            each = [kd_loss(said[me], said[other], temperature=2.0) for other in range(4) if other != me]
            torch.testing.assert_close(term.value, sum(each) / 3)
            assert term.weight == 0.5

    def test_both_directions_differ_so_one_of_a_pair_is_not_both(self, still, batch):
        one, two = (update.losses(batch)["mimicry"].value for update in still(peers=2).stages()[0].updates)
        assert not torch.isclose(one, two, rtol=1e-3)

    def test_the_printed_form_sums_over_later_peers_and_leaves_the_last_alone(self, still, batch):
        scheme = still(peers=3, printed=True)
        said = [peer(batch.inputs).logits for peer in scheme.peers]
        terms = [update.losses(batch) for update in scheme.stages()[0].updates if batch.live.clear() is None]
        expected = kd_loss(said[0], said[1], temperature=1.0) + kd_loss(said[0], said[2], temperature=1.0)
        torch.testing.assert_close(terms[0]["mimicry"].value, expected)
        torch.testing.assert_close(terms[1]["mimicry"].value, kd_loss(said[1], said[2], temperature=1.0))
        assert list(terms[2]) == ["task"]

    def test_no_gradient_reaches_another_peer(self, proof, make):
        found = proof.reached(make)["main"]
        assert found == {f"peer{me}/{term}": {f"peers.{me}"} for me in range(3) for term in ("task", "mimicry")}

    def test_nor_does_it_when_all_move_together(self, proof, make):
        found = proof.reached(lambda: make(joint=True))["main"]
        assert found == {f"peers/{term}{me}": {f"peers.{me}"} for me in range(3) for term in ("task", "mimicry")}

    def test_a_peer_reads_what_the_others_answer_after_their_own_update(self, proof, still):
        run = proof.run(lambda: still(peers=2))
        seen = []
        second, losses = run.stages[0].updates[1], run.stages[0].updates[1].losses

        def watched(batch):
            first = run.scheme.peers[0]
            seen.append(all(torch.equal(value, before[name]) for name, value in first.named_parameters()))
            return losses(batch)

        second.losses = watched
        before = {name: value.detach().clone() for name, value in run.scheme.peers[0].named_parameters()}
        run.advance()
        assert seen == [False]

    def test_with_the_other_peer_frozen_it_is_distillation(self, proof, toy):
        """The second update taken away, the first peer learns as from a finished teacher, bit for bit."""
        pair = lambda: (toy.network("student", dropout=0.0), toy.network("teacher", 12, dropout=0.0))
        frozen = DML(*pair())
        main = frozen.stages()[0]
        frozen.stages = lambda: [Stage("main", main.updates[:1])]
        taught = Distillation(*pair(), KD(temperature=1.0, weight=1.0, task_weight=1.0))
        runs = [proof.run(lambda: frozen, "dml"), proof.run(lambda: taught, "kd")]
        fit(runs)
        student = taught.student.state_dict()
        assert all(torch.equal(value, student[name]) for name, value in frozen.peers[0].state_dict().items())

    def test_without_mimicry_every_peer_learns_alone(self, proof, toy):
        pair = lambda: (toy.network("student", dropout=0.0), toy.network("peer1", dropout=0.0))
        joint = proof.trained(lambda: DML(*pair(), mimicry_weight=0.0, joint=True)).scheme
        alone = proof.trained(lambda: Distillation(pair()[0])).scheme
        torch.testing.assert_close(joint.peers[0].state_dict(), alone.student.state_dict())

    @pytest.mark.parametrize("settings", [{}, {"joint": True}, {"printed": True}], ids=str)
    def test_resumes_exactly(self, proof, make, settings):
        proof.resumes_exactly(lambda: make(**settings))

    def test_together_equals_alone(self, proof, make, toy):
        proof.together_is_alone(make, lambda: make(joint=True), lambda: Distillation(toy.network()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_training_lowers_the_task_and_peers_agree_more_than_strangers(self, toy):
        recipe, last = replace(toy.recipe, steps=80), {}
        for weight in (1.0, 0.0):
            peers = (toy.network(f"peer{number}") for number in range(2))
            run = Run("dml", DML(*peers, mimicry_weight=weight), toy.patterns(), recipe, toy.seed)
            fit([run])
            first, last[weight] = run.curve[0]["terms"], run.curve[-1]["terms"]
            assert all(last[weight][name] < 0.5 * first[name] for name in ("peer0/task", "peer1/task"))
        assert all(last[1.0][name] < 0.7 * last[0.0][name] for name in ("peer0/mimicry", "peer1/mimicry"))

    def test_delivers_every_peer_and_their_ensemble_the_first_peer_ranked(self, make):
        assert list(make().delivers()) == ["peer0", "peer1", "peer2", "ensemble"]

    def test_the_ensemble_adds_nothing_to_what_is_saved(self, make):
        scheme = make()
        before = list(scheme.state_dict())
        scheme.delivers()
        assert list(scheme.state_dict()) == before

    def test_is_built_with_the_students_own_weights_first(self, bench, toy):
        scheme = DML.build(bench, peers=[None, "wide"], temperature=3.0)
        assert bench.asked == [("student", None), ("peer1", "wide")] and scheme.temperature == 3.0
        assert torch.equal(scheme.peers[0].head.weight, toy.network("student").head.weight)
        assert len(DML.build(bench, peers=3).peers) == 3

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"peers": 1}, "mutual learning needs at least 2 peers, got 1"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"mimicry_weight": -1.0}, "mimicry_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    def test_one_network_is_no_pair(self, toy):
        peer = toy.network()
        with pytest.raises(Refusal, match="one network was given twice"):
            DML(peer, peer)

    @pytest.mark.parametrize("says", [r"same shape, got \(16, 4\) and \(16, 5\)"])
    def test_peers_with_different_classes_are_told_apart_in_a_sentence(self, toy, proof, says):
        with pytest.raises(ValueError, match=says):
            proof.trained(lambda: DML(toy.network(), toy.network("peer1", classes=5)))
