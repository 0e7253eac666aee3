"""Vision transformers: what they say, how they start, and what their two heads say together."""

import pytest
import torch
from torch import Tensor, nn

from kdcore.models import build, parameter_count
from kdcore.models.vit import VisionTransformer
from kdcore.randomness import seeded
from kdcore.tokens import TokenOutputs
from kdcore.types import Refusal

NAMES = ("vit-tiny-32", "deit-tiny-32", "vit-micro-32", "deit-micro-32", "digits-vit-teacher", "digits-vit-student")


@pytest.fixture
def digits() -> Tensor:
    return (torch.arange(3 * 64) * 37 % 256).to(torch.uint8).view(3, 1, 8, 8)


def small(**more) -> VisionTransformer:
    settings = {"size": 8, "patch": 2, "width": 12, "layers": 3, "heads": 2, "normalisation": "digits", **more}
    return seeded(lambda: VisionTransformer(10, **settings), 0)


class TestVisionTransformer:
    @pytest.mark.parametrize("distilled", [False, True])
    def test_parameters_are_the_sum_over_its_parts(self, distilled):
        width, special = 12, 2 if distilled else 1
        layer = 2 * 2 * width + (3 * width**2 + 3 * width) + (width**2 + width) + 8 * width**2 + 5 * width
        head = 10 * width + 10
        count = 4 * width + width + special * width + (16 + special) * width + 3 * layer + 2 * width + special * head
        assert parameter_count(small(distilled=distilled)) == count

    def test_says_states_attention_and_maps_of_every_layer(self, digits):
        said = small()(digits)
        assert isinstance(said, TokenOutputs) and said.special == 1 and said.grid == (4, 4)
        assert [state.shape for state in said.hidden] == [(3, 17, 12)] * 4 and said.tokens.shape == (3, 17, 12)
        assert [part.shape for part in said.attention] == [(3, 2, 17, 17)] * 3
        assert [part.shape for part in said.features] == [(3, 12, 4, 4)] * 3
        for state, feature in zip(said.hidden[1:], said.features):
            assert torch.equal(feature[:, :, 1, 2], state[:, 1 + 4 + 2])
        assert torch.equal(said.embedding, said.tokens[:, 0])

    def test_its_attention_is_the_one_it_works_with(self, digits):
        network = small()
        said, layer = network(digits), network.layers[1]
        mixed = layer.mix((said.attention[1] @ said.values[1]).transpose(1, 2).flatten(2))
        x = said.hidden[1] + mixed
        torch.testing.assert_close(x + layer.perceptron(layer.perceptron_norm(x)), said.hidden[2])

    def test_patches_are_read_row_by_row(self, digits):
        network = small()
        image = torch.zeros(1, 1, 8, 8)
        changed = image.clone()
        changed[0, 0, 2:4, 6:8] = 1.0  # second row, last column of patches
        before, after = (network(each).hidden[0] for each in (image, changed))
        assert (before != after).any(-1).nonzero()[:, 1].tolist() == [1 + 4 + 3]

    def test_starts_from_a_narrow_cut_normal_and_zero_biases(self):
        network = small(width=48)
        for module in (module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)):
            assert module.weight.abs().max() <= 2 and (module.bias == 0).all()
            assert module.weight.std().item() == pytest.approx(0.02, abs=5 * 0.02 / (2 * module.weight.numel()) ** 0.5)
        assert network.positions.std().item() == pytest.approx(0.02, rel=0.2)

    def test_small_ones_start_with_the_variance_of_what_they_read(self):
        network = small(width=48, start="fan-in")
        for module in (module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)):
            spread = module.weight.std().item() * module.weight[0].numel() ** 0.5  # the cut takes little off
            assert 0.85 - 5 / (2 * module.weight.numel()) ** 0.5 < spread < 1 + 5 / (2 * module.weight.numel()) ** 0.5
        assert network.positions.std().item() == pytest.approx(0.5, rel=0.2)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"patch": 3}, "patch must divide the size, got patches of 3 for images of 8"),
            ({"heads": 5}, "heads must divide the width, got 5 heads for a width of 12"),
        ],
    )
    def test_impossible_sizes_are_refused(self, settings, says):
        with pytest.raises(Refusal, match=says):
            small(**settings)

    def test_images_of_another_size_are_refused(self):
        with pytest.raises(ValueError, match="images must be 8 x 8, got 16 x 16"):
            small()(torch.zeros(2, 1, 16, 16))

    @pytest.mark.parametrize("name", NAMES)
    def test_named_ones_classify_what_they_are_named_for(self, name):
        classes, shape = (10, (1, 8, 8)) if name.startswith("digits") else (100, (3, 32, 32))
        network = build(name, classes).to("meta")
        said = network(torch.empty(2, *shape, device="meta"))
        assert said.logits.shape == (2, classes) and (said.distillation_logits is not None) == ("deit" in name)


class TestDistillationToken:
    def test_labels_reach_the_class_token_while_the_network_trains(self, digits):
        said = small(distilled=True)(digits)
        assert said.special == 2 and torch.equal(said.logits, said.class_logits)
        assert not torch.equal(said.logits, said.distillation_logits)

    def test_both_are_heard_once_it_is_judged(self, digits):
        said = small(distilled=True).eval()(digits)
        mean = (said.class_logits.softmax(1) + said.distillation_logits.softmax(1)) / 2
        torch.testing.assert_close(said.logits.softmax(1), mean)

    def test_the_released_code_averages_scores(self, digits):
        said = small(distilled=True, fusion="logits").eval()(digits)
        torch.testing.assert_close(said.logits, (said.class_logits + said.distillation_logits) / 2)

    def test_an_even_answer_changes_no_choice(self, digits):
        """A head that nothing taught says the same of every class, nearly: the mean then follows the other."""
        network = small(distilled=True).eval()
        nn.init.zeros_(network.distillation_classifier.weight)
        nn.init.normal_(network.classifier.weight)
        said = network(digits)
        assert torch.equal(said.logits.argmax(1), said.class_logits.argmax(1))

    def test_it_is_there_only_where_asked_for(self, digits):
        said = small()(digits)
        assert said.distillation_logits is None and said.class_logits is None
