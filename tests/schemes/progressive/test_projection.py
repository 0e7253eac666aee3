"""What a reader may rely on when a teacher's layers are injected, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.engine import fit
from kdcore.losses import fitnet_loss
from kdcore.schemes.offline import Distillation
from kdcore.schemes.progressive import KnowledgeProjection
from kdcore.schemes.progressive.projection import Projection
from kdcore.types import Clock, Refusal


@pytest.fixture
def make(staged):
    return lambda **settings: KnowledgeProjection.build(staged.bench(), **settings)


@pytest.fixture
def batch(staged):
    return staged.data.batch(3, Clock(0, 12, 6), 16)


class TestProjection:
    def test_aligns_any_sizes_by_averaging_or_repeating_and_a_matrix(self, toy):
        maps = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        down, up = Projection(3, (5, 2, 2)), Projection(3, (5, 8, 8))
        pooled = nn.functional.avg_pool2d(maps, 2)
        expected = torch.einsum("oc,bchw->bohw", down.mix.weight[:, :, 0, 0], pooled) + down.mix.bias[:, None, None]
        torch.testing.assert_close(down(maps), expected.relu())
        assert up(maps).shape == (2, 5, 8, 8) and torch.equal(up(maps)[..., 0, 0], up(maps)[..., 1, 1])


class TestKnowledgeProjection:
    def test_a_route_is_the_label_loss_of_the_injected_layer_and_its_distance(self, make, batch):
        scheme = make(routes=[[0, 1]], weight=2.0)
        terms = scheme._joint(batch)
        mine, theirs = batch.outputs(scheme.student).features, batch.outputs(*scheme.outside).features
        projected = scheme.projections[0](theirs[1])
        above = scheme.student.stages[1](projected)[1].mean((2, 3))
        logits = scheme.student.classifier(above)
        task, match = nn.functional.cross_entropy(logits, batch.targets), (mine[0] - projected).square().mean()
        torch.testing.assert_close(terms["injected"].value, task, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(terms["match"].value, match)
        torch.testing.assert_close(scheme.joint[0], (task + 2 * match).detach(), rtol=1e-4, atol=1e-5)

    def test_the_worse_half_is_given_up_at_even_distances(self, make, staged):
        scheme = make()
        scheme.joint.copy_(torch.tensor([3.0, 1.0, 2.0, 4.0]))
        scheme._choose(staged.data, Clock(4, 10, 6))
        assert scheme.left.all()
        scheme._choose(staged.data, Clock(5, 10, 6))
        assert scheme.left.tolist() == [False, True, True, False] and scheme.joint.eq(0).all()
        scheme.joint.copy_(torch.tensor([0.0, 2.0, 1.0, 0.0]))  # those that are out do not come back
        scheme._choose(staged.data, Clock(10, 10, 6))
        assert scheme.left.tolist() == [False, False, True, False]

    def test_routes_are_all_pairs_of_stages_unless_named(self, make):
        assert make().routes == ((0, 0), (0, 1), (1, 0), (1, 1)) and make(routes=[[1, 0]]).routes == ((1, 0),)
        assert make(routes=[[1, 0]]).rounds == 0 and make(routes=[[0, 0], [0, 1], [1, 0]]).rounds == 2

    def test_in_the_end_one_route_is_left_and_guides(self, proof, make):
        run = proof.run(make)
        while run.at == 0:
            run.advance()
        scheme, batch = run.scheme, proof.data.batch(3, Clock(0, 6, 6), 16)
        assert int(scheme.left.sum()) == 1
        number = int(scheme.left.long().argmax())
        n, m = scheme.routes[number]
        terms = scheme._distil(batch)
        projected = scheme.projections[number](batch.outputs(*scheme.outside).features[m])
        mine = batch.outputs(scheme.student).features[n]
        torch.testing.assert_close(terms["match"].value, fitnet_loss(mine, projected, form="mean"))

    def test_gradients_reach_the_projections_first_and_the_student_alone_after(self, proof, make):
        found = proof.reached(make)
        all_of_them = {f"projections.{number}" for number in range(4)}
        assert found["inject"]["student/injected"] == {"student", *all_of_them}
        assert found["inject"]["student/match"] == {"student", *all_of_them}
        assert found["distil"] == {"student/task": {"student"}, "student/match": {"student"}}

    def test_the_chosen_projection_rests_in_the_second_half(self, proof, make):
        run = proof.run(make)
        while run.at == 0:
            run.advance()
        before = [value.clone() for value in run.scheme.projections.state_dict().values()]
        fit([run])
        assert all(torch.equal(a, b) for a, b in zip(run.scheme.projections.state_dict().values(), before))

    def test_resumes_exactly(self, proof, make):
        proof.resumes_exactly(make)

    def test_together_equals_alone(self, proof, make, staged):
        proof.together_is_alone(make, lambda: make(routes=[[0, 0]]), lambda: Distillation(staged.network()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_the_teacher_stays_as_it_is(self, proof, make, staged):
        run, before = proof.trained(make), staged.teacher().state_dict()
        assert all(torch.equal(value, before[name]) for name, value in run.scheme.outside[0].state_dict().items())

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"share": 1.0}, "share must be below 1, got 1"),
            ({"share": 0.0}, "share must be above 0, got 0"),
            ({"routes": [[0, 7]]}, "the teacher has stages 0 .. 1, got 7"),
        ],
    )
    def test_refuses_what_cannot_be(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)
