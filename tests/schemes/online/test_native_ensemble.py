"""What a reader may rely on when branches learn from their own ensemble, one claim a test."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kdcore.engine import Run, fit
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.online.native_ensemble import ONE, Gate
from kdcore.types import Batch, Clock, Data, Refusal, Task

COLLABORATIVE = {"gate": "constant", "own": False, "ensemble_task": False, "rescaled": True}


@pytest.fixture
def make(cut, toy):
    def build(*, students: int = 3, **settings):
        networks = [cut.network(f"branch{number}") for number in range(students)]
        return toy.seeded(lambda: ONE(*networks, sample=cut.sample, **settings))

    return build


def owners(names) -> set[str]:
    """Shared layers, a branch, or the gate, for each parameter's name."""
    found = set()
    for name in names:
        first, number, *rest = name.split(".")
        shared = first == "students" and rest[0] in ("stem", "stages") and (rest[0] == "stem" or rest[1] == "0")
        found.add("shared" if shared else f"branch{number}" if first == "students" else "gate")
    return found


def slopes(scheme, term) -> dict[str, torch.Tensor]:
    named = dict(scheme.named_parameters())
    found = torch.autograd.grad(term.value, list(named.values()), allow_unused=True, retain_graph=True)
    return {name: slope for name, slope in zip(named, found) if slope is not None}


class TestGate:
    def test_weighs_by_a_layer_on_the_mean_of_the_map(self):
        gate, maps = Gate(3, 2).eval(), torch.rand(5, 3, 4, 4)
        pooled = maps.mean((2, 3)) @ gate.control.weight.T + gate.control.bias
        expected = (pooled / (1 + gate.norm.eps) ** 0.5).relu().softmax(1)
        torch.testing.assert_close(gate(maps), expected)


class TestONE:
    def test_lowers_the_equation(self, make, cut):
        """Labels for every branch and the ensemble, the ensemble's softened answer for every branch."""
        scheme, batch = make(rampup=0.0, weight=0.5, temperature=2.0), cut.batch()
        (ensemble,) = scheme.asked
        total = sum(term.value * term.weight_at(0.3) for term in scheme._terms(batch).values())
        said = ensemble.branches(batch.inputs)
        weights = scheme.gate(said.shared)
        together = sum(weights[:, [k]] * logits for k, logits in enumerate(said.each))
        expected = F.cross_entropy(together, batch.targets)
        for logits in said.each:
            expected = expected + F.cross_entropy(logits, batch.targets)
            expected = expected + 0.5 * kd_loss(logits, together, temperature=2.0)
        torch.testing.assert_close(total, expected)

    def test_gives_the_numbers_of_the_authors_code(self, cut, reference):
        (known,) = reference("one")
        scheme = ONE(*cut.residual(), sample=cut.images[:2]).double()
        cut.filled(scheme.parameters())
        total, slopes = self._step(scheme.train(), cut)
        assert total.item() == pytest.approx(known["value"], rel=1e-6)  # theirs adds 1e-7 to the targets
        self._like(slopes, known)
        together = scheme.asked[0](cut.images).logits
        assert together[0, 0].item() == pytest.approx(known["ensemble"], rel=1e-9)

    def test_with_a_constant_gate_it_gives_the_numbers_of_collaborative_learning(self, cut, reference):
        (known,) = reference("cl-ilr")
        scheme = ONE(*cut.residual(), sample=cut.images[:2], **COLLABORATIVE).double()
        cut.filled(scheme.parameters())
        total, slopes = self._step(scheme.train(), cut)
        assert total.item() == pytest.approx(known["value"], rel=1e-6)
        self._like(slopes, known)

    def _step(self, scheme, cut):
        views = {"weak": lambda x, random: x}
        data = Data(cut.images, cut.labels, ExactTask(), views, classes=10)
        batch = Batch(data, torch.arange(6), 0, Clock(30, 300, 300))
        total = sum(term.value * term.weight_at(0.1) for term in scheme._terms(batch).values())
        return total, torch.autograd.grad(total, list(scheme.parameters()))

    def _like(self, slopes, known):
        norm = sum(slope.square().sum() for slope in slopes).sqrt().item()
        assert norm == pytest.approx(known["gradient_norm"], rel=1e-6)
        assert slopes[0].norm().item() == pytest.approx(known["first_layer"], rel=1e-6)

    def test_a_gate_that_says_nothing_is_the_constant_gate(self, make, proof, cut):
        """The learned gate held at zero, the run is the one with the constant gate: the plain mean teaches."""

        def silent():
            scheme = make()
            for weight in (scheme.gate.control.weight, scheme.gate.control.bias, scheme.gate.norm.weight):
                torch.nn.init.zeros_(weight)
            main = scheme.stages()[0]
            main.updates[0].trains = [scheme.students]
            scheme.stages = lambda: [main]
            return scheme

        runs = [proof.run(silent, "silent"), proof.run(lambda: make(gate="constant"), "constant")]
        fit(runs)
        learned, constant = (run.scheme.students.state_dict() for run in runs)
        torch.testing.assert_close(learned, constant)

    def test_collaborative_learning_is_the_constant_gate_written_out(self, make, cut):
        """Labels for each branch, the mean of the others for each branch, nothing for the ensemble."""
        scheme, batch = make(**COLLABORATIVE, rampup=0.0), cut.batch()
        terms = scheme._terms(batch)
        said = scheme.asked[0].branches(batch.inputs)
        for me, logits in enumerate(said.each):
            others = sum(said.each[k] for k in range(3) if k != me) / 2
            torch.testing.assert_close(terms[f"task{me}"].value, F.cross_entropy(logits, batch.targets))
            torch.testing.assert_close(terms[f"mimicry{me}"].value, kd_loss(logits, others, temperature=3.0))
        assert set(terms) == {f"{name}{me}" for name in ("task", "mimicry") for me in range(3)}

    def test_gradients_of_a_branch_reach_itself_and_the_shared_layers_alone(self, make, cut):
        scheme = make()
        terms = scheme._terms(cut.batch())
        for me in range(3):
            for name in ("task", "mimicry"):
                assert owners(slopes(scheme, terms[f"{name}{me}"])) == {"shared", f"branch{me}"}
        everything = {"shared", "gate", *(f"branch{me}" for me in range(3))}
        assert owners(slopes(scheme, terms["ensemble_task"])) == everything

    def test_the_weight_of_the_ensemble_rises(self, make, cut):
        term = make(weight=2.0)._terms(cut.batch())["mimicry0"]
        assert [round(term.weight_at(progress), 4) for progress in (0.0, 0.1, 0.5)] == [0.0135, 0.2837, 2.0]

    @pytest.mark.parametrize("settings", [{}, COLLABORATIVE], ids=["one", "cl-ilr"])
    def test_resumes_exactly(self, short, make, settings):
        short.resumes_exactly(lambda: make(**settings))

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(**COLLABORATIVE))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_training_lowers_the_labels_of_every_branch(self, make, cut, toy):
        run = Run("one", make(), cut.data, replace(toy.recipe, steps=60, learning_rate=0.2), toy.seed)
        fit([run])
        assert run.failed is None
        first, last = run.curve[0]["terms"], run.curve[-1]["terms"]
        assert all(last[f"branches/task{me}"] < 0.5 * first[f"branches/task{me}"] for me in range(3))

    def test_delivers_whole_networks_and_their_ensemble_the_first_branch_ranked(self, cut):
        scheme = ONE.build(cut.bench, branches=2)
        assert cut.bench.asked == [("student", None), ("branch1", None)]
        delivered = scheme.delivers()
        assert list(delivered) == ["branch0", "branch1", "ensemble"]
        count = lambda network: sum(weight.numel() for weight in network.parameters())
        assert count(delivered["branch0"]) == count(cut.network()) == count(delivered["branch1"])
        assert torch.equal(delivered["branch0"].classifier.weight, cut.network("student").classifier.weight)
        scheme.eval()
        said = scheme.asked[0].branches(cut.sample)
        weights = scheme.gate(said.shared)
        expected = weights[:, :1] * said.each[0] + weights[:, 1:] * said.each[1]
        torch.testing.assert_close(delivered["ensemble"](cut.sample).logits, expected)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"students": 1}, "at least 2 different networks, got 1"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"gate": "open"}, "gate must be 'learned' or 'constant', got 'open'"),
            ({"own": False}, "own=False needs gate='constant'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)


class ExactTask(Task):
    """Cross-entropy in the precision of the answers."""

    def loss(self, outputs, batch):
        return F.cross_entropy(outputs.logits, batch.targets)
