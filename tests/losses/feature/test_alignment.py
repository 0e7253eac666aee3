"""Maps of two networks are brought together as the losses say."""

import pytest
import torch
from torch import nn

from kdcore.losses._common import unit
from kdcore.losses.feature._alignment import aligned, on_preactivations, pointwise


class TestAlignment:
    def test_each_side_shrinks_to_the_smaller_of_both(self):
        student, teacher = torch.ones(2, 3, 4, 8).requires_grad_(), torch.ones(2, 5, 8, 2).requires_grad_()
        one, other = aligned(student, teacher)
        assert one.shape == (2, 3, 4, 2) and other.shape == (2, 5, 4, 2)
        assert one.requires_grad and not other.requires_grad

    def test_equal_sizes_pass_untouched_and_half_types_are_widened(self):
        maps = torch.ones(2, 3, 4, 4, dtype=torch.float16)
        one, _ = aligned(maps, maps)
        assert one.dtype == torch.float32 and torch.equal(one, maps.float())
        double = maps.double()
        assert aligned(double, double)[0].data_ptr() == double.data_ptr()

    def test_a_vector_without_direction_stays_and_its_gradient_stays_small(self):
        values = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
        long = unit(values)
        assert long.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
        (gradient,) = torch.autograd.grad(long.sum(), values)
        assert gradient[1].tolist() == [1, 1]

    def test_convolutions_stand_only_where_channels_differ(self):
        assert isinstance(pointwise(4, 4), nn.Identity) and pointwise(4, 6).weight.shape == (6, 4, 1, 1)

    def test_pre_activations_take_the_place_of_features(self, sized):
        from dataclasses import replace

        setting = sized([(4, 8, 8)], [(6, 8, 8)])
        answers = {
            whose: replace(said, preactivations=tuple(m.repeat(1, 2, 1, 1) for m in said.features))
            for whose, said in (("student", setting.student), ("teacher", setting.teacher))
        }
        moved, pairs = on_preactivations(replace(setting, **answers), None)
        assert pairs == ((0, 0),) and moved.student.features[0].shape[1] == 8
