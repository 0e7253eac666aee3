"""The quick task is one fixed, stratified, committed split, and its views keep a digit a digit."""

import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kdcore import data
from kdcore.data.digits import split
from kdcore.data.problems import UnknownName
from kdcore.models import NORMALISATIONS

SIZES = {"train": 1000, "validation": 200, "test": 597}


@pytest.fixture(scope="module")
def raw() -> tuple[np.ndarray, np.ndarray]:
    return load_digits(return_X_y=True)


class TestSplit:
    def test_parts_have_their_sizes_and_share_nothing(self):
        assert {name: len(split()[name]) for name in SIZES} == SIZES
        assert sorted(index for name in SIZES for index in split()[name]) == list(range(1797))

    @pytest.mark.parametrize("name", SIZES)
    def test_every_class_has_its_share(self, raw, name):
        share = np.bincount(raw[1]) * SIZES[name] / 1797
        assert np.abs(np.bincount(raw[1][split()[name]]) - share).max() < 1.5

    def test_the_students_hundred_are_ten_a_class_of_the_training_images(self, raw):
        assert np.bincount(raw[1][split()["labelled"]]).tolist() == [10] * 10
        assert len(set(split()["labelled"])) == 100 and set(split()["labelled"]) <= set(split()["train"])

    def test_the_committed_indices_are_the_shuffle_they_say(self, raw):
        shuffled, lists = random.Random(0), {name: [] for name in (*SIZES, "labelled")}
        classes = [[index for index, label in enumerate(raw[1]) if label == number] for number in range(10)]
        for members in classes:
            shuffled.shuffle(members)
        counts = {name: np.bincount(raw[1][split()[name]]) for name in SIZES}
        for number, members in enumerate(classes):
            first, second = counts["train"][number], counts["train"][number] + counts["validation"][number]
            lists["train"] += members[:first]
            lists["validation"] += members[first:second]
            lists["test"] += members[second:]
            lists["labelled"] += members[:10]
        for each in lists.values():
            shuffled.shuffle(each)
        assert lists == split()


class TestData:
    def test_pixels_and_labels_are_those_of_scikit_learn(self, raw):
        digits = data.load("digits")
        for name, part in {"train": digits, **digits.splits}.items():
            np.testing.assert_array_equal(part.inputs.flatten(1).numpy() * 16, raw[0][split()[name]])
            np.testing.assert_array_equal(part.targets.numpy(), raw[1][split()[name]])
        assert digits.inputs.min() == 0 and digits.inputs.max() == 1 and digits.classes == 10

    def test_students_see_a_hundred_and_are_judged_alike(self):
        few, all_ = data.load("digits-100"), data.load("digits")
        assert len(few) == 100 and few.digest != all_.digest
        for name in ("validation", "test"):
            assert torch.equal(few.splits[name].inputs, all_.splits[name].inputs)

    def test_digest_is_that_of_the_content(self):
        assert data.load("digits").digest == data.load("digits").digest and len(data.load("digits").digest) == 64

    def test_the_networks_constants_are_those_of_the_training_images(self):
        pixels = data.load("digits").inputs
        (mean,), (std,) = NORMALISATIONS["digits"]
        assert (mean, std) == (round(pixels.mean().item(), 4), round(pixels.std(correction=0).item(), 4))

    def test_options_that_do_not_exist_are_refused(self):
        with pytest.raises(UnknownName, match="digits takes no options, got 'holdout'"):
            data.load("digits", holdout=10)


class TestViews:
    def test_weak_view_is_the_nine_shifts_by_one_pixel(self):
        digits = data.load("digits")
        weak, image = digits.views["weak"], digits.inputs[:1]
        assert weak.choices == 9
        shifted = weak.apply(image.expand(9, -1, -1, -1), torch.arange(9))
        padded = np.pad(image[0, 0].numpy(), 1)
        for choice in range(9):
            top, left = divmod(choice, 3)
            np.testing.assert_array_equal(shifted[choice, 0].numpy(), padded[top : top + 8, left : left + 8])
        assert torch.equal(shifted[4], image[0])

    def test_plain_view_is_the_image(self):
        digits = data.load("digits")
        plain, random_numbers = digits.views["plain"], torch.Generator()
        assert plain.choices == 1 and plain.draw(3, random_numbers).tolist() == [0, 0, 0]
        assert plain(digits.inputs, random_numbers) is digits.inputs

    def test_strong_view_stays_an_image_of_the_same_kind(self):
        digits = data.load("digits")
        seen = digits.views["strong"](digits.inputs, torch.Generator().manual_seed(1))
        assert seen.shape == digits.inputs.shape and seen.dtype == digits.inputs.dtype
        assert seen.min() >= 0 and seen.max() <= 1
        changed = (seen - digits.inputs).abs().mean((1, 2, 3))
        weak = digits.views["weak"](digits.inputs, torch.Generator().manual_seed(1))
        assert changed.min() > 0 and len(seen.unique(dim=0)) == 1000
        assert (seen.sum((1, 2, 3)) < weak.sum((1, 2, 3))).double().mean() > 0.9  # it fades and hides ink
