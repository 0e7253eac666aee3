"""What a reader may rely on when networks share their lower layers, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.models import build
from kdcore.models.digits import DigitNetwork
from kdcore.randomness import seeded
from kdcore.schemes.online import _branches
from kdcore.schemes.online._branches import Branches, Together, ramp
from kdcore.types import Outputs, Refusal


@pytest.fixture
def images(toy):
    return toy.patterns().inputs[:8]


def networks(count: int = 3, width: int = 4) -> list[nn.Module]:
    return [seeded(lambda: DigitNetwork(4, width=width, depth=1), number, "branch") for number in range(count)]


class TestBranches:
    def test_every_network_answers_alone_as_in_company(self, images):
        branches = Branches(*networks(), sample=images[:2]).eval()
        said = branches(images)
        for network, logits, embedding in zip(branches.networks, said.each, said.embeddings):
            alone = network(images)
            torch.testing.assert_close(alone.logits, logits)
            torch.testing.assert_close(alone.embedding, embedding)
        torch.testing.assert_close(said.logits, sum(said.each) / 3)

    def test_lower_layers_are_the_first_networks_and_upper_ones_everybodys_own(self, images):
        made = networks()
        before = made[1].stages[1].layers[0].conv.weight.clone()
        first, second, third = Branches(*made, sample=images[:2]).networks
        assert first.stages[0] is second.stages[0] is third.stages[0] and first.normalise is second.normalise
        assert first.stages[1] is not second.stages[1] and first.classifier is not second.classifier
        assert torch.equal(second.stages[1].layers[0].conv.weight, before)

    def test_shared_layers_answer_once(self, images):
        branches, asked = Branches(*networks(), sample=images[:2]), []
        branches.networks[0].stages[0].register_forward_hook(lambda *_: asked.append(1))
        branches(images)
        assert asked == [1]

    def test_the_projects_residual_networks_can_be_cut_anywhere(self):
        images = torch.rand(2, 3, 32, 32)
        for cut, channels in ((1, 16), (2, 32)):
            branches = Branches(*(build("resnet8", 10, role=f"b{n}") for n in range(2)), sample=images, cut=cut).eval()
            assert branches.channels == channels and branches.networks[1].stem is branches.networks[0].stem
            torch.testing.assert_close(branches(images).each[1], branches.networks[1](images).logits)

    def test_rescaled_divides_what_enters_the_shared_layers_and_nothing_else(self, images):
        slopes = {}
        for rescaled in (False, True):
            branches = Branches(*networks(), sample=images[:2], rescaled=rescaled)
            sum(logits.square().sum() for logits in branches(images).each).backward()
            slopes[rescaled] = {name: weight.grad for name, weight in branches.named_parameters()}
        for name, slope in slopes[False].items():
            shared = ".stages.0." in name
            torch.testing.assert_close(slopes[True][name], slope / 3 if shared else slope)

    @pytest.mark.parametrize(
        ("count", "cut", "says"),
        [(1, None, "at least 2 different networks, got 1"), (2, 2, "after stage 1 to 1, got 2"), (2, 0, "got 0")],
    )
    def test_bad_input_is_answered_in_a_sentence(self, images, count, cut, says):
        with pytest.raises(Refusal, match=says):
            Branches(*networks(count), sample=images[:2], cut=cut)

    @pytest.mark.parametrize("says", ["Net cannot be run stage by stage"])
    def test_networks_of_another_form_are_refused(self, toy, images, says):
        with pytest.raises(Refusal, match=says):
            Branches(toy.network(), toy.network("other"), sample=images[:2])


class TestTogether:
    def test_asks_each_once_and_shares_nothing(self, images):
        together = Together(*networks()).eval()
        said = together(images)
        assert isinstance(said, Outputs) and said.shared is None
        assert all(torch.equal(network(images).logits, logits) for network, logits in zip(together.networks, said.each))
        one, other, _ = together.networks
        assert one.stages[0] is not other.stages[0]


class TestRamp:
    def test_examples_hold(self):
        import doctest

        assert doctest.testmod(_branches).failed == 0

    def test_is_the_codes_rise_over_80_of_300_epochs(self):
        """exp(-5 (1 - e / 80)^2), which is 1 from epoch 80 on."""
        rise = ramp(80 / 300)
        for epoch in (0, 30, 79):
            expected = 2.718281828459045 ** (-5 * (1 - epoch / 80) ** 2)
            assert rise(epoch / 300) == pytest.approx(expected, rel=1e-9)
        assert rise(80 / 300) == rise(0.9) == 1.0
