"""What a reader may rely on in the critic of feature maps, one claim a test."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.adversarial.maps import FeatureDiscriminatorKD, averaged_to
from kdcore.randomness import seeded
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


def setting(student: tuple, teacher: tuple) -> Setting:
    def outputs(features):
        return Outputs(torch.empty(2, 10, device="meta"), tuple(torch.empty(f, device="meta") for f in features))

    return Setting(outputs(student), outputs(teacher), classes=10, samples=100, teacher_network=nn.Identity())


@pytest.fixture
def batch() -> Batch:
    return Batch(Data(torch.zeros(4, 1), torch.arange(4), Task(), {}), torch.arange(4), 0, Clock(0, 100, 10))


@pytest.fixture
def said(sines):
    """Both networks' answers, the student's maps narrower and larger."""
    maps = sines(4, 3, 8, 8, speed=0.7, dtype=torch.float32).requires_grad_(), sines(4, 5, 4, 4, speed=1.3).float()
    return tuple(Outputs(one.mean((2, 3)), (one,)) for one in maps)


class TestFeatureDiscriminatorKD:
    def test_is_the_generic_game_on_the_critics_scores(self, said, batch):
        method = seeded(lambda: FeatureDiscriminatorKD((3, 8, 8), (5, 4, 4), (0, 0)), 0)
        mine = method.adapter(F.avg_pool2d(said[0].features[0], 2))
        scores = method.critic(mine), method.critic(said[1].features[0])
        (fool,) = method.losses(*said, batch).values()
        (critic,) = method.critic_losses(*said, batch).values()
        torch.testing.assert_close(fool.value, gan_kd_loss(scores[0]))
        torch.testing.assert_close(critic.value, gan_kd_critic_loss(*scores))
        assert fool.weight == 0.1

    def test_each_gradient_goes_to_its_own_side(self, said, batch):
        method = FeatureDiscriminatorKD((3, 8, 8), (5, 4, 4), (0, 0))
        (critic,) = method.critic_losses(*said, batch).values()
        critic.value.backward()
        assert said[0].features[0].grad is None and method.adapter.weight.grad is None
        assert all(weight.grad is not None for weight in method.critic.parameters())
        (fool,) = method.losses(*said, batch).values()
        fool.value.backward()
        assert said[0].features[0].grad.norm() > 0 and method.adapter.weight.grad.norm() > 0
        assert method.adapters() == [method.adapter] and method.critics() == [method.critic]

    @pytest.mark.parametrize("form", ["non-saturating", "minimax"])
    def test_an_adapter_learns_to_pass_a_resting_critic(self, said, form, batch):
        method = seeded(lambda: FeatureDiscriminatorKD((3, 8, 8), (5, 4, 4), (0, 0), form=form), 0)
        optimiser, values = torch.optim.Adam(method.adapter.parameters(), 0.02), []
        for _ in range(40):
            (fool,) = method.losses(*said, batch).values()
            values.append(fool.value.item())
            optimiser.zero_grad()
            fool.value.backward()
            optimiser.step()
        assert values[-1] < values[0] - 0.02

    @pytest.mark.parametrize(
        ("student", "teacher", "size"),
        [
            ((3, 8, 8), (5, 4, 4), (4, 4)),
            ((3, 4, 4), (5, 8, 8), (4, 4)),  # ShuffleNetV2's maps are smaller than ResNet32x4's
            ((3, 7, 6), (5, 4, 6), (4, 6)),
            ((3, 1, 1), (5, 1, 1), (1, 1)),
        ],
    )
    def test_the_larger_maps_are_averaged_down(self, student, teacher, size, sines, batch):
        method = FeatureDiscriminatorKD(student, teacher, (0, 0))
        pair = [Outputs(torch.zeros(2, 4), (sines(2, *shape, speed=0.7).float(),)) for shape in (student, teacher)]
        assert method.size == size and method._mine(pair[0]).shape == (2, teacher[0], *size)
        assert next(iter(method.critic_losses(*pair, batch).values())).value.isfinite()

    def test_averages_are_means_over_windows(self, sines):
        maps = sines(2, 3, 6, 4, speed=0.7)
        assert averaged_to(maps, (6, 4)) is maps
        blocks = maps.unflatten(3, (2, 2)).unflatten(2, (2, 3)).mean((3, 5))
        torch.testing.assert_close(averaged_to(maps, (2, 2)), blocks)
        torch.testing.assert_close(averaged_to(maps, (4, 3)), F.adaptive_avg_pool2d(maps, (4, 3)))

    def test_takes_the_last_stages_unless_told(self):
        sizes = ((2, 4, 8, 8), (2, 8, 4, 4), (2, 16, 2, 2))
        assert FeatureDiscriminatorKD.build(setting(sizes, sizes)).pair == (2, 2)
        assert FeatureDiscriminatorKD.build(setting(sizes[:2], sizes)).pair == (1, 2)
        assert FeatureDiscriminatorKD.build(setting(sizes, sizes), student_stage=0, teacher_stage=1).pair == (0, 1)

    @pytest.mark.parametrize(
        ("student", "settings", "says"),
        [
            (((2, 4, 8, 8),), {"student_stage": 3}, "the student has stages 0 .. 0, got 3"),
            (((2, 4, 8),), {}, "stage 0 of the student must be a map"),
            (((2, 4, 8, 8),), {"form": "wasserstein"}, "form must be 'non-saturating' or 'minimax', got 'wasserstein'"),
            (((2, 4, 8, 8),), {"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_refuses_an_impossible_pair(self, student, settings, says):
        with pytest.raises(Refusal, match=says):
            FeatureDiscriminatorKD.build(setting(student, ((2, 4, 8, 8),)), **settings)
