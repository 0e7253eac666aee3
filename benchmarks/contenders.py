"""What is compared: a plain training loop of the usual kind, its bare step, and runs of our engine in lockstep.

All train the same networks with the same loss on the same images, 64 at a step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kdcore.data import asset, load
from kdcore.data.views import Shift
from kdcore.engine import Recipe, Run, at_rest, compile_network, fit
from kdcore.losses.response.distillation import KD
from kdcore.models import build
from kdcore.schemes.offline.distillation import Distillation
from kdcore.types import Data, Task

BATCH = 64
ENDLESS = 10**9  # steps of a recipe whose end nobody waits for
SAMPLES, SIDE = 50_000, 32


class Pair(NamedTuple):
    """Teacher and student of one of the surveys' tables, and how much faster than a plain loop a GPU should be."""

    data: str
    teacher: str
    student: str
    classes: int
    table: str
    rows: int
    goal: float


CIFAR10 = Pair("cifar10", "resnet56", "resnet20", 10, "si2023-table1", 16, 20.0)
CIFAR100 = Pair("cifar100", "resnet32x4", "shufflenetv2", 100, "zhao2026-table2", 9, 10.0)


def pictures(pair: Pair, device: torch.device, samples: int = SAMPLES) -> Data:
    """The pair's training images where they are at hand, else as many made-up ones; the name says which."""
    if asset(pair.data).path.exists():
        return load(pair.data, device)
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (samples, 3, SIDE, SIDE), dtype=torch.uint8, generator=random)
    labels = torch.randint(pair.classes, (samples,), generator=random)
    views = {"weak": Shift(pad=4, mirror=True)}
    return Data(images.to(device), labels.to(device), Task(), views, classes=pair.classes, name="synthetic images")


def finished(pair: Pair, data: Data) -> nn.Module:
    """A teacher whose norms have seen images; how fast it answers does not depend on what it knows."""
    network = build(pair.teacher, pair.classes, role="teacher").to(data.device).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(data.inputs[: 4 * BATCH])
    return network.eval().requires_grad_(False)


# ---------------------------------------------------------------- the usual loop


class Photographs(Dataset):
    """Arrays of which each image becomes a picture, and the picture a tensor, when it is asked for."""

    def __init__(self, data: Data):
        from torchvision import transforms

        self.images = data.inputs.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        self.labels = data.targets.tolist()
        steps = [transforms.RandomCrop(data.inputs.shape[-1], padding=4), transforms.RandomHorizontalFlip()]
        self.change = transforms.Compose([*steps, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.change(Image.fromarray(self.images[index])), self.labels[index]


@contextmanager
def usual(threads: int) -> Iterator[None]:
    """What a plain script leaves or sets: any algorithm, tuned to the sizes that come; the engine's settings return."""
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.backends.cudnn.benchmark = before[1]


def usual_loss(said: Tensor, lesson: Tensor, labels: Tensor) -> Tensor:
    """Distillation as plain scripts write it: 0.9 beside 0.1 for the labels, T = 4."""
    soft = F.kl_div(F.log_softmax(said / 4, 1), F.softmax(lesson / 4, 1), reduction="batchmean")
    return 0.1 * F.cross_entropy(said, labels) + 0.9 * 16 * soft


class Plain:
    """One student and its teacher, who is asked again at every step: single precision, pictures from a loader.

    Args:
        pair: which networks.
        data: the images.
        teacher: a finished network.
        workers: processes of the loader; None for the bare step, which sees one batch again and again.
        threads: CPU threads.
    """

    def __init__(self, pair: Pair, data: Data, teacher: nn.Module, workers: int | None, threads: int):
        self.device, self.teacher, self.threads = data.device, teacher, threads
        self.student = build(pair.student, pair.classes).to(self.device).train()
        self.optimizer = torch.optim.SGD(self.student.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
        self.batches = _same_batch(data) if workers is None else _loaded(data, workers)

    def run(self, steps: int) -> None:
        with usual(self.threads):
            for _ in range(steps):
                images, labels = next(self.batches)
                self._step(images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True))

    def _step(self, images: Tensor, labels: Tensor) -> None:
        with torch.no_grad():
            lesson = self.teacher(images).logits
        loss = usual_loss(self.student(images).logits, lesson, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def _same_batch(data: Data) -> Iterator[tuple[Tensor, Tensor]]:
    return repeat((data.inputs[:BATCH].float() / 255, data.targets[:BATCH]))


def _loaded(data: Data, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    pinned = data.device.type == "cuda"
    settings = {"shuffle": True, "drop_last": True, "num_workers": workers, "pin_memory": pinned}
    loader = DataLoader(Photographs(data), BATCH, **settings)
    while True:
        yield from loader


# ---------------------------------------------------------------- ours


class Ours:
    """Runs of the engine at one point of the data: they share its batch and one pass of the teacher.

    Args:
        pair: which networks.
        data: the images, on the device.
        teacher: a finished network.
        recipe: precision, threads and whether to compile.
        students: how many learn together.
    """

    def __init__(self, pair: Pair, data: Data, teacher: nn.Module, recipe: Recipe, students: int):
        resting = at_rest(_laid_out(copy.deepcopy(teacher), recipe), recipe.precision, data.inputs[:8])
        lesson = compile_network(resting, recipe.compile, data.device)
        self.runs = []
        for number in range(students):
            student = _laid_out(build(pair.student, pair.classes, role=f"student {number}").to(data.device), recipe)
            student = compile_network(student, recipe.compile, data.device)
            self.runs.append(Run(f"student {number}", Distillation(student, lesson, KD()), data, recipe, seed=0))

    def run(self, steps: int) -> None:
        left = iter(range(steps))
        fit(self.runs, every_seconds=float("inf"), should_stop=lambda: next(left, None) is None)


def _laid_out(network: nn.Module, recipe: Recipe) -> nn.Module:
    return network.to(memory_format=torch.channels_last) if recipe.channels_last else network


def recipe_of(precision: str, threads: int, compile: Any) -> Recipe:
    """The surveys' own recipe, as the `paper` profile has it, without an end."""
    settings = {"precision": precision, "threads": threads, "compile": compile}
    return Recipe(steps=ENDLESS, batch_size=BATCH, learning_rate=0.05, channels_last=True, **settings)
