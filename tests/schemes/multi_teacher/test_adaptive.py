"""What a reader may rely on when several teachers are weighed image by image, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses.relation.distance import rkd_parts
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.multi_teacher import AMTMLKD
from kdcore.schemes.multi_teacher.adaptive import GroupHint, Importance
from kdcore.types import Clock, Outputs, Refusal


def teacher(toy, number: int):
    return toy.network(f"teacher{number}", 8 + number, seed=0).eval().requires_grad_(False)


@pytest.fixture
def make(toy):
    def build(*, teachers: int = 3, **settings):
        taught = [teacher(toy, number) for number in range(teachers)]
        sample = toy.patterns().inputs[:2]
        return toy.seeded(lambda: AMTMLKD(toy.network(dropout=0.0), *taught, sample=sample, **settings))

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


def sines(*shape: int, speed: float, scale: float = 1.0) -> Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return scale * torch.sin(speed * index + 1)


class Says(nn.Module):
    """An answer from a closed formula."""

    def __init__(self, speed: float):
        super().__init__()
        self.logits = nn.Parameter(sines(6, 5, speed=speed, scale=4.0))
        self.embedding = nn.Parameter(sines(6, 8, speed=0.7, scale=2.0))

    def forward(self, inputs: Tensor) -> Outputs:
        maps = sines(6, 8, 4, 4, speed=0.7, scale=4.0)
        return Outputs(self.logits, (maps,), embedding=self.embedding)


@pytest.fixture
def known(reference):
    (case,) = reference("amtml-kd-released")
    return case


@pytest.fixture
def stated():
    """The authors' inputs: three teachers, a student, factors."""
    teachers = [Says(1.3 + 0.2 * number) for number in range(3)]
    scheme = AMTMLKD(Says(1.1), *teachers, sample=torch.zeros(2, 1), averaged=True).double()
    with torch.no_grad():
        scheme.importance.factors.copy_(sines(3, 8, speed=0.3))
        scheme.importance.common.copy_(sines(8, speed=0.9))
    return scheme


class TestNumbersOfTheAuthorsCode:
    def test_weights_and_the_loss_of_the_answers(self, known, stated):
        student, theirs = stated.student(None), [one(None) for one in stated.outside]
        weights = stated.importance(student.embedding).exp()
        assert weights[0].tolist() == pytest.approx(known["weights"], rel=1e-9)
        labels = torch.tensor([0, 3, 1, 2, 0, 4])
        softened = stated._softened(student)
        value = 0.7 * stated._divergence(softened, stated._integrated(student, theirs))
        value = value + 0.3 * F.cross_entropy(student.logits, labels) + 0.1 * stated.importance.size()
        assert value.item() == pytest.approx(known["value"], rel=1e-9)
        asked = [stated.student.logits, *stated.importance.parameters(), stated.student.embedding]
        slopes = [slope.norm().item() for slope in torch.autograd.grad(value, asked)]
        names = ("logits", "theta", "w", "embedding")
        assert slopes == pytest.approx([known[f"gradient_of_{name}"] for name in names], rel=1e-8)

    def test_angles_and_distances(self, known, stated):
        student, theirs = stated.student(None), [one(None) for one in stated.outside]
        distance, angle = rkd_parts(stated._softened(student), stated._integrated(student, theirs).exp())
        assert angle.item() == pytest.approx(known["angle"], rel=1e-6)
        assert distance.item() == pytest.approx(known["distance"], rel=1e-6)
        (slope,) = torch.autograd.grad(angle, stated.student.logits)
        assert slope.norm().item() == pytest.approx(known["angle_gradient"], rel=1e-6)

    def test_hint(self, known):
        hint = GroupHint(8, 12).double()
        with torch.no_grad():
            hint.transform.weight.copy_(sines(12, 8, 1, 1, speed=0.3, scale=0.5))
        mine = sines(6, 8, 4, 4, speed=0.7, scale=4.0).requires_grad_()
        value = hint(mine, sines(6, 12, 4, 4, speed=1.3, scale=4.0))
        assert value.item() == pytest.approx(known["hint"], rel=1e-9)
        (slope,) = torch.autograd.grad(value, mine)
        assert slope.norm().item() == pytest.approx(known["hint_gradient"], rel=1e-9)


class TestImportance:
    def test_is_the_equation_image_by_image(self):
        importance, embedding = Importance(3, 4).double(), torch.rand(5, 4, dtype=torch.float64)
        found = importance(embedding).exp()
        for i in range(5):
            scores = [(importance.common * importance.factors[t] * embedding[i]).sum().exp().item() for t in range(3)]
            assert found[i].tolist() == pytest.approx([score / sum(scores) for score in scores])


class TestAMTMLKD:
    def test_one_teacher_in_three_copies_is_plain_distillation(self, toy, batch):
        """Whatever the weights, the integrated answer of equal teachers is that teacher's."""
        one, sample = teacher(toy, 0), toy.patterns().inputs[:2]
        alone = {"angle_weight": 0.0, "hint_weight": 0.0, "temperature": 3.0}
        scheme = AMTMLKD(toy.network(dropout=0.0), one, one, one, sample=sample, **alone)
        terms = scheme._terms(batch)
        student = scheme.student(batch.inputs).logits
        expected = kd_loss(student, one(batch.inputs).logits, temperature=3.0)
        assert set(terms) == {"task", "kd"}
        torch.testing.assert_close(terms["kd"].value, expected, rtol=1e-5, atol=1e-6)

    def test_factors_of_zero_weigh_all_teachers_alike(self, make, batch):
        scheme = make(temperature=2.0)
        nn.init.zeros_(scheme.importance.factors)
        terms = scheme._terms(batch)
        student = (scheme.student(batch.inputs).logits / 2).log_softmax(1)
        mean = sum((one(batch.inputs).logits / 2).softmax(1) for one in scheme.outside) / 3
        torch.testing.assert_close(terms["kd"].value, 4 * (mean * (mean.log() - student)).sum(1).mean())

    def test_teacher_t_guides_stage_t_and_teachers_go_round(self, make, batch):
        scheme = make()
        assert scheme.pairs == [(0, 0), (1, 1), (0, 0)]
        said, theirs = scheme.student(batch.inputs), [one(batch.inputs) for one in scheme.outside]
        expected = sum(
            hint(said.features[at], one.features[at]) for hint, one, at in zip(scheme.hints, theirs, (0, 1, 0))
        )
        torch.testing.assert_close(scheme._terms(batch)["hint"].value, expected)

    def test_gradients_reach_the_weights_in_the_first_stage_and_no_teacher_ever(self, short, make):
        found = short.reached(make)
        first = found["importance"]
        assert first["student/kd"] == {"student", "importance"} and first["student/task"] == {"student"}
        assert first["student/shrink"] == {"importance"} and first["student/angle"] == {"student"}
        assert {name for name in first["student/hint"] if name != "student"} == {f"hints.{t}" for t in range(3)}
        assert found["main"]["student/kd"] == {"student"} and "student/shrink" not in found["main"]

    def test_the_weights_rest_in_the_main_stage(self, short, make):
        moved = short.moves(make)
        hints = {f"hints.{number}" for number in range(3)}
        assert moved["importance"]["student"] == {"student", "importance", *hints}
        assert moved["main"]["student"] == {"student", *hints}

    def test_the_first_stage_is_80_of_the_notebooks_200_epochs(self, proof, make):
        assert [clock.steps for clock in proof.run(make).clocks] == [5, 12]

    def test_resumes_exactly(self, short, make):
        short.resumes_exactly(make)

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(teachers=1))

    def test_every_parameter_is_reached_as_declared(self, short, make):
        assert short.untouched(make) == make().untouched() == set()

    def test_is_built_from_the_rows_teacher_and_the_others(self, bench, toy):
        bench.taught_by = lambda source: teacher(toy, source["number"])
        scheme = AMTMLKD.build(bench, others=[{"number": 1}, {"number": 2}])
        assert scheme.outside[0] is bench.teacher and len(scheme.outside) == 3
        assert torch.equal(scheme.student.head.weight, toy.network("student").head.weight)
        assert list(scheme.delivers()) == ["student"] and "outside" not in " ".join(scheme.state_dict())

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"teachers": 0}, "several teachers are at least 1, got 0"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"hint_weight": -1.0}, "hint_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)
