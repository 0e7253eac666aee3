"""What a reader may rely on in both losses that go by the name of correlation, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import cc_channel_loss, cc_loss
from kdcore.losses.relation.correlation import CC, CCChannel
from kdcore.randomness import seeded
from kdcore.types import Outputs, Refusal


def cosine(x: list[float], y: list[float]) -> float:
    return sum(a * b for a, b in zip(x, y)) / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


def pearson(x: list[float], y: list[float]) -> float:
    x, y = ([a - sum(z) / len(z) for a in z] for z in (x, y))
    return cosine(x, y)


class TestCC:
    def test_value_worked_by_hand(self):
        apart, same = torch.eye(2), torch.tensor([[1.0], [4.0]])
        off = math.exp(-0.8) * (0.8 + 0.8**2 / 2)  # what a cosine of 1 has over one of 0
        assert cc_loss(apart, same).item() == pytest.approx(2 * off**2 / 4, rel=1e-5)

    @pytest.mark.parametrize(("gamma", "order"), [(0.4, 2), (1.5, 1), (0.1, 5)])
    def test_is_the_series_of_the_kernel(self, embeddings, gamma, order):
        tables = []
        for rows in (features.tolist() for features in embeddings):
            series = lambda c: sum((2 * gamma * c) ** p / math.factorial(p) for p in range(order + 1))
            tables.append([[math.exp(-2 * gamma) * series(cosine(x, y)) for y in rows] for x in rows])
        squares = sum((a - b) ** 2 for p, q in zip(*tables) for a, b in zip(p, q))
        assert cc_loss(*embeddings, gamma=gamma, order=order).item() == pytest.approx(squares / 64, rel=1e-9)

    def test_agrees_with_other_peoples_code(self, embeddings, reference, found, theirs):
        for known in reference("cc"):
            mine = found(cc_loss(*embeddings, **known["settings"]), embeddings[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_a_long_series_is_the_gaussian_kernel(self, embeddings):
        kernel = lambda rows: torch.exp(-0.4 * torch.cdist(rows, rows).square())
        tables = [kernel(torch.nn.functional.normalize(rows)) for rows in embeddings]
        assert_close(cc_loss(*embeddings, order=12), (tables[0] - tables[1]).square().mean(), rtol=1e-8, atol=0)

    def test_lengths_count_for_nothing_and_directions_do(self, embeddings):
        student, teacher = embeddings
        lengths = torch.linspace(0.1, 9, 8, dtype=torch.float64)[:, None]
        assert_close(cc_loss(lengths * student, teacher), cc_loss(student, teacher))
        assert cc_loss(teacher, teacher) == 0 and cc_loss(teacher + 1, teacher) > 1e-4

    @pytest.mark.parametrize(
        ("options", "says"),
        [({"gamma": 0.0}, "gamma must be above 0, got 0"), ({"order": 0}, "order must be at least 1")],
    )
    def test_bad_numbers_are_answered_in_a_sentence(self, embeddings, options, says):
        with pytest.raises(ValueError, match=says):
            cc_loss(*embeddings, **options)

    def test_method_has_the_weight_of_the_published_code(self, embeddings, batch_of, labels, setting):
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows) for rows in embeddings)
        (term,) = CC.build(setting()).losses(student, teacher, batch_of(labels)).values()
        assert term.weight == 100 and term.value == cc_loss(*embeddings)


class TestCCChannel:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[0.0, 1.0]], [[5.0, 3.0]]], [[[2.0, 3.0]], [[1.0, -1.0]]]])  # 0 1 2 3, 5 3 1 -1
        teacher = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]], [[[1.0, 0.0]], [[1.0, 0.0]]]])  # 0 1 1 0, 1 0 1 0
        assert cc_channel_loss(student, teacher).item() == pytest.approx(2 * (-1 - 0) ** 2 / 4, rel=1e-5)

    def test_is_the_equation_as_printed(self, maps):
        tables = []
        for features in maps:
            channels = features.detach().transpose(0, 1).flatten(1).tolist()
            tables.append([[pearson(x, y) for y in channels] for x in channels])
        squares = sum((a - b) ** 2 for p, q in zip(*tables) for a, b in zip(p, q))
        assert cc_channel_loss(*maps).item() == pytest.approx(squares / 36, rel=1e-9)

    def test_means_and_scales_of_channels_count_for_nothing(self, maps):
        student, teacher = maps
        scale = torch.tensor([1.0, 2.0, 0.1, 7.0, 3.0, 0.5], dtype=torch.float64)[:, None, None]
        assert_close(cc_channel_loss(scale * student + 3, teacher), cc_channel_loss(student, teacher))
        assert cc_channel_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-30)
        assert cc_channel_loss(student[:, [1, 0, 2, 3, 4, 5]], teacher) != cc_channel_loss(student, teacher)

    def test_is_between_channels_where_the_papers_is_between_samples(self, maps):
        """Another order of the student's samples leaves the one as it is, and changes the other (errata Z-02)."""
        student, teacher = maps
        order = torch.tensor([2, 0, 3, 1])
        assert_close(cc_channel_loss(student[order], teacher), cc_channel_loss(student, teacher))
        assert abs(cc_loss(student[order], teacher) - cc_loss(student, teacher)) > 1e-4

    def test_maps_of_other_sizes_compare(self, maps, sines):
        larger = sines(4, 6, 7, 5, speed=1.3)
        assert cc_channel_loss(maps[0], larger).isfinite() and cc_channel_loss(maps[0], larger) > 0

    def test_dead_channels_correlate_with_nothing(self, maps):
        student = maps[0].detach().clone()
        student[:, 2] = 0.1
        value = cc_channel_loss(student.requires_grad_(), maps[1])
        assert value.isfinite() and torch.autograd.grad(value, student)[0].isfinite().all()
        assert cc_channel_loss(torch.zeros_like(student), torch.zeros_like(student)) == 0

    @pytest.mark.parametrize("says", [r"must have as many channels, got 6 and 3"])
    def test_other_channels_are_answered_in_a_sentence(self, maps, says):
        with pytest.raises(ValueError, match=says):
            cc_channel_loss(maps[0], maps[1][:, :3])

    def test_method_brings_the_student_to_the_teachers_channels(self, maps, sines, batch_of, setting):
        make = lambda: CCChannel.build(setting([(4, 4, 4)], [(6, 8, 8)]))
        method = seeded(make, 0)
        student, teacher = (m.float() for m in (sines(4, 4, 4, 4, speed=0.7), maps[1]))
        given = Outputs(student[:, :, 0, 0], (student,)), Outputs(teacher[:, :, 0, 0], (teacher,))
        (term,) = method.losses(*given, batch_of(torch.arange(4))).values()
        assert term.weight == 1 and term.value == cc_channel_loss(method.projection(student), teacher)
        assert method.adapters() == [method.projection]

    def test_method_adds_nothing_where_channels_are_equal(self, setting):
        assert not list(CCChannel.build(setting([(6, 4, 4)], [(6, 8, 8)])).parameters())

    @pytest.mark.parametrize(
        ("stages", "settings", "says"),
        [
            ((), {}, "the student names no stage in `features`"),
            (((6, 4, 4),), {"teacher_stage": 2}, "the teacher has 1 stages, got stage 2"),
            (((6,),), {}, r"stage 0 of the student must be a map \(channels, height, width\), got \(6,\)"),
        ],
    )
    def test_method_refuses_what_is_no_map(self, setting, stages, settings, says):
        with pytest.raises(Refusal, match=says):
            CCChannel.build(setting(stages, stages), **settings)
