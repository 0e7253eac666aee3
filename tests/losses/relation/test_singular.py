"""What a reader may rely on in correlated singular vectors, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.engine import Recipe, Run, fit
from kdcore.losses import kdsvd_loss
from kdcore.losses.relation.singular import KDSVD
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Data, Outputs, Refusal, Task


@pytest.fixture
def layers():
    """Two layers of the student, two of the teacher, of full rank: sines of the squared index."""
    sizes, speeds = [(4, 3, 4, 4), (4, 5, 2, 2)] * 2, (0.7, 0.9, 1.3, 1.7)
    index = [torch.arange(torch.Size(size).numel(), dtype=torch.float64).view(size) for size in sizes]
    made = [4 * torch.sin(speed * number**2 + 1) for speed, number in zip(speeds, index)]
    return [maps.requires_grad_(place < 2) for place, maps in enumerate(made)]


def strongest(sample, count: int) -> list[list[float]]:
    """Right singular vectors of one sample's map, positions by channels, their largest entry positive."""
    found = torch.linalg.svd(sample.detach().flatten(1).mT, full_matrices=False)[2][:count]
    return [(v * v[v.abs().argmax()].sign()).tolist() for v in found]


def naive(student, teacher) -> list[float]:
    """Example by example for one component: the student's nearest of four, turned to the teacher's side."""
    each = []
    for mine, theirs in zip(zip(*student), zip(*teacher)):
        kept = []
        for s, t in zip(mine, theirs):
            (wanted,) = strongest(t, 1)
            cosines = [(sum(a * b for a, b in zip(v, wanted)), v) for v in strongest(s, 4)]
            cosine, nearest = max(cosines, key=lambda pair: abs(pair[0]))
            kept.append(([math.copysign(1, cosine) * a for a in nearest], wanted))
        (s1, t1), (s2, t2) = kept
        rbf = lambda x, y, i, j: math.exp(-((x[i] - y[j]) ** 2) / 8)
        each.append(sum((rbf(s2, s1, i, j) - rbf(t2, t1, i, j)) ** 2 for i in range(len(t2)) for j in range(len(t1))))
    return each


class TestKDSVD:
    def test_value_worked_by_hand(self):
        one, other = torch.tensor([[[[3.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[2.0]]]])
        apart = (1 - math.exp(-1 / 8)) ** 2  # each of four pairs of channels: 1 against exp(-1/8)
        assert kdsvd_loss(one, one, one, other).item() == pytest.approx(4 * apart, rel=1e-5)

    def test_is_the_equation(self, layers):
        wanted = naive(layers[:2], layers[2:])
        assert kdsvd_loss(*layers, reduction="none").tolist() == pytest.approx(wanted, rel=1e-10)

    def test_agrees_with_other_peoples_code_once_its_signs_are_fixed(self, layers, reference, found, theirs):
        for known in reference("kdsvd"):
            reached = layers[["student_first", "student_second"].index(known["of"])]
            mine = found(kdsvd_loss(*layers, **known["settings"]), reached, known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    @pytest.mark.parametrize("components", [1, 2])
    def test_signs_of_a_library_play_no_part(self, layers, components):
        value = kdsvd_loss(*layers, components=components)
        assert_close(kdsvd_loss(*(-maps for maps in layers), components=components), value)
        assert_close(kdsvd_loss(-layers[0], *layers[1:], components=components), value)

    def test_strength_of_the_maps_counts_for_nothing(self, layers):
        assert_close(kdsvd_loss(3 * layers[0], *layers[1:]), kdsvd_loss(*layers))
        assert kdsvd_loss(*layers[2:], *layers[2:]).item() == pytest.approx(0, abs=1e-25)

    def test_dead_maps_stay_finite(self, layers):
        for dead in range(4):
            given = [torch.zeros_like(maps) if place == dead else maps.detach() for place, maps in enumerate(layers)]
            value = kdsvd_loss(*(maps.requires_grad_(place < 2) for place, maps in enumerate(given)))
            slopes = torch.autograd.grad(value, given[:2])
            assert value.isfinite() and all(slope.isfinite().all() for slope in slopes)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_second": torch.zeros(4, 4, 2, 2)}, r"must have equal channels, got \[3, 5\] and \[3, 4\]"),
            ({"components": 0}, "components must be at least 1, got 0"),
            ({"student_first": torch.zeros(4, 3)}, r"student_first must have shape \(batch, channels, height, width\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, layers, change, says):
        names = ("student_first", "student_second", "teacher_first", "teacher_second")
        with pytest.raises(ValueError, match=says):
            kdsvd_loss(**dict(zip(names, layers)) | change)

    def test_method_sums_neighbouring_stages(self, layers, batch_of, setting):
        student, teacher = (Outputs(torch.zeros(4, 10), tuple(maps)) for maps in (layers[:2], layers[2:]))
        made = KDSVD.build(setting([(3, 4, 4), (5, 2, 2)], [(3, 4, 4), (5, 2, 2)]))
        (term,) = made.losses(student, teacher, batch_of(torch.arange(4), step=2)).values()
        assert_close(term.value, kdsvd_loss(*layers))
        assert term.weight == 1 and made.limit == pytest.approx(0.8808, abs=1e-4)

    @pytest.mark.parametrize(
        ("student", "teacher", "says"),
        [
            ([(3, 4, 4), (5, 2, 2)], [(3, 4, 4), (6, 2, 2)], "stages have 3, 5 where the teacher's have 3, 6"),
            ([(3, 4, 4)], [(3, 4, 4)], "two or more stages are needed, .* got 1 and 1"),
            ([(3, 4, 4)] * 2, [(3, 4, 4)] * 3, "got 2 and 3"),
        ],
    )
    def test_method_refuses_an_impossible_pair(self, setting, student, teacher, says):
        with pytest.raises(Refusal, match=says):
            KDSVD.build(setting(student, teacher))

    def test_in_a_training_its_gradient_is_cut_to_the_tasks(self, sines):
        """However loud it is made, no weight moves further than the task and as much again would move it."""
        images = sines(16, 1, 6, 6, speed=0.3, dtype=torch.float32)
        data = Data(images, torch.arange(16) % 4, Task(), {"weak": lambda x, random: x}, classes=4)
        moved = []
        for weight in (1e3, 0.0):
            student, teacher = (seeded(Stages, 0, role) for role in ("student", "teacher"))
            before = [p.detach().clone() for p in student.parameters()]
            scheme = Distillation(student, teacher, KDSVD((3, 4), (3, 4), weight=weight))
            recipe = Recipe(steps=1, batch_size=16, learning_rate=0.1, momentum=0.0, weight_decay=0.0)
            assert fit([Run("one step", scheme, data, recipe, 0)])
            moved.append([(now - then).norm().item() for now, then in zip(student.parameters(), before)])
        loud, alone = moved
        assert all(far <= 1.51 * near + 1e-7 for far, near in zip(loud, alone))  # half as much at the first step
        assert loud != alone


class Stages(torch.nn.Module):
    """Two stages and a head."""

    def __init__(self):
        super().__init__()
        self.lower, self.upper = torch.nn.Conv2d(1, 3, 3, 2, 1), torch.nn.Conv2d(3, 4, 3, 1, 1)
        self.head = torch.nn.Linear(4, 4)

    def forward(self, images):
        low = self.lower(images).relu()
        high = self.upper(low).relu()
        return Outputs(self.head(high.mean((2, 3))), (low, high))
