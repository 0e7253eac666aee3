"""What a reader may rely on when it is learned what and where to transfer, one claim a test."""

import doctest
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from kdcore.engine import Recipe, setting_of
from kdcore.losses.feature.weighted import weighted_channel_matching_loss
from kdcore.randomness import seeded
from kdcore.schemes.offline import L2TWW, Distillation, what_where
from kdcore.schemes.offline.what_where import MetaNetworks, Transfer, feature_matching
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Task

SHAPES = {"student": [(4, 8, 8), (6, 4, 4)], "teacher": [(5, 8, 8), (9, 4, 4)]}


REFERENCE = Path(__file__).parents[2] / "reference"


def sines(*shape: int, speed: float, scale: float = 4.0) -> torch.Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return scale * torch.sin(speed * index + 1)


def filled(module: nn.Module) -> nn.Module:
    """In float64, every parameter half a sine of its own index, as the references were made."""
    module.double()
    for parameter in module.parameters():
        parameter.data = sines(*parameter.shape, speed=0.3, scale=0.5)
    return module


class Toy(nn.Module):
    """The student of the reference."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.c = nn.Linear(6, 3)

    def forward(self, images: torch.Tensor) -> Outputs:
        first = torch.tanh(self.a(images))
        second = torch.tanh(self.b(first))
        return Outputs(self.c(second.mean((2, 3))), (first, second))


class Echo(nn.Module):
    """A teacher that says what the reference's says."""

    def forward(self, images: torch.Tensor) -> Outputs:
        maps = tuple(sines(6, *shape, speed=1.3 + 0.01 * depth) for depth, shape in enumerate(SHAPES["teacher"], 1))
        return Outputs(torch.zeros(6, 3), maps)


class Exact(Task):
    """The label loss in double precision."""

    def loss(self, outputs: Outputs, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(outputs.logits, batch.targets)


PAIRS = [(0, 0), (1, 0), (0, 1), (1, 1)]  # (student's, teacher's), in the reference's order


def scheme_of_the_reference(**settings) -> L2TWW:
    channels = [(SHAPES["student"][n][0], SHAPES["teacher"][m][0]) for n, m in PAIRS]
    recipe = Recipe(learning_rate=0.1, schedule="constant", batch_size=6)
    return filled(L2TWW(Toy(), Echo(), channels, PAIRS, recipe, **settings))


def batch_of_the_reference() -> Batch:
    images = sines(6, 1, 8, 8, speed=0.37, scale=1.0)
    data = Data(images, torch.arange(6) % 3, Exact(), {"weak": lambda inputs, random: inputs}, classes=3)
    return Batch(data, torch.arange(6), 0, Clock(0, 100, 10))


@pytest.fixture
def reference():
    """All cases of a key."""
    read = lambda key: yaml.safe_load((REFERENCE / f"{key}.yaml").read_text(encoding="utf-8"))
    return lambda key: [case for source in read(key) for case in source["cases"]]


@pytest.fixture
def make(toy):
    def build(**settings):
        channels = [(6, 12), (12, 24)]
        student, teacher = toy.network(), toy.network("teacher", 12, seed=0)
        given = student, teacher, channels, [(0, 0), (1, 1)], toy.recipe
        return seeded(lambda: L2TWW(*given, **{"meta_rate": 0.05} | settings), 3, "init", "l2t-ww")

    return build


class TestFeatureMatching:
    def test_its_example_is_true(self):
        assert doctest.testmod(what_where).failed == 0

    def test_is_the_weighted_combination_of_si2023_with_roots_of_the_weights(self):
        student, teacher = sines(3, 4, 5, 5, speed=0.7), sines(3, 4, 5, 5, speed=1.3)
        transfer = Transfer(sines(3, 4, speed=0.4).softmax(1), sines(3, speed=0.8).abs())
        roots = torch.diag_embed(transfer.channels.sqrt())
        each = weighted_channel_matching_loss(student, teacher, roots, roots, distance="square", reduction="none") / 25
        torch.testing.assert_close(feature_matching(student, teacher, transfer), (transfer.pair * each).mean())

    def test_agrees_with_the_authors_code(self, reference):
        """All four pairs of two layers, weights from the meta-networks."""
        cases = [known for known in reference("l2t-ww") if "pairs" in known]
        for known in cases:
            scheme = scheme_of_the_reference()
            shapes = enumerate(SHAPES["student"], 1)
            student = [sines(6, *shape, speed=0.7 + 0.01 * depth) for depth, shape in shapes]
            assert known["pairs"] == [list(pair) for pair in PAIRS]
            about = student[known["layer"]].requires_grad_()
            batch = batch_of_the_reference()
            transfers = scheme._transfers(batch)
            regressors = dict(scheme.regressors.named_parameters())
            value = scheme._matching(Outputs(about, tuple(student)), batch, transfers, regressors)
            (slope,) = torch.autograd.grad(value, about)
            found = value.item(), slope.norm().item(), slope[tuple(known["gradient_at"])].item()
            assert found == pytest.approx((known["value"], known["gradient_norm"], known["gradient"]), rel=1e-8)
        assert len(cases) == 2


class TestMetaNetworks:
    def test_start_with_equal_channels_and_every_pair_about_one(self):
        meta = MetaNetworks([5, 9])
        for transfer, size in zip(meta([torch.rand(3, 5, 4, 4), torch.rand(3, 9, 2, 2)]), (5, 9)):
            torch.testing.assert_close(transfer.channels, torch.full((3, size), 1 / size))
            assert transfer.pair.shape == (3,) and (transfer.pair - 1).abs().max() < 2

    def test_pairs_are_never_below_zero_nor_above_six(self):
        meta = MetaNetworks([5])
        for scale in (100.0, -100.0):
            meta.where[0].bias.data.fill_(scale)
            (transfer,) = meta([torch.rand(3, 5, 4, 4)])
            assert transfer.pair.eq(6.0 if scale > 0 else 0.0).all()


class TestL2TWW:
    def test_the_meta_gradient_agrees_with_the_authors_code(self, reference):
        (known,) = [known for known in reference("l2t-ww") if "pairs" not in known]
        scheme, batch = scheme_of_the_reference(**known["settings"]), batch_of_the_reference()
        value = scheme._meta_losses(batch)["after"].value
        parameters = [*scheme.meta.what.parameters(), *scheme.meta.where.parameters()]
        slopes = torch.autograd.grad(value, parameters)
        length = math.sqrt(sum(slope.square().sum().item() for slope in slopes))
        found = value.item(), length, slopes[0][tuple(known["gradient_at"])].item()
        assert found == pytest.approx((known["value"], known["gradient_norm"], known["gradient"]), rel=1e-7)

    def test_the_meta_gradient_is_that_of_finite_differences(self):
        scheme, batch = scheme_of_the_reference(), batch_of_the_reference()
        weight = scheme.meta.where[0].bias
        (slope,) = torch.autograd.grad(scheme._meta_losses(batch)["after"].value, weight)
        ends = []
        for step in (1e-4, -1e-4):
            weight.data += step
            ends.append(scheme._meta_losses(batch)["after"].value.item())
            weight.data -= step
        assert slope.item() == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5)

    def test_nothing_of_the_student_moves_while_its_steps_are_imagined(self, make, toy):
        scheme, batch = make(), toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)
        scheme.student.train()
        before = {name: value.clone() for name, value in scheme.student.state_dict().items()}
        scheme._meta_losses(batch)["after"].value.backward(inputs=list(scheme.meta.parameters()))
        assert all(torch.equal(value, before[name]) for name, value in scheme.student.state_dict().items())
        assert all(weight.grad is None for weight in scheme.student.parameters())
        assert all(weight.grad is not None for weight in scheme.meta.parameters())

    def test_gradients_reach_the_student_by_its_update_and_the_meta_networks_by_theirs(self, proof, make):
        found = proof.reached(make)["main"]
        assert found["student/task"] == {"student"}
        assert found["student/l2t_ww"] == {"student", "regressors.0", "regressors.1"}
        assert found["meta/after"] == {"meta"}

    def test_without_matching_the_student_learns_as_alone(self, proof, make, toy):
        with_meta = proof.trained(lambda: make(weight=0.0)).scheme.student.state_dict()
        alone = proof.trained(lambda: Distillation(toy.network())).scheme.student.state_dict()
        for name, value in alone.items():
            torch.testing.assert_close(with_meta[name], value, rtol=1e-4, atol=1e-5)

    def test_resumes_exactly(self, proof, make):
        proof.recipe = type(proof.recipe)(steps=7, batch_size=16, learning_rate=0.05)
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make, toy):
        proof.together_is_alone(make, lambda: make(inner=1), lambda: Distillation(toy.network()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_is_built_from_a_bench_between_all_stages(self, bench):
        bench.setting = setting_of(bench.network("student"), bench.teacher, bench.data)
        scheme = L2TWW.build(bench)
        assert scheme.pairs == ((0, 0), (0, 1), (1, 0), (1, 1)) and len(scheme.meta.what) == 4
        assert L2TWW.build(bench, pairs=[[1, 1]]).pairs == ((1, 1),)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"inner": 0}, "inner must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
            ({"pairs": [[0, 3]]}, "the teacher has stages 0 .. 1, got 3"),
        ],
    )
    def test_refuses_what_cannot_be(self, bench, settings, says):
        bench.setting = setting_of(bench.network("student"), bench.teacher, bench.data)
        with pytest.raises(Refusal, match=says):
            L2TWW.build(bench, **settings)
