"""What a reader may rely on when peers mix targets of their own and a leader learns from all, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdcore.engine import fit
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.online.diverse_peers import OKDDip, PeerAttention
from kdcore.types import Batch, Clock, Data, Refusal, Task


@pytest.fixture
def make(cut, toy):
    def build(*, peers: int = 2, **settings):
        networks = [cut.network(f"net{number}") for number in range(peers + 1)]
        return toy.seeded(lambda: OKDDip(*networks, sample=cut.sample, **settings))

    return build


def reached(scheme, term) -> set[str]:
    """Shared layers, ``networks.k`` above the cut, or the attention."""
    named = dict(scheme.named_parameters())
    slopes = torch.autograd.grad(term.value, list(named.values()), allow_unused=True, retain_graph=True)
    hit = (name.split(".") for name, slope in zip(named, slopes) if slope is not None)
    return {
        "attention" if first == "attention" else "shared" if rest[1:3] == ["stages", "0"] else f"net{rest[0]}"
        for first, *rest in hit
    }


class TestPeerAttention:
    def test_is_the_softmax_of_query_times_key(self):
        attention, embeddings = PeerAttention(8, 4).double(), torch.rand(5, 3, 8, dtype=torch.float64)
        found = attention(embeddings).exp()
        assert attention.query.weight.shape == (2, 8)
        for example in range(5):
            for a in range(3):
                query = attention.query.weight @ embeddings[example, a]
                energies = [(query @ (attention.key.weight @ embeddings[example, b])).exp().item() for b in range(3)]
                expected = [energy / sum(energies) for energy in energies]
                assert found[example, a].tolist() == pytest.approx(expected)

    def test_one_may_count_for_another_that_does_not_count_for_it(self):
        weights = PeerAttention(8, 4)(torch.rand(5, 3, 8))
        assert not torch.allclose(weights, weights.mT, atol=1e-3)


class TestOKDDip:
    def test_lowers_the_equation(self, make, cut):
        """Example by example: labels, own mixtures of softened answers, and their mean for the leader."""
        scheme, batch = make(rampup=0.0, weight=0.5, temperature=2.0), cut.batch()
        total = sum(term.value * term.weight_at(0.3) for term in scheme._terms(batch).values())
        said = scheme.asked[0](batch.inputs)
        leader, *peers = ((logits / 2).softmax(1) for logits in said.each)
        weights = scheme.attention(torch.stack(said.embeddings[1:], 1)).exp()
        targets = [sum(weights[:, a, b, None] * peers[b] for b in range(2)) for a in range(2)]
        expected = sum(F.cross_entropy(logits, batch.targets) for logits in said.each)
        for target, mine in zip([*targets, sum(targets) / 2], [*peers, leader]):
            expected = expected + 0.5 * 4 * (target * (target / mine).log()).sum(1).mean()
        torch.testing.assert_close(total, expected)

    def test_gives_the_numbers_of_the_authors_code(self, cut, reference):
        (known,) = reference("okddip-released")
        scheme = OKDDip(*cut.residual(), sample=cut.images[:2], mixed="logits").double().train()
        cut.filled(scheme.parameters())
        data = Data(cut.images, cut.labels, ExactTask(), {"weak": lambda x, random: x}, classes=10)
        batch = Batch(data, torch.arange(6), 0, Clock(30, 300, 300))
        total = sum(term.value * term.weight_at(0.1) for term in scheme._terms(batch).values())
        slopes = torch.autograd.grad(total, list(scheme.parameters()))
        assert total.item() == pytest.approx(known["value"], rel=1e-6)  # theirs adds 1e-7 to the targets
        norm = sum(slope.square().sum() for slope in slopes).sqrt().item()
        assert norm == pytest.approx(known["gradient_norm"], rel=1e-5)
        assert slopes[0].norm().item() == pytest.approx(known["first_layer"], rel=1e-5)
        assert slopes[-2].norm().item() == pytest.approx(known["query"], rel=1e-5)

    @pytest.mark.parametrize("mixed", ["probabilities", "logits"])
    def test_with_uniform_attention_every_peer_learns_the_mean_ensemble(self, make, cut, mixed):
        scheme, batch = make(peers=3, attention="uniform", mixed=mixed, temperature=2.0), cut.batch()
        terms = scheme._terms(batch)
        leader, *peers = scheme.asked[0](batch.inputs).each
        mean = sum(peers) / 3 if mixed == "logits" else 2 * (sum((z / 2).softmax(1) for z in peers) / 3).log()
        for name, logits in {"leader_mimicry": leader, **{f"mimicry{a}": z for a, z in enumerate(peers)}}.items():
            torch.testing.assert_close(terms[name].value, kd_loss(logits, mean, temperature=2.0))

    def test_an_attention_that_says_nothing_is_the_uniform_one(self, make, proof):
        def silent():
            scheme = make()
            torch.nn.init.zeros_(scheme.attention.query.weight)
            main = scheme.stages()[0]
            main.updates[0].trains = [scheme.networks]
            scheme.stages = lambda: [main]
            return scheme

        runs = [proof.run(silent, "silent"), proof.run(lambda: make(attention="uniform"), "uniform")]
        fit(runs)
        torch.testing.assert_close(*(run.scheme.networks.state_dict() for run in runs))

    def test_targets_of_the_authors_carry_gradients_into_every_peer_but_not_the_leader(self, make, cut):
        scheme = make()
        terms = scheme._terms(cut.batch())
        assert reached(scheme, terms["mimicry0"]) == {"shared", "net1", "net2", "attention"}
        assert reached(scheme, terms["leader_mimicry"]) == {"shared", "net0", "net1", "net2", "attention"}
        assert reached(scheme, terms["task1"]) == {"shared", "net2"}
        assert reached(scheme, terms["leader_task"]) == {"shared", "net0"}

    def test_cut_off_they_reach_the_one_that_learns_and_the_attention(self, make, cut):
        scheme = make(attached=False, form="networks")
        terms = scheme._terms(cut.batch())
        each = {name: reached(scheme, term) - {"shared"} for name, term in terms.items()}
        assert each["mimicry0"] == {"net1", "attention"} and each["mimicry1"] == {"net2", "attention"}
        assert each["leader_mimicry"] == {"net0", "attention"}

    def test_networks_share_nothing(self, make):
        scheme = make(form="networks")
        leader, first, _ = scheme.networks
        assert leader.stages[0] is not first.stages[0]
        shared = make()
        assert shared.networks[0].stages[0] is shared.networks[1].stages[0]

    @pytest.mark.parametrize("settings", [{}, {"form": "networks", "mixed": "logits"}], ids=["branches", "networks"])
    def test_resumes_exactly(self, short, make, settings):
        short.resumes_exactly(lambda: make(**settings))

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(form="networks"))

    def test_every_parameter_is_reached_as_declared(self, short, make):
        assert short.untouched(make) == make().untouched() == set()

    def test_is_built_with_the_students_own_weights_for_the_leader_which_is_ranked(self, cut):
        scheme = OKDDip.build(cut.bench, peers=2)
        assert cut.bench.asked == [("student", None), ("peer1", None), ("peer2", None)]
        assert list(scheme.delivers()) == ["leader", "peer0", "peer1", "ensemble"]
        leader = scheme.delivers()["leader"]
        assert torch.equal(leader.classifier.weight, cut.network("student").classifier.weight)
        own = scheme.stages()[0].updates[0].losses(cut.batch())
        assert own["leader_mimicry"].weight_at(0.0) == pytest.approx(math.exp(-5))

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"peers": 1}, "a leader and at least 2 peers, got 2 networks"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"form": "trees"}, "form must be 'branches' or 'networks', got 'trees'"),
            ({"mixed": "features"}, "mixed must be 'probabilities' or 'logits', got 'features'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)


class ExactTask(Task):
    """Cross-entropy in the precision of the answers."""

    def loss(self, outputs, batch):
        return F.cross_entropy(outputs.logits, batch.targets)
