"""What a reader may rely on in neuron selectivity transfer, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from kdcore.losses import gram_style_matching_loss, nst_loss
from kdcore.losses.feature.selectivity import NST
from kdcore.types import Outputs, Refusal


class Largest(TorchDispatchMode):
    """The most numbers that any one operation returned."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.most = max(self.most, tensor.numel())
        return result


def directions(maps: list) -> list[list[float]]:
    rows = [[value for line in channel for value in line] for channel in maps]
    return [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in rows]


def kernel(ones: list[list[float]], others: list[list[float]]) -> float:
    """The mean of squared products over all pairs."""
    every = [sum(a * b for a, b in zip(one, other)) ** 2 for one in ones for other in others]
    return sum(every) / len(every)


class TestNST:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[2.0, 0.0]], [[0.0, 0.5]]]])  # two directions at a right angle
        teacher = torch.tensor([[[[1.0, 1.0]]]])  # one between them
        within, between = (1 + 0 + 0 + 1) / 4, (1 / 2 + 1 / 2) / 2
        assert nst_loss(student, teacher).item() == pytest.approx(1 + within - 2 * between, abs=1e-6)

    def test_is_the_discrepancy_of_the_paper(self, maps, sines):
        for teacher in (maps[1], sines(4, 3, 4, 4, speed=1.3), sines(4, 40, 4, 4, speed=1.3)):
            each = []
            for s, t in zip(maps[0].tolist(), teacher.tolist()):
                s, t = directions(s), directions(t)
                each.append(kernel(t, t) + kernel(s, s) - 2 * kernel(s, t))
            assert nst_loss(maps[0], teacher, reduction="none").tolist() == pytest.approx(each, rel=1e-9)

    def test_agrees_with_other_peoples_code(self, maps, sines, reference, found, theirs):
        for known in reference("nst"):
            value = nst_loss(maps[0], sines(*known["teacher"], speed=1.3))
            assert found(value, maps[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_is_the_distance_of_gram_matrices_over_positions(self, maps):
        student, teacher = (F.normalize(m.detach().flatten(2), dim=2) for m in maps)
        turned = (m.transpose(1, 2)[..., None] for m in (student, teacher))  # positions take the place of channels
        scaled = 16**2 * gram_style_matching_loss(*turned)  # which divides by positions squared
        torch.testing.assert_close(nst_loss(*maps), scaled)

    def test_does_not_care_for_the_order_number_sign_or_strength_of_channels(self, maps):
        student, teacher = maps
        value = nst_loss(student, teacher)
        louder = student * torch.tensor([1.0, -2.0, 0.1, 7.0, 3.0, -1.0], dtype=torch.float64)[:, None, None]
        torch.testing.assert_close(nst_loss(louder[:, [3, 0, 5, 1, 2, 4]], teacher), value)
        torch.testing.assert_close(nst_loss(student.repeat(1, 3, 1, 1), teacher), value)
        assert nst_loss(teacher.flip(1), teacher).item() == pytest.approx(0, abs=1e-12)
        assert abs(nst_loss(student.flip(2), teacher) - value) > 1e-4  # but for where they answer

    def test_larger_maps_are_averaged_down_to_the_smaller(self, maps, sines):
        large = sines(4, 3, 8, 8, speed=1.3)
        torch.testing.assert_close(nst_loss(maps[0], large), nst_loss(maps[0], F.avg_pool2d(large, 2)))

    @pytest.mark.parametrize(("channels", "size"), [(64, 4), (8, 16)])
    def test_no_tensor_of_pairs_of_channels_times_positions_is_ever_made(self, sines, channels, size):
        student, teacher = (sines(2, channels, size, size, speed=speed).requires_grad_() for speed in (0.7, 1.3))
        with Largest() as largest:
            nst_loss(student, teacher).backward()
        assert largest.most <= 2 * max(min(channels, size**2) ** 2, channels * size**2)

    def test_dead_channels_stay_finite(self, maps):
        dead = torch.zeros(4, 6, 4, 4, dtype=torch.float64, requires_grad=True)
        value = nst_loss(dead, maps[1])
        assert value > 0 and torch.autograd.grad(value, dead)[0].abs().max() == 0
        half = maps[0].detach().clone()
        half[:, ::2] = 0
        half.requires_grad_()
        assert torch.autograd.grad(nst_loss(half, maps[1]), half)[0].isfinite().all()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_features": torch.zeros(3, 6, 4, 4)}, "must hold the same examples, got 4 and 3"),
            ({"student_features": torch.zeros(4, 0, 4, 4)}, "none of them 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, says):
        with pytest.raises(ValueError, match=says):
            nst_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    def test_method_sums_the_named_stages(self, maps, sized, batch):
        student, teacher = (Outputs(m[:, :, 0, 0], (m, m[:, :2], 2 + m)) for m in maps)
        (term,) = NST().losses(student, teacher, batch).values()
        one = [nst_loss(s, t) for s, t in zip(student.features, teacher.features)]
        assert term.weight == 50 and term.value.item() == pytest.approx(sum(one).item())
        method = NST.build(sized([(4, 8, 8)] * 3, [(6, 8, 8)] * 3), pairs=[[0, 2]])
        (term,) = method.losses(student, teacher, batch).values()
        assert term.value == nst_loss(student.features[0], teacher.features[2])

    def test_method_refuses_a_negative_weight(self):
        with pytest.raises(Refusal, match="weight must be at least 0, got -1"):
            NST(weight=-1.0)
