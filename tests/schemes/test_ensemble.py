"""What several networks answer as one."""

import pytest
import torch

from kdcore.schemes.ensemble import MeanOf
from kdcore.types import Outputs


class Says(torch.nn.Module):
    def __init__(self, *probabilities: float):
        super().__init__()
        self.logits = torch.tensor([probabilities]).log()

    def forward(self, inputs):
        return Outputs(self.logits.expand(len(inputs), -1) + 7)  # a shift that no probability sees


class TestMeanOf:
    def test_averages_probabilities_not_scores(self):
        said = MeanOf(Says(0.9, 0.1), Says(0.5, 0.5))(torch.zeros(3)).logits
        torch.testing.assert_close(said.exp(), torch.tensor([[0.7, 0.3]]).expand(3, -1))

    def test_of_one_network_is_that_network_up_to_a_shift(self):
        torch.testing.assert_close(MeanOf(Says(0.8, 0.2))(torch.zeros(1)).logits.softmax(1), torch.tensor([[0.8, 0.2]]))

    def test_stays_finite_where_networks_are_certain_of_different_classes(self):
        said = MeanOf(Says(1.0, 1e-30), Says(1e-30, 1.0))(torch.zeros(1)).logits
        torch.testing.assert_close(said.exp(), torch.tensor([[0.5, 0.5]]))

    def test_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="at least one network, got none"):
            MeanOf()
