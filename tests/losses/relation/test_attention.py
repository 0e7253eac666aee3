"""What a reader may rely on in graphs drawn by attention, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import mhgd_loss
from kdcore.losses.relation.attention import MHGD, Attention, Estimator
from kdcore.losses.relation.singular import compressed, taught
from kdcore.randomness import seeded
from kdcore.types import Outputs, Refusal


@pytest.fixture
def graphs(sines):
    return sines(2, 5, 5, speed=0.7).requires_grad_(), sines(2, 5, 5, speed=1.3)


@pytest.fixture
def method() -> MHGD:
    return seeded(lambda: MHGD((3, 5), (3, 5), heads=2), 0)


@pytest.fixture
def said():
    """Two networks' two stages for six images, in single precision and of full rank."""

    def maps(speed, *shape):
        index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64).view(shape)
        return torch.sin(speed * index**2 + 1).float()

    return [Outputs(torch.zeros(6, 4), (maps(v, 6, 3, 4, 4), maps(2 * v, 6, 5, 2, 2))) for v in (0.7, 1.3)]


class TestMHGD:
    def test_value_worked_by_hand(self):
        level, sharp = torch.zeros(1, 2, 2), torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
        share = 1 / (1 + math.exp(-2))  # of the sample itself, since tanh 9 is next to 1
        wanted = 0.5 * math.log(0.5 / share) + 0.5 * math.log(0.5 / (1 - share))
        assert mhgd_loss(level, sharp).item() == pytest.approx(wanted, rel=1e-5)

    def test_is_the_equation(self, graphs):
        def row(scores):
            powers = [math.exp(math.tanh(score)) for score in scores]
            return [p / sum(powers) for p in powers]

        tables = [[row(scores) for head in graph.tolist() for scores in head] for graph in graphs]
        wanted = sum(a * math.log(a / b) for s, t in zip(*tables) for a, b in zip(s, t)) / 5
        assert mhgd_loss(*graphs).item() == pytest.approx(wanted, rel=1e-10)

    def test_runs_from_the_student_to_the_teacher(self, graphs):
        student, teacher = (graph.detach() for graph in graphs)
        assert abs(mhgd_loss(student, teacher) - mhgd_loss(teacher, student)) > 1e-4
        assert mhgd_loss(teacher, teacher) == 0

    @pytest.mark.parametrize("says", [r"student_graphs must be square tables, got \(2, 5, 4\)"])
    def test_tables_that_are_not_square_are_answered_in_a_sentence(self, says):
        with pytest.raises(ValueError, match=says):
            mhgd_loss(torch.zeros(2, 5, 4), torch.zeros(2, 5, 4))

    def test_attention_scores_pairs_of_samples_head_by_head(self, sines):
        attention = seeded(lambda: Attention(5, 3, 4), 0)
        now, before = (sines(6, size, speed=0.7, dtype=torch.float32) for size in (5, 3))
        graphs = attention(now, before, True)
        sent = torch.nn.functional.batch_norm(attention.sender(now), None, None, training=True).view(6, 4, 4)
        received = torch.nn.functional.batch_norm(attention.receiver(before), None, None, training=True).view(6, 4, 4)
        assert_close(graphs[2], sent[:, :, 2] @ received[:, :, 2].mT)

    def test_estimator_leaves_out_heads_and_gives_directions(self, sines):
        estimator = seeded(lambda: Estimator(5, 3, 4), 0)
        given = sines(6, 3, speed=0.7, dtype=torch.float32), sines(4, 6, 6, speed=1.3, dtype=torch.float32)
        drawn = [estimator(*given, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        assert_close(drawn[0].norm(dim=1), torch.ones(6))
        assert drawn[0].equal(drawn[1]) and not drawn[0].equal(drawn[2])

    def test_first_stage_learns_the_teachers_graphs_from_the_teacher_alone(self, method, said, batch_of):
        batch, teacher = batch_of(torch.arange(6) % 4), said[1]
        (stage,) = method.preparation(torch.nn.Identity(), torch.nn.Identity())
        (update,) = stage.updates
        assert (stage.name, stage.share) == ("graphs", 0.4)
        assert list(update.trains) == [method.attention, method.estimators]
        learned = [p for module in update.trains for p in module.parameters()]
        optimiser, values = torch.optim.Adam(learned, 0.01), []
        for _ in range(40):
            value = method._rebuilding(teacher, batch)
            values.append(value.item())
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        assert all(p.grad is not None for p in learned) and sum(values[-5:]) < 0.8 * sum(values[:5])

    def test_in_the_second_stage_the_graphs_rest(self, method, said, batch_of):
        before = {name: value.clone() for name, value in method.state_dict().items()}
        (term,) = method.train().losses(*said, batch_of(torch.arange(6), step=1)).values()
        assert all(before[name].equal(value) for name, value in method.state_dict().items())
        assert method.adapters() == [method.projections] and not list(method.projections.parameters())
        assert term.weight == 1 and term.value > 0 and 0.7 < method.limit < 0.8

    def test_with_the_graphs_held_the_student_comes_nearer(self, method, said, batch_of):
        batch, maps = batch_of(torch.arange(6)), [stage.clone().requires_grad_() for stage in said[0].features]
        optimiser, values = torch.optim.Adam(maps, 0.02), []
        for _ in range(30):
            (term,) = method.losses(Outputs(said[0].logits, tuple(maps)), said[1], batch).values()
            values.append(term.value.item())
            optimiser.zero_grad()
            term.value.backward()
            optimiser.step()
        assert values[-1] < 0.5 * values[0]

    def test_compares_the_graphs_of_the_strongest_directions(self, method, said, batch_of):
        (term,) = method.losses(*said, batch_of(torch.arange(6))).values()
        layers = [compressed(s, taught(t, 1)) for s, t in zip(said[0].features, said[1].features)]
        (first, second), attention = layers, method.attention[0]
        graphs = [attention(second[i][:, :, 0], first[i][:, :, 0], False) for i in (0, 1)]
        assert_close(term.value, mhgd_loss(*graphs))
        (same,) = method.losses(said[1], said[1], batch_of(torch.arange(6))).values()
        assert same.value.item() == pytest.approx(0, abs=1e-6)

    def test_method_refuses_an_impossible_pair(self, setting):
        with pytest.raises(Refusal, match="student's stages have 3, 5 where the teacher's have 3, 6"):
            MHGD.build(setting([(3, 4, 4), (5, 2, 2)], [(3, 4, 4), (6, 2, 2)]))

    def test_projections_serve_a_narrower_student_and_leave_the_teacher_alone(self, setting, said, batch_of):
        make = lambda: MHGD.build(setting([(3, 4, 4), (5, 2, 2)], [(3, 4, 4), (7, 2, 2)]), projected=True)
        method, batch = seeded(make, 0), batch_of(torch.arange(6))
        assert sum(p.numel() for p in method.projections.parameters()) == 5 * 7 + 7
        wide = torch.cat([said[1].features[1], said[1].features[1][:, :2]], 1)
        teacher = Outputs(said[1].logits, (said[1].features[0], wide))
        (term,) = method.losses(said[0], teacher, batch).values()
        value = term.value + method._rebuilding(teacher, batch)
        value.backward()
        assert all(p.grad is not None for p in method.parameters())
