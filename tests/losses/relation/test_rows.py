"""What a reader may rely on in distances and directions, and in what one sample costs."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from kdcore.losses import (
    category_structure_kd_loss,
    cc_loss,
    darkrank_loss,
    mhgd_loss,
    pkt_loss,
    rkd_loss,
    rkd_survey_loss,
    sp_loss,
    sp_survey_loss,
    structural_generic_loss,
)
from kdcore.losses._common import unit
from kdcore.losses.relation._rows import as_rows, centred_unit, distances, gram, squared_distances

LOSSES = [cc_loss, darkrank_loss, pkt_loss, rkd_loss, sp_loss, sp_survey_loss, structural_generic_loss]


class TestDistances:
    def test_are_those_of_all_pairs(self, embeddings):
        rows = embeddings[0].detach()
        naive = [[sum((a - b) ** 2 for a, b in zip(x, y)) for y in rows.tolist()] for x in rows.tolist()]
        torch.testing.assert_close(squared_distances(rows), torch.tensor(naive, dtype=torch.float64))

    def test_of_one_point_are_zero_and_have_no_slope(self):
        rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [300.0, -4.0]]).requires_grad_()
        found = distances(squared_distances(rows))
        assert found[0, 1] == 0 and found[0, 2] > 0
        (slope,) = torch.autograd.grad(found[0, 1] + found.diagonal().sum(), rows)
        assert (slope == 0).all()

    @pytest.mark.parametrize("shift", [0.0, 1e3])
    def test_are_right_far_from_the_origin_too(self, embeddings, shift):
        rows = embeddings[0].detach().float()
        moved = squared_distances(rows + shift)
        torch.testing.assert_close(moved, squared_distances(rows.double()).float(), rtol=2e-3, atol=1e-2)

    def test_what_rounding_leaves_of_a_distance_counts_as_none(self):
        rows = torch.randn(1, 512, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
        rows[1] += 1e-5 * rows[2].abs()  # closer than single precision can tell from products of such rows
        rows[2] += 1
        found = squared_distances(rows)
        assert found[0, 1] == 0 and found[0, 2].item() == pytest.approx(512, rel=1e-4)


class TestGram:
    """Products of all rows with all rows, whose gradient is written by hand."""

    def test_value_and_gradients_are_those_of_the_product(self, embeddings):
        rows = embeddings[0].detach().double().requires_grad_()
        weight = torch.arange(len(rows) ** 2, dtype=torch.float64).view(len(rows), len(rows)).sin()
        ours, plain = gram(rows), rows @ rows.mT
        assert torch.equal(ours, plain)
        given = [torch.autograd.grad((weight * made).sum(), rows)[0] for made in (ours, plain)]
        assert_close(*given, rtol=1e-12, atol=1e-12)

    def test_second_differences_agree(self, embeddings):
        rows = embeddings[0][:3, :4].detach().double().requires_grad_()
        assert gradcheck(gram, rows) and gradgradcheck(gram, rows)

    def test_autocast_narrows_neither_the_products_nor_their_gradient(self, embeddings):
        rows = embeddings[0].detach().float().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = gram(rows)
            (slope,) = torch.autograd.grad(made.sum(), rows)
        assert made.dtype == torch.float32
        assert_close(slope, 2 * rows.detach().sum(0).expand_as(rows), rtol=1e-5, atol=1e-5)


class TestDirections:
    def test_zeros_have_none_and_get_a_gradient_of_ordinary_size(self):
        rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
        torch.testing.assert_close(unit(rows), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
        (slope,) = torch.autograd.grad(unit(rows).sum(), rows)
        assert slope[1].abs().max() <= 1

    def test_a_constant_correlates_with_nothing(self):
        rows = torch.tensor([[1.0, 2.0, 3.0], [0.1, 0.1, 0.1], [1e8, 1e8, 1e8]])
        found = centred_unit(rows)
        half = 1 / math.sqrt(2)
        torch.testing.assert_close(found, torch.tensor([[-half, 0.0, half], [0.0] * 3, [0.0] * 3]))


class TestOneSample:
    """A relation of one sample is exactly 0, and so is its gradient."""

    def check(self, loss, *given, **named):
        student = given[0].requires_grad_()
        value = loss(student, *given[1:], **named)
        (slope,) = torch.autograd.grad(value, student)
        assert value.item() == 0 and value.shape == () and (slope == 0).all()

    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("scale", [1.0, 1e-3, 500.0])
    def test_costs_nothing(self, loss, scale, sines):
        self.check(loss, scale * sines(1, 10, speed=0.7), sines(1, 6, speed=1.3))

    @pytest.mark.parametrize("loss", [rkd_survey_loss, category_structure_kd_loss])
    def test_costs_nothing_with_a_label(self, loss, sines):
        self.check(loss, sines(1, 10, speed=0.7), sines(1, 6, speed=1.3), torch.tensor([3]))

    def test_costs_nothing_in_the_other_forms(self, sines):
        given = sines(1, 10, speed=0.7), sines(1, 6, speed=1.3)
        self.check(darkrank_loss, *given, form="soft")
        self.check(pkt_loss, *given, form="mean")
        self.check(mhgd_loss, sines(2, 1, 1, speed=0.7), sines(2, 1, 1, speed=1.3))


class TestRows:
    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_features": torch.zeros(3, 6)}, ValueError, "must hold the same samples, got 8 and 3 of them"),
            ({"student_features": torch.zeros(8)}, ValueError, r"student_features must have shape \(batch, ...\)"),
            ({"teacher_features": torch.zeros(8, 6).int()}, TypeError, "teacher_features must hold floating-point"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, loss, embeddings, change, error, says):
        with pytest.raises(error, match=says):
            loss(**dict(zip(("student_features", "teacher_features"), embeddings)) | change)

    def test_maps_become_rows_and_the_teacher_a_constant(self, maps):
        student, teacher = as_rows(maps[0], maps[1].requires_grad_())
        assert student.shape == (4, 96) and student.requires_grad and not teacher.requires_grad
