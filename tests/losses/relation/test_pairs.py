"""Which pairs of networks the methods of this chapter serve, and which they refuse before any training."""

import pytest
import torch
from torch import nn

from kdcore.catalogue import entries, load
from kdcore.engine.setting import shapes
from kdcore.losses.relation._rows import maps_of
from kdcore.models import build
from kdcore.types import Outputs, Refusal, Setting

PAIRS = {
    "cifar10": ("resnet56", "resnet20", 10, (3, 32, 32)),
    "cifar100": ("resnet32x4", "shufflenetv2", 100, (3, 32, 32)),
    "digits": ("digits-teacher", "digits-student", 10, (1, 8, 8)),
}
UNEQUAL = {"fsp", "fsp-joint", "kdsvd", "mhgd"}  # they need as many channels of the student as of the teacher
KEYS = [entry.key for entry in entries() if entry.module.startswith("kdcore/losses/relation/")]


@pytest.fixture(scope="module")
def settings() -> dict[str, Setting]:
    made = {}
    for name, (teacher, student, classes, size) in PAIRS.items():
        said = [shapes(build(network, classes), torch.zeros(2, *size)) for network in (student, teacher)]
        made[name] = Setting(*said, classes, 100, nn.Identity())
    return made


class TestPairs:
    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("pair", PAIRS)
    def test_is_served_or_refused_for_its_channels(self, settings, key, pair):
        entry, setting = load(key), settings[pair]
        if key in UNEQUAL and pair != "cifar10":
            with pytest.raises(Refusal, match=r"channels where the teacher's have|where both have the same channels"):
                entry.make.build(setting, **entry.settings)
            assert isinstance(entry.make.build(setting, **entry.settings, projected=True), nn.Module)
        else:
            assert isinstance(entry.make.build(setting, **entry.settings), nn.Module)

    def test_maps_of_the_published_pair_differ_in_every_size(self, settings):
        given = settings["cifar100"]
        student, teacher = (maps_of(w, said) for w, said in (("student", given.student), ("teacher", given.teacher)))
        assert all(a != b for mine, theirs in zip(student, teacher) for a, b in zip(mine, theirs))

    @pytest.mark.parametrize("key", KEYS)
    def test_texts_are_served_by_nothing_here(self, key):
        said = Outputs(torch.empty(2, 7, 50, device="meta"))
        entry = load(key)
        with pytest.raises(Refusal):
            entry.make.build(Setting(said, said, 50, 100, nn.Identity()), **entry.settings)
