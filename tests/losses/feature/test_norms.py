"""What a reader may rely on in the batch norms of adapters, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.losses.feature._norms import SteadyNorm1d, SteadyNorm2d

KINDS = [(SteadyNorm1d, nn.BatchNorm1d, (6, 3)), (SteadyNorm2d, nn.BatchNorm2d, (2, 3, 2, 2))]


@pytest.mark.parametrize(("mine", "torchs", "shape"), KINDS)
class TestSteadyNorm:
    def test_is_torchs_where_there_is_a_spread(self, mine, torchs, shape, sines):
        values, one, other = sines(*shape, speed=0.7), mine(3).double(), torchs(3).double()
        assert torch.equal(one(values), other(values)) and torch.equal(one.running_var, other.running_var)
        assert torch.equal(one.eval()(values), other.eval()(values))

    def test_one_value_is_normalised_by_what_is_known_and_teaches_nothing(self, mine, torchs, shape, sines):
        one, lone = mine(3).double(), sines(1, *shape[1:2], *[1] * (len(shape) - 2), speed=0.7)
        one.running_mean.fill_(2.0)
        one.running_var.fill_(4.0)
        torch.testing.assert_close(one(lone), (lone - 2) / 2, rtol=1e-4, atol=1e-4)
        assert one.running_mean.eq(2).all() and one.num_batches_tracked == 0
        with pytest.raises(ValueError, match="more than 1 value"):
            torchs(3).double()(lone)
