"""The shipped tables, and what reads them."""

import pytest
import torch

from kdcore.schemes.offline.compression.tabular import Perceptron, table
from kdcore.types import Refusal


class TestTable:
    @pytest.mark.parametrize(
        ("name", "samples", "attributes", "classes"),
        [("breast-cancer", 569, 30, 2), ("wine", 178, 13, 3), ("digits-pixels", 1797, 64, 10)],
    )
    def test_has_its_sizes_and_is_scaled_by_its_training_half(self, name, samples, attributes, classes):
        data = table(name)
        test = data.splits["test"]
        assert len(data) + len(test) == samples and data.inputs.shape[1] == attributes and data.classes == classes
        moving = data.inputs.amax(0) > data.inputs.amin(0)
        assert data.inputs[:, moving].amin(0).eq(0).all() and data.inputs[:, moving].amax(0).eq(1).all()
        assert test.inputs.min() >= 0 and test.inputs.max() <= 1

    def test_splits_every_class_alike_and_always_the_same(self):
        data = table("wine")
        counts, tested = (part.targets.bincount().tolist() for part in (data, data.splits["test"]))
        assert all(abs(a - b) <= 1 for a, b in zip(counts, tested))
        assert torch.equal(table("wine").inputs, data.inputs) and table("wine").digest == data.digest

    def test_no_sample_is_on_both_sides(self):
        data = table("breast-cancer")
        both = torch.cat([data.inputs, data.splits["test"].inputs])
        assert len(both.unique(dim=0)) == len(both)

    def test_an_unknown_table_is_refused(self):
        with pytest.raises(Refusal, match="breast-cancer, wine, digits-pixels, got 'iris'"):
            table("iris")


class TestPerceptron:
    def test_says_what_every_network_says(self):
        network = Perceptron(64, 10, hidden=8)
        said = network(torch.rand(3, 1, 8, 8))
        assert said.logits.shape == (3, 10) and said.embedding.shape == (3, 8)
        assert torch.equal(said.features[0], said.preactivations[0].relu())
