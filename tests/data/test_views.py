"""Batched views are PIL's, pixel for pixel, and draw from the generator they are given and from nowhere else."""

import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from kdcore.data.augment import OPERATIONS, RandAugment
from kdcore.data.cifar import VIEWS
from kdcore.data.views import Chain, Cutout, Fade, Plain, Shift, Warp


def photographs(count: int) -> Tensor:
    """Smooth colours with noise, so that every pixel of every image is its own."""
    made = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 200, 32).view(1, 1, 1, 32) * torch.rand(count, 3, 32, 1, generator=made)
    return (ramp + torch.randint(0, 56, (count, 3, 32, 32), generator=made)).to(torch.uint8)


def as_pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def from_pil(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


class TestShift:
    def test_each_of_the_162_choices_is_what_pil_makes_of_hundreds_of_images(self):
        weak, images = VIEWS["weak"], photographs(324)
        assert weak.choices == 162
        choices = torch.arange(324) % 162
        made = weak.apply(images, choices)
        for image, choice, result in zip(images, choices.tolist(), made, strict=True):
            place, mirrored = divmod(choice, 2)
            top, left = divmod(place, 9)
            expected = ImageOps.expand(as_pil(image), border=4, fill=0).crop((left, top, left + 32, top + 32))
            expected = ImageOps.mirror(expected) if mirrored else expected
            assert torch.equal(result, from_pil(expected))

    def test_all_choices_are_drawn_equally_often(self):
        drawn = VIEWS["weak"].draw(162_000, torch.Generator().manual_seed(0)).bincount()
        assert len(drawn) == 162 and (drawn - 1000).abs().max() < 5 * 1000**0.5

    def test_a_call_applies_what_it_draws(self):
        weak, images = VIEWS["weak"], photographs(64)
        drawn = weak.draw(64, torch.Generator().manual_seed(3))
        assert torch.equal(weak(images, torch.Generator().manual_seed(3)), weak.apply(images, drawn))

    def test_an_image_does_not_depend_on_its_batch(self):
        images, choices = photographs(64), torch.arange(64) * 2
        together = VIEWS["weak"].apply(images, choices)
        assert torch.equal(VIEWS["weak"].apply(images[5:6], choices[5:6]), together[5:6])

    def test_the_batch_is_read_by_a_single_index(self):
        from torch.utils._python_dispatch import TorchDispatchMode

        class Count(TorchDispatchMode):
            seen: list[str]

            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                result = function(*args, **(kwargs or {}))
                if isinstance(result, Tensor) and result.dtype == torch.uint8:
                    self.seen.append(function.name())
                return result

        images, choices = photographs(64), torch.arange(64)
        with Count() as count:
            count.seen = []
            VIEWS["weak"].apply(images, choices)
        assert sorted(set(count.seen) - {"aten::view"}) == ["aten::constant_pad_nd", "aten::gather"]

    def test_any_size_and_kind_of_image(self):
        images = torch.rand(3, 2, 5, 7)
        shift = Shift(pad=2, mirror=True)
        assert shift.choices == 50
        assert torch.equal(shift.apply(images, torch.full((3,), 24)), images)
        assert torch.equal(shift.apply(images, torch.full((3,), 25)), images.flip(3))

    def test_no_padding_is_refused(self):
        with pytest.raises(ValueError, match="pad must be at least 1, got 0"):
            Shift(pad=0, mirror=True)


class TestCutout:
    def test_is_a_rectangle_of_pil_on_hundreds_of_images(self):
        images, cutout = photographs(300), Cutout(0, 16, fill=7)
        drawn = cutout.draw(images, torch.Generator().manual_seed(0))
        made = cutout.apply(images, *drawn)
        for image, row, column, side, result in zip(images, *(each.tolist() for each in drawn), made, strict=True):
            expected, top, left = as_pil(image), row - side // 2, column - side // 2
            if side:
                box = (left, top, left + side - 1, top + side - 1)
                ImageDraw.Draw(expected).rectangle(box, fill=(7, 7, 7))
            assert torch.equal(result, from_pil(expected))

    def test_reaches_every_centre_and_every_side(self):
        images, cutout = torch.zeros(20_000, 1, 8, 8), Cutout(1, 3)
        row, column, side = cutout.draw(images, torch.Generator().manual_seed(0))
        assert row.unique().tolist() == column.unique().tolist() == list(range(8))
        assert side.unique().tolist() == [1, 2, 3]

    def test_sides_out_of_order_are_refused(self):
        with pytest.raises(ValueError, match=r"smallest must lie in 0 \.\. largest, got 4 and 3"):
            Cutout(4, 3)


# our name, torchvision's
NAMES = {
    "identity": "Identity",
    "shear-x": "ShearX",
    "shear-y": "ShearY",
    "translate-x": "TranslateX",
    "translate-y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "colour": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterise": "Posterize",
    "solarise": "Solarize",
    "autocontrast": "AutoContrast",
    "equalise": "Equalize",
}


class TestRandAugment:
    @pytest.mark.parametrize("magnitude", [0, 3, 10, 17, 30])
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_every_operation_is_torchvisions_image_by_image(self, name, magnitude):
        from torchvision.transforms.autoaugment import RandAugment as Theirs
        from torchvision.transforms.autoaugment import _apply_op
        from torchvision.transforms.functional import InterpolationMode

        strengths, signed = Theirs()._augmentation_space(31, (32, 32))[NAMES[name]]
        strength = float(strengths[magnitude]) if strengths.ndim else 0.0
        ours, images = RandAugment(operations=2, magnitude=magnitude), photographs(6)
        assert OPERATIONS[name][0] == signed
        for sign in (1, -1) if signed else (1,):
            made = ours.one(name, sign, images)
            for image, result in zip(images, made, strict=True):
                expected = _apply_op(image, NAMES[name], sign * strength, InterpolationMode.NEAREST, None)
                assert torch.equal(result, expected)

    def test_has_all_of_torchvisions_operations(self):
        from torchvision.transforms.autoaugment import RandAugment as Theirs

        assert set(NAMES.values()) == set(Theirs()._augmentation_space(31, (32, 32))) and set(NAMES) == set(OPERATIONS)

    def test_a_group_is_its_images_one_at_a_time_in_turn(self):
        ours, images = RandAugment(operations=2, magnitude=10), photographs(120)
        drawn = ours.draw(120, torch.Generator().manual_seed(0))
        together = ours.apply(images, drawn)
        for number in range(120):
            alone = images[number : number + 1]
            for row in drawn[:, number].tolist():
                alone = ours.one(*ours.table[row], alone)
            assert torch.equal(together[number : number + 1], alone)

    def test_operations_and_signs_are_equally_likely(self):
        ours = RandAugment(operations=2, magnitude=10)
        drawn = ours.draw(14_000, torch.Generator().manual_seed(0))
        names = [ours.table[row][0] for row in drawn.flatten().tolist()]
        signs = [ours.table[row][1] for row in drawn.flatten().tolist() if ours.table[row][0] == "rotate"]
        assert all(abs(names.count(name) - 2000) < 5 * 2000**0.5 for name in OPERATIONS)
        assert abs(sum(signs)) < 5 * len(signs) ** 0.5

    def test_its_inputs_stay(self):
        images = photographs(64)
        before = images.clone()
        RandAugment(operations=2, magnitude=10)(images, torch.Generator().manual_seed(0))
        assert torch.equal(images, before)

    def test_wrong_kinds_and_strengths_are_refused(self):
        with pytest.raises(TypeError, match=r"uint8 images, got torch\.float32"):
            RandAugment(operations=2, magnitude=10)(torch.rand(2, 3, 8, 8), torch.Generator())
        with pytest.raises(ValueError, match=r"magnitude must lie in 0 \.\. 30, got 31"):
            RandAugment(operations=2, magnitude=31)


class TestWarp:
    def test_no_change_is_the_image(self):
        images = torch.rand(4, 1, 8, 8)
        still = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(4, 2, 3)
        torch.testing.assert_close(Warp(0, 0, 0, 0).apply(images, still), images)
        torch.testing.assert_close(Warp(0, 0, 0, 0)(images, torch.Generator()), images)

    def test_a_quarter_turn_is_exact(self):
        images = torch.rand(4, 1, 8, 8)
        turn = torch.tensor([[0.0, -1, 0], [1, 0, 0]]).expand(4, 2, 3)
        made = Warp(0, 0, 0, 0).apply(images, turn)
        torch.testing.assert_close(made, images.rot90(1, (2, 3)), rtol=0, atol=1e-5)

    def test_a_shift_by_a_pixel_is_exact(self):
        images = torch.rand(4, 1, 8, 8)
        right = torch.tensor([[1.0, 0, 2 / 8], [0, 1, 0]]).expand(4, 2, 3)
        expected = Shift(pad=1, mirror=False).apply(images, torch.full((4,), 5))
        torch.testing.assert_close(Warp(0, 0, 0, 0).apply(images, right), expected, rtol=0, atol=1e-5)

    def test_draws_stay_within_their_bounds(self):
        matrices = Warp(degrees=15, stretch=0.15, slant=0.2, shift=1.0).draw(
            torch.zeros(5000, 1, 8, 8), torch.Generator().manual_seed(0)
        )
        assert matrices[:, :, 2].abs().max() <= 2 / 8
        size = matrices[:, 1, :2].norm(dim=1)
        angle = torch.atan2(matrices[:, 1, 0], matrices[:, 1, 1]).abs().rad2deg()
        assert 0.849 < size.min() < 0.86 and 1.14 < size.max() < 1.151 and 14.9 < angle.max() <= 15.001


class TestFade:
    def test_scales_every_image_by_its_own_factor(self):
        images = torch.rand(1000, 1, 4, 4) + 0.1
        ratio = (Fade(0.5)(images, torch.Generator().manual_seed(0)) / images).flatten(1)
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
        assert 0.5 <= ratio.min() < 0.51 and 0.99 < ratio.max() <= 1.0

    def test_a_factor_out_of_range_is_refused(self):
        with pytest.raises(ValueError, match=r"least must lie in 0 \.\. 1, got 1\.5"):
            Fade(1.5)


class TestRandomness:
    @pytest.mark.parametrize("name", VIEWS)
    def test_comes_from_the_generator_alone(self, name):
        images = photographs(64)
        states = torch.default_generator.get_state(), random.getstate(), np.random.get_state()[1].copy()
        one, two, three = (VIEWS[name](images, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
        assert torch.equal(one, two) and (name == "plain" or not torch.equal(one, three))
        assert torch.equal(states[0], torch.default_generator.get_state()) and states[1] == random.getstate()
        assert (states[2] == np.random.get_state()[1]).all()

    def test_a_chain_is_its_parts_in_turn(self):
        images, parts = photographs(8), (Shift(pad=4, mirror=True), Cutout(2, 9))
        numbers = torch.Generator().manual_seed(1)
        expected = parts[1](parts[0](images, numbers), numbers)
        assert torch.equal(Chain(*parts)(images, torch.Generator().manual_seed(1)), expected)

    def test_a_finite_view_draws_only_its_choices(self):
        for view in (Plain(), Shift(pad=1, mirror=False), Shift(pad=4, mirror=True)):
            drawn = view.draw(500, torch.Generator().manual_seed(0))
            assert drawn.shape == (500,) and 0 <= drawn.min() <= drawn.max() < view.choices
