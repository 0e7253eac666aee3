"""What a reader may rely on when the teacher's classifier is reused, one claim a test."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from kdcore.engine import setting_of
from kdcore.losses.feature.classifier import classifier_of
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation, SimKD
from kdcore.schemes.offline.reuse import Projector, Reusing, shrunk
from kdcore.types import Clock, Outputs, Refusal

REFERENCE = Path(__file__).parents[2] / "reference"


def sines(*shape: int, speed: float, scale: float = 4.0) -> torch.Tensor:
    index = torch.arange(torch.tensor(shape).prod(), dtype=torch.float64).view(shape)
    return scale * torch.sin(speed * index + 1)


class Said(nn.Module):
    """A student whose last map is its input."""

    def forward(self, maps: torch.Tensor) -> Outputs:
        return Outputs(torch.zeros(len(maps), 5), (maps,))


@pytest.fixture
def reusing():
    """The parts of the reference: eight channels to twelve, five classes, every parameter half a sine."""
    classifier, projector = nn.Linear(12, 5).double(), Projector(8, 12, 2).double()
    classifier.weight.data, classifier.bias.data = sines(5, 12, speed=0.9), sines(5, speed=1.1)
    for parameter in projector.parameters():
        parameter.data = sines(*parameter.shape, speed=0.3, scale=0.5)
    return lambda size: Reusing(Said(), projector, classifier, size)


@pytest.fixture
def reference():
    """All cases of a key."""
    read = lambda key: yaml.safe_load((REFERENCE / f"{key}.yaml").read_text(encoding="utf-8"))
    return lambda key: [case for source in read(key) for case in source["cases"]]


@pytest.fixture
def make(toy):
    def build(width: int = 12, **settings):
        student, teacher, data = toy.network(), toy.network("teacher", width, seed=0), toy.patterns()
        channels = [network(data.inputs[:2]).features[-1].shape[1] for network in (student, teacher)]
        classifier = classifier_of(teacher, 2 * width, 4)
        given = student, teacher, classifier, tuple(channels), (3, 3), data.inputs[:2]
        return seeded(lambda: SimKD(*given, **settings), 3, "init", "projector")

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


class TestReusing:
    def test_agrees_with_the_authors_code(self, reusing, reference):
        for known in reference("simkd"):
            mine = sines(6, 8, 4, 4, speed=0.7).requires_grad_()
            channels, *size = known["teacher"]
            said = reusing(tuple(size))(mine)
            target = shrunk(sines(6, channels, *size, speed=1.3), said.features[-1].shape[2:])
            loss = F.mse_loss(said.features[-1], target) if known["of"] == "the loss" else said.logits.square().sum()
            (slope,) = torch.autograd.grad(loss, mine)
            found = loss.item(), slope.norm().item(), slope[tuple(known["gradient_at"])].item()
            assert found == pytest.approx((known["value"], known["gradient_norm"], known["gradient"]), rel=1e-9)

    def test_on_the_teachers_own_map_it_answers_as_the_teacher(self, reusing, toy):
        teacher = toy.network("teacher", 12, seed=0, dropout=0.0).eval()
        images = toy.patterns().inputs[:4]
        said = teacher(images)
        whole = Reusing(Said(), nn.Identity(), classifier_of(teacher, 24, 4), (3, 3))
        torch.testing.assert_close(whole(said.features[-1]).logits, said.logits)


class TestSimKD:
    def test_is_the_mean_squared_distance_of_the_last_maps(self, make, batch):
        scheme = make()
        terms = scheme._losses(batch)
        made = scheme.reusing.projector(batch.outputs(scheme.reusing.student).features[-1])
        target = batch.outputs(*scheme.outside).features[-1]
        torch.testing.assert_close(terms["simkd"].value, (made - target).square().mean(), rtol=1e-3, atol=1e-4)
        assert (terms["simkd"].weight, terms["task"].weight) == (1.0, 0.0)

    def test_gradients_reach_the_student_and_the_projector_and_not_the_classifier(self, make, batch):
        scheme = make()
        scheme._losses(batch)["simkd"].value.backward()
        hit = {name for name, weight in scheme.named_parameters() if weight.grad is not None}
        idle = {name for name, _ in scheme.named_parameters()} - hit
        assert idle == scheme.untouched() == {f"reusing.student.head.{name}" for name in ("weight", "bias")}
        assert not scheme.reusing.scores.requires_grad and "scores" not in dict(scheme.reusing.named_parameters())

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched()

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make, toy):
        proof.together_is_alone(make, lambda: make(factor=4), lambda: Distillation(toy.network()))

    def test_delivers_one_network_that_carries_the_teachers_classifier(self, make, toy):
        (network,) = make().delivers().values()
        said = network(toy.patterns().inputs[:3])
        assert said.logits.shape == (3, 4) and said.embedding.shape == (3, 24)
        assert {"scores", "offsets"} <= network.state_dict().keys()

    def test_learns_the_task_without_a_label(self, proof, toy):
        """Its answers come nearer to a teacher's that was trained, and with them to the labels."""
        data, teacher = proof.data, toy.network("teacher", 12, seed=0, dropout=0.0)
        optimiser = torch.optim.Adam(teacher.parameters(), 0.01)
        for _ in range(40):
            optimiser.zero_grad()
            F.cross_entropy(teacher(data.inputs).logits, data.targets).backward()
            optimiser.step()
        scheme = SimKD(
            toy.network(dropout=0.0), teacher, classifier_of(teacher, 24, 4), (12, 24), (3, 3), data.inputs[:2]
        )
        proof.recipe = type(proof.recipe)(steps=80, batch_size=16, learning_rate=0.1, schedule="cosine")
        terms = [entry["terms"] for entry in proof.trained(lambda: scheme).curve]
        assert terms[-1]["student/task"] < 0.7 * terms[0]["student/task"]

    def test_is_built_from_a_bench_for_the_teacher_at_hand(self, bench):
        bench.setting = setting_of(bench.network("student"), bench.teacher, bench.data)
        scheme = SimKD.build(bench)
        assert scheme.reusing.projector[0].in_channels == 12 and scheme.reusing.size == (3, 3)
        assert torch.equal(scheme.reusing.scores, bench.teacher.head.weight)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"classifier": "none"}, "the teacher must have one linear layer called 'none', found 0"),
            ({"factor": 0}, "factor must be above 0, got 0"),
        ],
    )
    def test_refuses_what_cannot_be(self, bench, settings, says):
        bench.setting = setting_of(bench.network("student"), bench.teacher, bench.data)
        with pytest.raises(Refusal, match=says):
            SimKD.build(bench, **settings)

    @pytest.mark.parametrize("says", ["simkd reuses a teacher's classifier, and the row has none"])
    def test_refuses_a_row_without_a_teacher(self, bench, says):
        bench.teacher = None
        with pytest.raises(Refusal, match=says):
            SimKD.build(bench)
