"""A method of the catalogue in a training loop of one's own.

`Matching` builds a method from two networks and one batch, keeps its adapters beside the student, and turns a batch
into one number to lower and the named parts of it. It is a plain module: its parameters go to any optimiser, it is
saved by its state dict, and it works inside autocast and under DistributedDataParallel. The teacher is no part of it.

A method that needs a stage of its own before, or a critic with an optimiser of its own, is refused here: those run with
`kdcore train`, or with their scheme and `kdcore.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdcore.catalogue import load
from kdcore.engine.setting import shapes
from kdcore.schemes.offline.distillation import Distillation
from kdcore.types import Batch, Clock, Data, Refusal, Setting, Task, take


class Matched(NamedTuple):
    """What a batch gives: the number to lower, and its parts by name, unweighted and without a graph."""

    loss: Tensor
    terms: dict[str, Tensor]


class Matching(nn.Module):
    """A student, and what a method learns beside it.

    Args:
        key: of a loss, as ``kdcore methods`` lists them.
        student: the network that learns; it returns `kdcore.types.Outputs`, as any network does that
            `kdcore.models.wrap` has named the layers of.
        teacher: a finished one, likewise; it is frozen and put in eval mode.
        inputs: one batch, or two samples of it: only their sizes are read.
        task: the supervised loss; classification with labels where None.
        task_weight: of the supervised loss; the method's published one where None, 0 to leave it out.
        samples: how many the training set has, for methods that keep a memory of it; those of `inputs` where None.
        steps: of the whole training, for weights that change with time.
        seed: of whatever the method draws.
        settings: of the method, in place of its published ones.

    Raises:
        Refusal: the pair cannot be matched in this way; the sentence says why.

    Example:
        >>> from kdcore.models import wrap
        >>> net = lambda width: nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(width * 36, 10))
        >>> student, teacher = (wrap(net(width), layers=["0"]) for width in (4, 8))
        >>> images, labels = torch.zeros(2, 3, 8, 8), torch.tensor([1, 2])
        >>> matching = Matching("fitnet-joint", student, teacher, images)
        >>> sorted(matching(images, labels).terms)
        ['hint', 'task']
    """

    def __init__(
        self,
        key: str,
        student: nn.Module,
        teacher: nn.Module,
        inputs: Any,
        *,
        task: Task | None = None,
        task_weight: float | None = None,
        samples: int | None = None,
        steps: int = 1,
        seed: int = 0,
        **settings: Any,
    ):
        super().__init__()
        entry = load(key)
        if entry.kind != "loss" or not isinstance(entry.make, type):
            raise Refusal(f"{key} is a {entry.kind}, and a loop of one's own takes a loss")
        method = entry.make.build(_setting(student, teacher, inputs, samples), **{**entry.settings, **settings})
        method.to(_first(inputs).device)
        self.task, self.steps, self.seed = task or Task(), steps, seed
        self.scheme = Distillation(student, teacher, method, task_weight=task_weight)
        *before, main = self.scheme.stages()
        if before:
            names = " and ".join(stage.name for stage in before)
            raise Refusal(f"{key} trains in another stage first ({names}): `kdcore train` carries out both")
        if len(main.updates) > 1:
            raise Refusal(f"{key} trains a critic with an optimiser of its own: `kdcore train` carries out both")
        self._losses = main.updates[0].losses

    def forward(
        self,
        inputs: Any,
        targets: Any,
        *,
        step: int = 0,
        index: Tensor | None = None,
        views: Mapping[str, Any] | None = None,
    ) -> Matched:
        """What this batch gives.

        Args:
            inputs: as both networks take them.
            targets: what is asked of each sample.
            step: of `steps`.
            index: the number of each sample in the training set, for methods that keep a memory of it.
            views: the same samples otherwise augmented, by name, for methods that compare two.
        """
        batch = self._batch(inputs, targets, step, index, {"weak": inputs, **(views or {})})
        terms = self._losses(batch)
        total = sum(term.weight_at(batch.clock.progress) * term.value for term in terms.values())
        return Matched(total, {name: term.value.detach() for name, term in terms.items()})

    def _batch(self, inputs: Any, targets: Any, step: int, index: Tensor | None, views: Mapping[str, Any]) -> Batch:
        """A batch whose samples and views are already there."""
        if index is None:
            index = torch.arange(len(_first(inputs)), device=_first(inputs).device)
        data = Data(inputs, targets, self.task, Views.fromkeys(views, _as_given))
        memo = {"targets": targets, **{("view", name): view for name, view in views.items()}}
        return Batch(data, index, self.seed, Clock(step, self.steps, self.steps), memo)


class Views(dict):
    """The views that a batch was given; another one is refused by name."""

    def __missing__(self, name: str) -> Any:
        raise Refusal(f"the method compares views of the same samples: give views={{{name!r}: ...}} beside the inputs")


def _as_given(inputs: Any, random: torch.Generator) -> Any:
    return inputs


def _setting(student: nn.Module, teacher: nn.Module, inputs: Any, samples: int | None) -> Setting:
    sample = take(inputs, slice(0, 2))
    said, taught = shapes(student, sample), shapes(teacher, sample)
    return Setting(said, taught, said.logits.shape[-1], samples or len(_first(inputs)), teacher)


def _first(inputs: Any) -> Tensor:
    return next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
