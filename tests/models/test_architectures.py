"""The networks by name: their sizes, what they say, how they start, and that they are those of the literature."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from kdcore.models import NORMALISATIONS, ImageOutputs, Normalise, architecture, build, names, parameter_count
from kdcore.types import Refusal

# Trainable numbers at 100 classes, as RepDistiller's networks have them.
AT_100_CLASSES = {
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn-16-2": 703_284,
    "wrn-40-1": 569_780,
    "wrn-40-2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenetv2": 812_836,
    "shufflenetv1": 949_258,
    "shufflenetv2": 1_355_528,
}
AT_10_CLASSES = {
    "resnet20": 272_474,
    "resnet56": 855_770,
    "resnet20-a": 269_722,
    "resnet32-a": 464_154,
    "resnet56-a": 853_018,
    "digits-teacher": 65_834,
    "digits-student": 5_178,
    "digits-perceptron": 5_098,
}
# Channels and height of the stem and of every stage, then the embedding's size.
FEATURES = {
    "resnet56": ((16, 32), (16, 32), (32, 16), (64, 8), 64),
    "resnet56-a": ((16, 32), (16, 32), (32, 16), (64, 8), 64),
    "resnet32x4": ((32, 32), (64, 32), (128, 16), (256, 8), 256),
    "wrn-40-2": ((16, 32), (32, 32), (64, 16), (128, 8), 128),
    "vgg13": ((64, 32), (128, 16), (256, 8), (512, 4), (512, 4), 512),
    "mobilenetv2": ((16, 16), (12, 16), (16, 8), (48, 4), (160, 2), 1280),
    "shufflenetv1": ((24, 32), (240, 16), (480, 8), (960, 4), 960),
    "shufflenetv2": ((24, 32), (116, 16), (232, 8), (464, 4), 1024),
}
IMAGES = [name for name in names() if not name.startswith("text")]
CONVOLUTIONAL = [name for name in IMAGES if "vit" not in name and "deit" not in name]


def images(name: str, count: int = 2) -> Tensor:
    shape = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
    index = torch.arange(count * math.prod(shape))
    return (index * 37 % 256).to(torch.uint8).view(count, *shape)


def classes_of(name: str) -> int:
    return 10 if name.startswith("digits") else 100


class TestParameterCounts:
    @pytest.mark.parametrize(("name", "count"), AT_100_CLASSES.items())
    def test_at_100_classes_it_is_that_of_the_comparisons(self, name, count):
        assert parameter_count(build(name, 100)) == count

    @pytest.mark.parametrize(("name", "count"), AT_10_CLASSES.items())
    def test_at_10_classes_it_is_the_published_one(self, name, count):
        assert parameter_count(build(name, 10)) == count

    @pytest.mark.parametrize("option", ["", "-a"])
    @pytest.mark.parametrize("depth", [8, 14, 20, 32, 44, 56, 110])
    def test_of_a_residual_network_it_is_the_sum_over_its_layers(self, depth, option):
        blocks, count = (depth - 2) // 6, 3 * 9 * 16 + 2 * 16
        for inside, outside in ((16, 16), (16, 32), (32, 64)):
            count += 9 * inside * outside + (2 * blocks - 1) * 9 * outside**2 + 2 * blocks * 2 * outside
            if inside != outside and not option:
                count += inside * outside + 2 * outside
        assert parameter_count(build(f"resnet{depth}{option}", 10)) == count + 650

    @pytest.mark.parametrize("name", AT_100_CLASSES)
    def test_classes_change_the_classifier_alone(self, name):
        few, many = (dict(build(name, classes).named_parameters()) for classes in (10, 100))
        changed = {key for key in many if few[key].shape != many[key].shape}
        assert few.keys() == many.keys() and changed == {"classifier.weight", "classifier.bias"}

    def test_zero_padded_shortcuts_learn_nothing(self):
        plain, padded = (dict(build(name, 10).named_parameters()) for name in ("resnet20", "resnet20-a"))
        assert plain.keys() - padded.keys() == {key for key in plain if "shortcut" in key}


class TestOutputs:
    @pytest.mark.parametrize(("name", "sizes"), FEATURES.items())
    def test_features_have_the_sizes_of_the_literature(self, name, sizes):
        said = build(name, 100)(images(name))
        maps = [tuple(value.shape[1:3]) for value in (said.stem, *said.features)]
        assert maps == list(sizes[:-1]) and said.embedding.shape == (2, sizes[-1]) and said.logits.shape == (2, 100)

    def test_digits_pair_has_two_stages_of_the_same_sizes(self):
        for name, width in (("digits-teacher", 32), ("digits-student", 16)):
            said = build(name, 10)(images(name))
            assert [tuple(value.shape[1:]) for value in said.features] == [(width, 8, 8), (2 * width, 4, 4)]
            assert said.embedding.shape == (2, 2 * width)

    def test_the_other_family_for_digits_sees_all_pixels_at_once(self):
        said = build("digits-perceptron", 10)(images("digits-perceptron"))
        assert [tuple(value.shape[1:]) for value in said.features] == [(48, 1, 1), (32, 1, 1)]
        assert torch.equal(said.embedding, said.features[1].flatten(1))

    @pytest.mark.parametrize("name", CONVOLUTIONAL)
    def test_features_are_the_positive_part_of_their_preactivations(self, name):
        said = build(name, classes_of(name)).eval()(images(name))
        pairs = list(zip(said.features, said.preactivations, strict=True))
        if name.startswith("wrn"):  # a stage ends in a sum, which the next norm reads
            assert all(value.shape == before.shape and (value < 0).any() for value, before in pairs)
            embedding = said.preactivations[-1].relu().mean((2, 3))
            torch.testing.assert_close(said.embedding, embedding)
        elif name == "mobilenetv2":  # a stage ends in a linear layer
            assert all(value is before for value, before in pairs)
        else:
            assert all(torch.equal(value, before.relu()) and (before < 0).any() for value, before in pairs)

    @pytest.mark.parametrize("name", IMAGES)
    def test_nothing_said_was_overwritten(self, name):
        network = build(name, classes_of(name))
        said = network(images(name))
        tensors = [said.logits, said.embedding, *said.features, *said.preactivations]
        assert all(value._version == 0 for value in tensors)
        assert not any(getattr(module, "inplace", False) for module in network.modules())

    @pytest.mark.parametrize("name", names())
    def test_every_parameter_receives_a_gradient(self, name):
        network = build(name, classes_of(name))
        inputs = torch.arange(2 * 16).view(2, 16) if name.startswith("text") else images(name, 4)
        said = network(inputs)
        answers = [said.logits, getattr(said, "distillation_logits", None)]
        sum(answer.square().sum() for answer in answers if answer is not None).backward()
        assert all(parameter.grad is not None for parameter in network.parameters())

    @pytest.mark.parametrize("name", ["resnet20", "wrn-16-1", "shufflenetv2", "digits-student"])
    def test_a_copy_detached_or_cut_keeps_its_kind(self, name):
        said = build(name, classes_of(name))(images(name))
        first = said.detach().map(lambda value: value[:1])
        assert type(first) is type(said) and len(first.logits) == 1 and not first.logits.requires_grad
        assert not isinstance(said, ImageOutputs) or len(first.stem) == 1

    @pytest.mark.parametrize("name", IMAGES)
    def test_sizes_are_known_without_computing(self, name):
        network = build(name, classes_of(name)).to("meta")
        assert network(images(name).to("meta")).logits.shape == (2, classes_of(name))

    @pytest.mark.parametrize("name", ["resnet8", "wrn-16-1", "vgg8", "mobilenetv2", "shufflenetv1", "digits-student"])
    def test_a_copy_and_a_saved_state_answer_alike(self, name):
        network = build(name, classes_of(name), seed=1).eval()
        other = build(name, classes_of(name), seed=2).eval()
        other.load_state_dict(network.state_dict())
        answers = [each(images(name)).logits for each in (network, copy.deepcopy(network), other)]
        assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])


class TestBuild:
    def test_weights_depend_on_seed_and_role_alone(self):
        torch.manual_seed(0)
        first = build("digits-student", 10, seed=3)
        torch.rand(7)
        again, other, partner = (
            build("digits-student", 10, **how) for how in ({"seed": 3}, {"seed": 4}, {"seed": 3, "role": "partner"})
        )
        weight = lambda network: network.classifier.weight
        assert torch.equal(weight(first), weight(again))
        assert not torch.equal(weight(first), weight(other)) and not torch.equal(weight(first), weight(partner))

    def test_building_leaves_the_default_generator_alone(self):
        before = torch.default_generator.get_state()
        build("digits-student", 10, seed=5)
        assert torch.equal(before, torch.default_generator.get_state())

    @pytest.mark.parametrize(("wrong", "near"), [("resnt20", "resnet20"), ("wrn_40_2", "wrn-40-2")])
    def test_an_unknown_name_is_answered_with_the_nearest(self, wrong, near):
        with pytest.raises(Refusal, match=f"no network is called '{wrong}', the nearest name is '({near})"):
            build(wrong, 10)

    def test_one_class_is_refused(self):
        with pytest.raises(Refusal, match="classes must be at least 2, got 1"):
            build("resnet20", 1)

    def test_constants_follow_the_classes_unless_named(self):
        mean = lambda *how, **named: tuple(build(*how, **named).normalise.mean.flatten().tolist())
        expected = {key: pytest.approx(value[0]) for key, value in NORMALISATIONS.items()}
        assert mean("resnet8", 10) == expected["cifar10"] and mean("resnet8", 100) == expected["cifar100"]
        assert mean("resnet8", 10, normalisation="imagenet") == expected["imagenet"]
        assert mean("digits-student", 10) == expected["digits"]

    def test_an_unknown_normalisation_is_refused(self):
        with pytest.raises(Refusal, match=r"normalisation must be one of cifar10, .*, got 'mnist'"):
            build("resnet8", 10, normalisation="mnist")
        with pytest.raises(Refusal, match="normalisation is for images, text-student reads tokens"):
            build("text-student", 10, normalisation="cifar10")

    def test_every_architecture_has_a_revision_and_a_note(self):
        assert all(architecture(name).revision >= 1 and architecture(name).note for name in names())

    @pytest.mark.parametrize(("name", "depth"), [("resnet", 21), ("wide", 18)])
    def test_depths_that_do_not_exist_are_refused(self, name, depth):
        from kdcore.models.resnet import ResNet
        from kdcore.models.wide_resnet import WideResNet

        make = {"resnet": lambda: ResNet(10, depth=depth), "wide": lambda: WideResNet(10, depth=depth, width=1)}[name]
        with pytest.raises(Refusal, match=f"must be 6 n .* got {depth}"):
            make()

    @pytest.mark.parametrize("name", ["resnet56", "wrn-40-2", "vgg13", "mobilenetv2", "digits-teacher"])
    def test_convolutions_start_with_the_variance_of_what_they_send_out(self, name):
        for convolution in (m for m in build(name, classes_of(name)).modules() if isinstance(m, nn.Conv2d)):
            sent = convolution.out_channels * convolution.kernel_size[0] ** 2
            spread = convolution.weight.std().item() * math.sqrt(sent / 2)
            assert spread == pytest.approx(1, abs=5 / math.sqrt(2 * convolution.weight.numel()))


class TestNormalise:
    def test_bytes_and_fractions_are_the_same_image(self):
        network = build("resnet8", 10).eval()
        whole = images("resnet8")
        torch.testing.assert_close(network(whole).logits, network(whole / 255).logits, rtol=0, atol=0)

    def test_the_mean_colour_becomes_zero_and_a_deviation_one(self):
        mean, std = NORMALISATIONS["imagenet"]
        image = torch.tensor([mean, [m + s for m, s in zip(mean, std)]])[:, :, None, None]
        found = Normalise.named("imagenet")(image).flatten(1)
        torch.testing.assert_close(found, torch.tensor([[0.0] * 3, [1.0] * 3]), rtol=0, atol=1e-6)

    def test_its_constants_are_those_of_torchvision(self):
        from torchvision.transforms._presets import ImageClassification

        preset = ImageClassification(crop_size=1)
        assert (tuple(preset.mean), tuple(preset.std)) == NORMALISATIONS["imagenet"]

    def test_half_precision_rounds_the_result_not_the_constants(self):
        exact, half = (Normalise.named("cifar10").to(kind) for kind in (torch.float32, torch.bfloat16))
        found = half(images("resnet8"))
        assert found.dtype == torch.bfloat16 and torch.equal(found, exact(images("resnet8")).bfloat16())
        assert half.float()(images("resnet8")).dtype == torch.float32

    @pytest.mark.parametrize("then", [{"device": "cpu"}, {"memory_format": torch.channels_last}, {"device": "meta"}])
    def test_half_precision_stays_where_a_network_goes(self, then):
        network = build("resnet8", classes=10).to(torch.bfloat16).to(**then)
        assert network(images("resnet8").to(network.normalise.mean.device)).logits.dtype == torch.bfloat16

    def test_back_from_half_precision_it_is_exact(self):
        there_and_back = Normalise.named("cifar10").to(torch.bfloat16).to(torch.float32)
        assert torch.equal(there_and_back(images("resnet8")), Normalise.named("cifar10")(images("resnet8")))

    def test_double_precision_is_kept(self):
        assert build("resnet8", 10).double()(images("resnet8")).logits.dtype == torch.float64

    @pytest.mark.parametrize(
        ("images", "error", "says"),
        [
            (torch.zeros(2, 1, 8, 8), ValueError, r"shape \(batch, 3, height, width\), got \(2, 1, 8, 8\)"),
            (torch.zeros(3, 8, 8), ValueError, r"shape \(batch, 3, height, width\), got \(3, 8, 8\)"),
            (torch.zeros(2, 3, 8, 8, dtype=torch.long), TypeError, "uint8, or floating .* got torch.int64"),
        ],
    )
    def test_what_is_no_image_is_refused(self, images, error, says):
        with pytest.raises(error, match=says):
            Normalise.named("cifar10")(images)

    def test_a_spread_of_zero_is_refused(self):
        with pytest.raises(ValueError, match="std must have 1 values above 0"):
            Normalise((0.5,), (0.0,))


class TestTransformer:
    def test_a_position_does_not_see_what_follows(self):
        network = build("text-teacher", 50).eval()
        tokens = torch.arange(40).view(2, 20) % 50
        changed = tokens.clone()
        changed[:, 12:] += 1
        one, two = network(tokens), network(changed)
        torch.testing.assert_close(one.logits[:, :12], two.logits[:, :12])
        assert not torch.allclose(one.logits[:, 12:], two.logits[:, 12:])

    def test_a_position_sees_all_that_came_before(self):
        network = build("text-teacher", 50).eval().double()
        tokens = torch.arange(20)[None] % 50
        for place in range(20):
            changed = tokens.clone()
            changed[0, place] += 20
            assert (network(tokens).logits[0, 19] - network(changed).logits[0, 19]).abs().max() > 1e-9

    @pytest.mark.parametrize(("name", "width", "layers"), [("text-teacher", 64, 2), ("text-student", 32, 1)])
    def test_sizes(self, name, width, layers):
        said = build(name, 50)(torch.zeros(3, 16, dtype=torch.long))
        assert said.logits.shape == (3, 16, 50) and said.embedding.shape == (3, 16, width)
        assert [value.shape for value in said.features] == [(3, 16, width)] * layers

    def test_parameter_count_is_the_sum_over_its_layers(self):
        width, vocabulary, length, layers = 64, 50, 256, 2
        layer = 4 * width**2 + 4 * width + 8 * width**2 + 5 * width + 2 * 2 * width
        expected = (vocabulary + length) * width + layers * layer + 2 * width
        assert parameter_count(build("text-teacher", vocabulary)) == expected

    def test_it_starts_at_chance(self):
        tokens = torch.arange(200).view(4, 50) % 50
        logits = build("text-teacher", 50)(tokens).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), (tokens.flatten() * 7) % 50)
        assert loss.item() == pytest.approx(math.log(50), abs=0.2)

    def test_sequences_that_are_too_long_are_refused(self):
        with pytest.raises(ValueError, match=r"tokens must have shape \(batch, at most 256\), got \(1, 257\)"):
            build("text-student", 50)(torch.zeros(1, 257, dtype=torch.long))
