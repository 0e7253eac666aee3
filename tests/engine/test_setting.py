"""What a method may know: sizes, without arithmetic where that is possible."""

import pytest
import torch
from proof import bits
from torch import nn
from zoo import CLASSES, net
from zoo.data import Data, Task, counting, stripes
from zoo.networks import Net, Speaker, finished, fresh

from kdcore.engine import setting_of
from kdcore.models import build, names
from kdcore.types import Outputs

SMALL = ("resnet8", "resnet20-a", "wrn-16-1", "vgg8", "mobilenetv2", "shufflenetv2", "digits-teacher", "text-student")
LARGE = tuple(name for name in names() if name not in SMALL)


class TestSettingOf:
    def test_holds_the_sizes_of_both_answers_and_of_the_data(self):
        teacher = finished(6)
        setting = setting_of(net(0), teacher, stripes(30))
        assert setting.student.logits.shape == (2, CLASSES) and setting.teacher.logits.shape == (2, CLASSES)
        assert [feature.shape for feature in setting.student.features] == [(2, 4, 4, 4), (2, 8, 2, 2)]
        assert setting.teacher.embedding.shape == (2, 12)
        assert (setting.classes, setting.samples) == (CLASSES, 30)
        assert setting.teacher_network is teacher

    def test_costs_no_arithmetic(self):
        setting = setting_of(net(0), finished(), stripes())
        assert {value.device.type for value in (*setting.student.features, setting.teacher.logits)} == {"meta"}

    def test_changes_neither_weights_nor_modes_nor_chance(self):
        student, teacher = net(0), finished()
        student.dropout.eval()
        modes = [module.training for module in student.modules()]
        before = bits([student.state_dict(), teacher.state_dict()]), torch.random.get_rng_state()
        setting_of(student, teacher, stripes())
        assert bits([student.state_dict(), teacher.state_dict()]) == before[0]
        assert torch.equal(torch.random.get_rng_state(), before[1])
        assert [module.training for module in student.modules()] == modes

    def test_reads_other_tasks_and_samples_in_parts(self):
        speaker = fresh(Speaker, "student")
        assert setting_of(speaker, speaker, counting()).student.logits.shape == (2, 9, 11)

        class Adding(nn.Module):
            def forward(self, parts):
                return Outputs(parts["left"] + parts["right"])

        parts = {"left": torch.zeros(8, 3), "right": torch.ones(8, 3)}
        data = Data(parts, torch.zeros(8), Task(), {}, classes=3)
        setting = setting_of(Adding(), Adding(), data)
        assert setting.student.logits.shape == (2, 3) and setting.samples == 8

    def test_works_for_networks_that_look_at_values(self):
        """Such a network cannot run where there are none, so it runs for real; its sizes are the same."""

        class Curious(Net):
            def forward(self, images):
                assert images.sum().item() != 12345.0
                assert images.numpy().ndim == 4
                if images.max() > 100:
                    images = images / 255
                return super().forward(images)

        curious = Curious()
        setting = setting_of(curious, finished(), stripes())
        assert setting.student.features[1].shape == (2, 8, 2, 2)
        assert setting.student.logits.device.type == "meta" and curious.training

    @pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
    def test_works_for_every_network_of_ours_without_running_it(self, name):
        data = counting()
        if not name.startswith("text"):
            size = (1, 8, 8) if name.startswith("digits") else (3, 32, 32)
            data = Data(torch.zeros(4, *size, dtype=torch.uint8), torch.zeros(4), Task(), {}, classes=11)
        network = build(name, 11)
        before = bits(network.state_dict())
        setting = setting_of(network, network, data)
        assert setting.student.logits.shape[-1] == 11 and setting.student.logits.device.type == "meta"
        assert bits(network.state_dict()) == before
