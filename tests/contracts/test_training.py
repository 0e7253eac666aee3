"""Every method of the catalogue in a short training by the engine itself."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.engine import Recipe, Run, fit
from kdcore.engine.setting import setting_of
from kdcore.randomness import generator, seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Entry, Outputs, Refusal, Task

RECIPE = Recipe(steps=40, batch_size=16, learning_rate=0.01, schedule="cosine", clip=1.0)


class Net(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        sizes = [1, width, 2 * width, 2 * width]
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(sizes))
        self.head = nn.Linear(2 * width, 4)

    def forward(self, images: Tensor) -> Outputs:
        features, x = [], images
        for stage in self.stages:
            x = F.relu(stage(x))
            features.append(x)
        embedding = x.mean((2, 3))
        return Outputs(self.head(embedding), tuple(features), tuple(features), embedding)


def patterns() -> Data:
    """Four classes of bright quarters in noise."""
    targets = torch.arange(64) % 4
    inputs = torch.rand(64, 1, 8, 8, generator=generator(0, "patterns"))
    for label in range(4):
        top, left = 4 * (label // 2), 4 * (label % 2)
        inputs[targets == label, :, top : top + 4, left : left + 4] += 1.0
    views = {"weak": lambda x, random: x, "strong": lambda x, random: x + 0.3 * torch.randn(x.shape, generator=random)}
    return Data(inputs, targets, Task(), views, classes=4, name="patterns")


def trained(network: nn.Module, data: Data, steps: int) -> nn.Module:
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(network(data.inputs).logits, data.targets).backward()
        optimiser.step()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def task() -> tuple[Data, nn.Module]:
    data = patterns()
    return data, trained(seeded(lambda: Net(8), 0, "teacher"), data, 60)


def run(entry: Entry, data: Data, teacher: nn.Module) -> Run:
    student = seeded(lambda: Net(4), 0, "student")
    method = seeded(lambda: entry.make.build(setting_of(student, teacher, data), **entry.settings), 0, "method")
    return Run(entry.key, Distillation(student, teacher, method), data, RECIPE, 0)


@torch.no_grad()
def matched(scheme: Distillation, data: Data, teacher: nn.Module) -> float:
    """What the scheme lowers in the end, of the whole set, at full weight."""
    batch = Batch(data, torch.arange(64), 0, Clock(99, 100, 100))
    (method,) = scheme.eval().methods
    terms = method.losses(batch.outputs(scheme.student), batch.outputs(teacher), batch)
    task = scheme.task_weight * batch.task.loss(batch.outputs(scheme.student), batch)
    scheme.train()
    return (task + sum(term.value * term.weight_at(1.0) for term in terms.values())).item()


def bits(modules: Iterable[nn.Module]) -> list[Tensor]:
    return [value.clone() for module in modules for value in module.state_dict().values()]


class TestEveryMethodTrains:
    def test_lowers_its_loss_leaves_the_teacher_alone_and_repeats_itself(self, method: Entry, task):
        data, teacher = task
        try:
            first, second = run(method, data, teacher), run(method, data, teacher)
        except Refusal:
            pytest.skip("serves texts; trained with its tests in tests/losses/test_sequence.py")
        before, start = bits([teacher]), matched(first.scheme, data, teacher)
        for one in (first, second):
            fit([one])
            assert one.failed is None, one.failed
        assert all(torch.equal(a, b) for a, b in zip(before, bits([teacher])))
        assert all(torch.equal(a, b) for a, b in zip(bits([first.scheme]), bits([second.scheme])))
        self._learned(first.scheme, start, matched(first.scheme, data, teacher))

    def _learned(self, scheme: Distillation, start: float, end: float) -> None:
        """Against a critic that learns too, falling is not promised: there its own test has each side rest in turn."""
        (method,) = scheme.methods
        assert end < start or method.critics()
