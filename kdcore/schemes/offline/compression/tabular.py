"""Small tables that scikit-learn ships, and a perceptron that reads them."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.randomness import generator
from kdcore.schemes.offline._transfer import plain
from kdcore.types import Data, Outputs, Refusal, Task

Table = Literal["breast-cancer", "wine", "digits-pixels"]
LOADERS = {"breast-cancer": "load_breast_cancer", "wine": "load_wine", "digits-pixels": "load_digits"}
TESTED = 0.5  # share of every class that is kept for judging: the tables are small, and accuracies would be coarse


def table(name: Table, device: torch.device | str = "cpu") -> Data:
    """A table with attributes scaled to [0, 1] by its training half, split once and for all, class by class.

    Args:
        name: ``breast-cancer`` (30 attributes, 2 classes), ``wine`` (13, 3) or ``digits-pixels`` (64, 10).
        device: where its tensors live.
    """
    if name not in LOADERS:
        raise Refusal(f"table must be one of {', '.join(LOADERS)}, got {name!r}")
    from sklearn import datasets  # late, because it costs half a second

    attributes, labels = getattr(datasets, LOADERS[name])(return_X_y=True)
    values, targets = torch.tensor(attributes, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
    tested = _tested(targets)
    low, high = values[~tested].amin(0), values[~tested].amax(0)
    values = ((values - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)).clamp(0, 1)
    digest = hashlib.sha256(values.numpy().tobytes() + targets.numpy().tobytes() + tested.numpy().tobytes()).hexdigest()

    def part(rows: Tensor, **more: object) -> Data:
        inputs, answers = values[rows].to(device), targets[rows].to(device)
        views = {"weak": plain, "plain": plain}
        return Data(inputs, answers, Task(), views, classes=len(targets.unique()), name=name, digest=digest, **more)

    return part(~tested, splits={"test": part(tested)})


def _tested(targets: Tensor) -> Tensor:
    """Which samples are kept for judging, the same share of every class."""
    tested, random = torch.zeros(len(targets), dtype=torch.bool), generator("table", "split")
    for label in targets.unique():
        members = (targets == label).nonzero()[:, 0]
        order = members[torch.randperm(len(members), generator=random)]
        tested[order[: round(TESTED * len(order))]] = True
    return tested


class Perceptron(nn.Module):
    """Attributes, one hidden layer, scores.

    Args:
        attributes: numbers a sample.
        classes: number of classes.
        hidden: units of the hidden layer.
    """

    def __init__(self, attributes: int, classes: int, *, hidden: int):
        super().__init__()
        self.hidden = nn.Linear(attributes, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, samples: Tensor) -> Outputs:
        before = self.hidden(samples.flatten(1))
        after = F.relu(before)
        return Outputs(self.classifier(after), (after,), (before,), after)
