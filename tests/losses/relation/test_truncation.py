"""What a reader may rely on in a gradient that may not pull harder than the task's."""

import pytest
import torch
from torch import nn

from kdcore.losses.relation._truncation import leave, truncated_backward
from kdcore.types import Term


class TestTruncation:
    @pytest.fixture
    def weights(self):
        """One that both losses reach, one that the task reaches alone, one of an adapter."""
        return [nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(3)]

    def terms(self, weights, loud: float):
        both, task, adapter = weights
        return {
            "task": Term((3 * both[0] + 4 * both[1]) + task.sum()),  # a gradient of length 5 on `both`
            "extra": Term(both[0] - both[1] + adapter.sum(), loud),
        }

    def test_a_louder_loss_is_cut_to_the_length_of_the_tasks(self, weights):
        truncated_backward(self.terms(weights, 1000.0), weights, ("extra",), 1.0)
        both, task, adapter = (weight.grad for weight in weights)
        extra = both - torch.tensor([3.0, 4.0])
        torch.testing.assert_close(extra, 5 * torch.tensor([1.0, -1.0]) / 2**0.5)
        assert task.tolist() == [1, 1] and adapter.tolist() == [1000, 1000]

    def test_the_limit_is_a_part_of_that_length(self, weights):
        truncated_backward(self.terms(weights, 1000.0), weights, ("extra",), 0.5)
        assert (weights[0].grad - torch.tensor([3.0, 4.0])).norm().item() == pytest.approx(2.5)

    def test_a_softer_loss_is_left_as_it_is(self, weights):
        truncated_backward(self.terms(weights, 0.1), weights, ("extra",), 1.0)
        torch.testing.assert_close(weights[0].grad, torch.tensor([3.1, 3.9]))

    def test_a_silent_loss_leaves_no_trace(self, weights):
        terms = self.terms(weights, 1.0)
        terms["extra"] = Term(0 * weights[0].sum())
        truncated_backward(terms, weights, ("extra",), 1.0)
        assert weights[0].grad.tolist() == [3, 4] and weights[2].grad is None

    def test_leave_grows_from_a_half_to_the_whole(self):
        assert leave(0.0) == 0.5 and leave(0.02) == pytest.approx(0.8808, abs=1e-4) and leave(1.0) == 1
