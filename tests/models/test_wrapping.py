"""Any network takes part by naming its layers, and stays what it was."""

import copy
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.models import Normalise, wrap
from kdcore.types import Refusal


class Small(nn.Module):
    """A network of somebody else: in-place activations, one of them used twice."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.more = nn.Conv2d(4, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.more(self.relu(self.body(images))))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def images() -> Tensor:
    return torch.sin(torch.arange(2 * 3 * 8 * 8.0)).view(2, 3, 8, 8)


@pytest.fixture
def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def wrapped(network: nn.Module):
    return wrap(network, layers=["body", "relu"], preactivations=["body.1", "more"], embedding="head:input")


class TestWrap:
    def test_named_layers_come_back_as_outputs(self, small, images):
        said = wrapped(small)(images)
        norm = small.body[1](small.body[0](images))
        second = small.more(norm.relu())
        expected = {
            "features": (norm.relu(), second.relu()),
            "preactivations": (norm, second),
            "embedding": second.relu().mean((2, 3)),
            "logits": small.head(second.relu().mean((2, 3))),
        }
        for name, value in expected.items():
            torch.testing.assert_close(getattr(said, name), value)

    def test_what_a_layer_is_given_can_be_named(self, small, images):
        said = wrap(small, layers=["relu"], preactivations=["relu:input"])(images)
        assert torch.equal(said.features[0], said.preactivations[0].relu()) and (said.preactivations[0] < 0).any()

    def test_the_network_is_not_edited(self, small, images):
        before = small(images.clone())
        wrapped(small)(images)
        assert small.relu.inplace and small.body[2].inplace
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in small.modules())
        assert torch.equal(before, small(images.clone()))

    def test_hooks_and_switches_are_put_back_when_the_network_raises(self, small):
        with pytest.raises(RuntimeError):
            wrapped(small)(torch.zeros(2, 7, 8, 8))
        assert small.relu.inplace
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in small.modules())

    def test_a_copy_listens_to_itself(self, small, images):
        first = wrapped(small)
        second = copy.deepcopy(first)
        with torch.no_grad():
            second.network.body[0].weight.zero_()
        assert not torch.equal(first(images).features[0], second(images).features[0])
        torch.testing.assert_close(first(images).logits, small(images.clone()))

    def test_its_state_is_that_of_the_network(self, small, images):
        state = wrapped(small).state_dict()
        assert state.keys() == {f"network.{name}" for name in small.state_dict()}
        other = wrapped(Small().eval())
        other.load_state_dict(state)
        assert torch.equal(other(images).features[1], wrapped(small)(images).features[1])

    def test_a_layer_put_in_place_of_another_is_heard(self, small, images):
        network = wrapped(small)
        small.more = nn.Conv2d(4, 9, 3)
        small.head = nn.Linear(9, 5)
        assert network(images).features[1].shape[1] == 9

    def test_gradients_flow_through_what_was_heard(self, small, images):
        wrapped(small)(images).preactivations[0].sum().backward()
        assert small.body[1].weight.grad is not None and small.more.weight.grad is None

    def test_inference_mode_is_allowed(self, small, images):
        with torch.inference_mode():
            assert len(wrapped(small)(images).features) == 2

    def test_maps_of_one_pixel_become_vectors(self, images):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        assert wrap(network, embedding="1")(images).embedding.shape == (2, 4)

    def test_normalisation_is_carried(self, small):
        whole = (torch.arange(2 * 3 * 64) % 256).to(torch.uint8).view(2, 3, 8, 8)
        expected = small(Normalise.named("imagenet")(whole))
        by_name, by_numbers = (
            wrap(small, normalise=how) for how in ("imagenet", ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        )
        torch.testing.assert_close(by_name(whole).logits, expected)
        torch.testing.assert_close(by_numbers(whole).logits, expected)

    def test_a_torchvision_network_takes_part(self, images):
        from torchvision.models import resnet18

        network = wrap(
            resnet18(num_classes=7),
            layers=["layer1", "layer2", "layer3", "layer4"],
            preactivations=[f"layer{n}.1.relu:input" for n in range(1, 5)],
            embedding="fc:input",
        )
        said = network(F.interpolate(images, 64))
        assert [value.shape[1] for value in said.features] == [64, 128, 256, 512]
        pairs = zip(said.features, said.preactivations, strict=True)
        assert all(torch.equal(value, before.relu()) and (before < 0).any() for value, before in pairs)
        assert said.embedding.shape == (2, 512) and said.logits.shape == (2, 7)

    @pytest.mark.parametrize("kind", ["field", "key", "tuple"])
    def test_logits_are_found_in_what_is_returned(self, kind, images):
        @dataclass
        class Answer:
            logits: Tensor

        class Other(nn.Module):
            def forward(self, images: Tensor):
                logits = images.mean((2, 3))
                return {"field": Answer(logits), "key": {"logits": logits}, "tuple": (logits, None)}[kind]

        torch.testing.assert_close(wrap(Other())(images).logits, images.mean((2, 3)))

    def test_inputs_of_several_parts_are_handed_over_by_name(self):
        class Two(nn.Module):
            def forward(self, *, tokens: Tensor, mask: Tensor) -> Tensor:
                return tokens * mask

        said = wrap(Two())({"mask": torch.tensor([[0.0, 1.0]]), "tokens": torch.tensor([[2.0, 3.0]])})
        assert said.logits.tolist() == [[0.0, 3.0]]


class TestRefusals:
    @pytest.mark.parametrize(
        ("named", "says"),
        [
            ({"layers": ["bodi"]}, "no layer is called 'bodi', the nearest name is 'body'"),
            ({"embedding": "heed:input"}, "no layer is called 'heed', the nearest name is 'head'"),
            ({"layers": ["body:output"]}, "may end in ':input' alone, got 'body:output'"),
            ({"layers": ["body", "relu"], "preactivations": ["more"]}, "one layer for each of the 2 in layers, got 1"),
            ({"normalise": "mnist"}, "normalisation must be one of"),
        ],
    )
    def test_names_that_do_not_exist_are_answered_in_a_sentence(self, small, named, says):
        with pytest.raises(Refusal, match=says):
            wrap(small, **named)

    def test_a_layer_that_takes_no_part_is_named(self, small, images):
        with pytest.raises(Refusal, match="layer 'unused' took no part"):
            wrap(small, layers=["unused"])(images)

    def test_an_overwritten_answer_is_never_handed_on(self, images):
        class Overwriting(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3)

            def forward(self, images: Tensor) -> Tensor:
                x = self.conv(images)
                x += 1
                return x.mean((2, 3))

        with pytest.raises(Refusal, match="overwrites 'conv' in place"):
            wrap(Overwriting(), layers=["conv"])(images)

    def test_an_answer_without_logits_is_refused(self, images):
        class Silent(nn.Module):
            def forward(self, images: Tensor) -> str:
                return "nothing"

        with pytest.raises(TypeError, match=r"must return logits, .* got str"):
            wrap(Silent())(images)
