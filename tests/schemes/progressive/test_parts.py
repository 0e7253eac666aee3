"""What a reader may rely on when networks are taken apart, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.models import build
from kdcore.schemes.progressive._parts import Portion, Staged, evaluating, reached
from kdcore.types import Outputs, Refusal

STAGED = (
    "resnet20",
    "resnet20-a",
    "resnet8x4",
    "vgg8",
    "mobilenetv2",
    "shufflenetv1",
    "shufflenetv2",
    "digits-student",
)


def images(name: str) -> torch.Tensor:
    shape = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))


class TestReached:
    def test_finds_what_each_layer_depends_on_and_nothing_above(self, staged):
        network = staged.network()
        first, second = (reached(network, staged.sample, lambda said, n=n: said.features[n]) for n in (0, 1))
        assert first == {name for name, _ in network.named_parameters() if name.startswith("stages.0.")}
        assert second - first == {name for name, _ in network.named_parameters() if name.startswith("stages.1.")}
        whole = reached(network, staged.sample, lambda said: said.logits)
        assert whole == {name for name, _ in network.named_parameters()}

    def test_leaves_no_trace(self, staged):
        network = staged.network().train()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        reached(network, staged.sample, lambda said: said.logits)
        assert network.training and all(weight.grad is None for weight in network.parameters())
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class TestPortion:
    def test_trains_its_parameters_and_puts_the_layers_that_own_them_in_train_mode(self, staged):
        network = staged.network().eval().requires_grad_(False)
        names = {name for name, _ in network.named_parameters() if name.startswith("stages.1.")}
        portion = Portion(network, names).train().requires_grad_(True)
        learning = {name for name, weight in network.named_parameters() if weight.requires_grad}
        assert learning == names and {id(w) for w in portion.parameters()} == {
            id(weight) for name, weight in network.named_parameters() if name in names
        }
        assert network.stages[1].layers[0].norm.training and not network.stages[0].layers[0].norm.training


class TestEvaluating:
    def test_every_module_gets_its_own_mode_back(self):
        network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
        with evaluating(network):
            assert not any(module.training for module in network.modules())
        assert network.training and network[0].training and not network[1].training


class TestStaged:
    @pytest.mark.parametrize("name", STAGED)
    def test_the_way_through_the_stages_is_the_way_through_the_network(self, name):
        network, inputs = build(name, 10).eval(), images(name)
        staged, said = Staged(network, inputs), network(inputs)
        x = staged.begin(inputs)
        for number, (feature, shape) in enumerate(zip(said.features, staged.outside)):
            assert tuple(x.shape[1:]) == staged.inside[number]
            x = staged.stage(number, x)
            assert torch.equal(x, feature) and tuple(x.shape[1:]) == shape
        answer = staged.finish(x)
        assert torch.equal(answer.logits, said.logits) and torch.equal(answer.embedding, said.embedding)

    def test_its_mode_and_statistics_stay(self, staged):
        network = staged.network().train()
        before = network.stages[0].layers[0].norm.running_mean.clone()
        Staged(network, staged.sample)
        assert network.training and torch.equal(network.stages[0].layers[0].norm.running_mean, before)

    def test_another_form_is_refused_even_with_the_same_names(self, toy, staged):
        with pytest.raises(Refusal, match="Net cannot be run stage by stage"):
            Staged(toy.network(), staged.sample)

        class Doubling(type(staged.network())):
            def forward(self, inputs: torch.Tensor) -> Outputs:
                said = super().forward(inputs)
                return Outputs(2 * said.logits, said.features)

        with pytest.raises(Refusal, match="Doubling cannot be run stage by stage"):
            Staged(Doubling(4, width=4, depth=1), staged.sample)

    def test_wide_residual_networks_are_refused(self):
        with pytest.raises(Refusal, match="WideResNet cannot be run stage by stage"):
            Staged(build("wrn-16-1", 10), images("wrn"))
