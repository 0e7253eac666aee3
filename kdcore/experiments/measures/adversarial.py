"""What is measured of games: how near two sets of answers lie, how far peers disagree, and texts that are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.data import load
from kdcore.experiments.bench import Bench, data_named, raw_teacher
from kdcore.experiments.training import Trained
from kdcore.experiments.types import Training
from kdcore.recipe import Recipe
from kdcore.schemes.offline.soft_text import Writing
from kdcore.types import Data

# ---------------------------------------------------------------- sets of answers


def answers_gap(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    data: str,
    student: str,
    teacher: Mapping[str, Any],
    learner: Mapping[str, Any],
) -> dict[str, float]:
    """How far a trained student's answers to the test split lie from its teacher's, as a set and one by one.

    Answers are scores less their mean over the classes; the unit is the mean distance between two of the teacher's.

    Returns:
        ``as_a_set``, the energy distance of both sets, which asks for no pairs; ``one_by_one``, the mean distance of
        the two answers to the same image.
    """
    bench = Bench(data_named(data, device), student, teacher, recipe, seed)
    test = bench.data.splits["test"]
    mine, theirs = (centred_answers(network, test) for network in (raw_teacher(learner, device), bench.teacher))
    unit = mean_distance(theirs, theirs)
    each = (mine - theirs).norm(dim=1).mean()
    return {"as_a_set": (energy_distance(mine, theirs) / unit).item(), "one_by_one": (each / unit).item()}


@torch.no_grad()
def centred_answers(network: nn.Module, data: Data) -> Float[Tensor, "samples classes"]:
    logits = torch.cat([network(part.inputs).logits.double() for part in data.parts(1000)])
    return logits - logits.mean(1, keepdim=True)


def energy_distance(one: Float[Tensor, "samples size"], other: Float[Tensor, "others size"]) -> Float[Tensor, ""]:
    """Twice the mean distance across two sets less the mean distances within; 0 for the same set in any order.

    Example:
        >>> one, other = torch.tensor([[0.0], [2.0]]), torch.tensor([[2.0], [0.0]])
        >>> energy_distance(one, other).item(), energy_distance(one, one[:1]).item()
        (0.0, 1.0)
    """
    return 2 * mean_distance(one, other) - mean_distance(one, one) - mean_distance(other, other)


def mean_distance(one: Float[Tensor, "samples size"], other: Float[Tensor, "others size"]) -> Float[Tensor, ""]:
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").mean()


# ---------------------------------------------------------------- peers


class Peers(Trained):
    """A row like others, judged also by how often its first two networks choose different answers."""

    def __call__(self, **settings: Any) -> Training:
        training = super().__call__(**settings)

        def finish(run: Any) -> dict[str, Any]:
            said = training.finish(run)
            one, other, *_ = run.scheme.delivers().values()
            apart = disagreement(one, other, run.data.splits["test"])
            return {**said, "last": {**said["last"], "disagreement": apart}}

        return Training(training.run, finish)


peers = Peers()


@torch.no_grad()
def disagreement(one: nn.Module, other: nn.Module, data: Data) -> float:
    """The share of a split on which two networks, in eval mode, choose different classes."""
    choices = [
        torch.cat([network.eval()(part.inputs).logits.argmax(1) for part in data.parts(1000)])
        for network in (one, other)
    ]
    return (choices[0] != choices[1]).double().mean().item()


# ---------------------------------------------------------------- texts

SHOWN = 4  # written texts that a record quotes


class Writers(Trained):
    """A row like others, whose record quotes a few of the texts that its network writes."""

    def __call__(self, **settings: Any) -> Training:
        training = super().__call__(**settings)

        def finish(run: Any) -> dict[str, Any]:
            said = training.finish(run)
            return {**said, "texts": quoted(next(iter(run.scheme.delivers().values())), run.data)}

        return Training(training.run, finish)


writers = Writers()


@torch.no_grad()
def quoted(network: nn.Module, data: Data) -> list[str]:
    """The likeliest characters of the first texts that a network writes."""
    tokens = network.eval()(data.inputs[:SHOWN]).logits.argmax(2)
    return [load("topics").task.decode(text) for text in tokens]


def texts(device: torch.device | str = "cpu", *, length: int = 32) -> Data:
    """The help texts as a set of windows that a network is to write more of."""
    data = load("topics", device, length=length)
    task = Writing(data.classes)
    splits = {name: replace(split, task=task) for name, split in data.splits.items()}
    return replace(data, task=task, splits=splits)
