"""What claims measure beside accuracies: gradients, probabilities, calibration. Needs torch; claims name it as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kdcore._typing import Float, Int, Tensor
from kdcore.experiments.bench import Bench, data_named, raw_teacher
from kdcore.experiments.training import Trained
from kdcore.experiments.types import Training
from kdcore.losses.feature.attention import at_loss
from kdcore.losses.relation.similarity import sp_loss
from kdcore.losses.response.distillation import kd_loss, softened_softmax
from kdcore.randomness import generator
from kdcore.recipe import Recipe
from kdcore.types import Clock, Outputs

SAMPLES = 64  # of the test split: one batch, another one for every seed
BINS = 15  # of the calibration error
HIGH = 16.0  # temperatures from here on count for the slope


# ---------------------------------------------------------------- answers of a pair


@dataclass
class Pair:
    """Both networks of a row and what they say about one batch of its test split."""

    learner: nn.Module
    student: Outputs
    teacher: Outputs
    targets: Tensor


def pair(
    seed: int,
    recipe: Recipe,
    device: str,
    data: str,
    student: str,
    teacher: Mapping[str, Any],
    learner: Mapping[str, Any] | None = None,
) -> Pair:
    """A trained student (a fresh one where none is named) and the teacher, asked about the same samples."""
    bench = Bench(data_named(data, device), student, teacher, recipe, seed)
    network = (raw_teacher(learner, device) if learner else bench.network("student")).eval()
    batch = bench.data.splits["test"].batch(seed, Clock(0, 1, 1), SAMPLES)
    with torch.no_grad():
        said, taught = (net(batch.view("plain")) for net in (network, bench.teacher))
    return Pair(network, said.map(Tensor.double), taught.map(Tensor.double), batch.targets)


def kd_gradient(
    student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], temperature: float
) -> Float[Tensor, "batch classes"]:
    """Gradient of each example's `kd_loss`, squared temperature included, with respect to the student's scores."""
    scores = student.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(kd_loss(scores, teacher, temperature=temperature, reduction="sum"), scores)
    return slope


# ---------------------------------------------------------------- gradients


def gradient_norms(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    temperatures: Sequence[float],
    squared: bool,
    **asked: Any,
) -> dict[str, Any]:
    """Mean length of the gradient at each temperature, with or without the factor T^2.

    Returns:
        ``norm`` by temperature, and ``slope``, how its logarithm changes with that of the temperature from `HIGH` on:
        -2 for a fall with the square, 0 for none.
    """
    said = pair(seed, recipe, device, **asked)
    norms = {}
    for temperature in temperatures:
        slope = kd_gradient(said.student.logits, said.teacher.logits, temperature)
        norms[temperature] = (slope if squared else slope / temperature**2).norm(dim=1).mean().item()
    high = {t: norm for t, norm in norms.items() if t >= HIGH}
    return {"norm": by_temperature(norms), "slope": log_slope(high)}


def log_slope(norms: Mapping[float, float]) -> float:
    """Least-squares slope of the logarithms.

    Example:
        >>> log_slope({1.0: 8.0, 2.0: 2.0, 4.0: 0.5})
        -2.0
    """
    x, y = ([math.log(value) for value in part] for part in (norms, norms.values()))
    centre = sum(x) / len(x)
    return sum((a - centre) * b for a, b in zip(x, y)) / sum((a - centre) ** 2 for a in x)


def by_temperature(numbers: Mapping[float, float]) -> dict[str, float]:
    return {f"{temperature:g}": number for temperature, number in numbers.items()}


def high_temperature(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    centred: Sequence[str],
    temperatures: Sequence[float],
    classes: int = 10,
) -> dict[str, Any]:
    """The gradient of distillation beside what it tends to, on scores whose means are not zero unless centred.

    Args:
        centred: whose scores are given mean zero, some of ``student`` and ``teacher``.
        temperatures: at which it is measured.
        classes: K.

    Returns:
        By temperature: ``printed``, the gradient's relative distance from ``(z - u) / (K T^2)`` (huang2022 eq. 5);
        ``exact``, from the same with both means taken off; ``uniform``, the largest distance of a softened
        probability from ``1 / K``. And ``half_square``, how far the printed limit is from the gradient of
        ``|z - u|^2 / (2 K T^2)``.
    """
    random = generator(seed, "high temperature")
    student, teacher = 3 * torch.randn(2, SAMPLES, classes, generator=random, dtype=torch.float64)
    student, teacher = student + 2, teacher - 1
    student = student - student.mean(1, keepdim=True) if "student" in centred else student
    teacher = teacher - teacher.mean(1, keepdim=True) if "teacher" in centred else teacher
    difference = student - teacher
    found: dict[str, dict[float, float]] = {"printed": {}, "exact": {}, "uniform": {}}
    for temperature in temperatures:
        gradient = kd_gradient(student, teacher, temperature) / temperature**2
        limit = difference / (classes * temperature**2)
        exact = limit - limit.mean(1, keepdim=True)
        found["printed"][temperature] = relative_distance(gradient, limit)
        found["exact"][temperature] = relative_distance(gradient, exact)
        softened = softened_softmax(student, temperature=temperature)
        found["uniform"][temperature] = (softened - 1 / classes).abs().max().item()
    half = lambda scores: (scores - teacher).square().sum() / (2 * classes)
    slope = torch.func.grad(half)(student)
    return {
        **{name: by_temperature(numbers) for name, numbers in found.items()},
        "half_square": relative_distance(slope, difference / classes),
    }


def relative_distance(value: Tensor, reference: Tensor) -> float:
    return ((value - reference).norm() / reference.norm()).item()


def negative_mass(
    *, seed: int, profile: str, recipe: Recipe, device: str, temperatures: Sequence[float], **asked: Any
) -> dict[str, Any]:
    """What the other classes get at each temperature, of the teacher's answer and of the student's gradient.

    Returns:
        By temperature: ``teacher``, the probability that the teacher leaves to the other classes; ``gradient``, the
        summed absolute gradient on them, squared temperature included; ``unlike``, the part of it that tells them
        apart, what is left when their mean is taken off. All are means over samples.
    """
    said = pair(seed, recipe, device, **asked)
    own = nn.functional.one_hot(said.targets, said.student.logits.shape[1]).bool()
    found: dict[str, dict[float, float]] = {"teacher": {}, "gradient": {}, "unlike": {}}
    for temperature in temperatures:
        soft = softened_softmax(said.teacher.logits, temperature=temperature)
        slope = kd_gradient(said.student.logits, said.teacher.logits, temperature)[~own].view(len(own), -1)
        found["teacher"][temperature] = soft.masked_fill(own, 0).sum(1).mean().item()
        found["gradient"][temperature] = slope.abs().sum(1).mean().item()
        found["unlike"][temperature] = (slope - slope.mean(1, keepdim=True)).abs().sum(1).mean().item()
    return {name: by_temperature(numbers) for name, numbers in found.items()}


# ---------------------------------------------------------------- what is matched


def one_batch(
    *, seed: int, profile: str, recipe: Recipe, device: str, what: str, learner: Mapping[str, Any], **asked: Any
) -> dict[str, Any]:
    """One loss on one batch, before and after the student has learned the labels.

    Args:
        what: ``values`` (answers, at temperature 4), ``maps`` (where the last features are active) or ``relations``
            (which samples of the batch are alike, by their last features).

    Returns:
        ``fresh`` and ``trained``, the loss, and ``numbers``, how many numbers of one sample are compared.
    """
    fresh, trained = pair(seed, recipe, device, **asked), pair(seed, recipe, device, **asked, learner=learner)
    loss = LOSSES[what]
    sizes = {
        "values": fresh.student.logits.shape[1],
        "maps": math.prod(fresh.student.features[-1].shape[2:]),
        "relations": len(fresh.targets),
    }
    return {
        "fresh": loss(fresh.student, fresh.teacher).item(),
        "trained": loss(trained.student, trained.teacher).item(),
        "numbers": float(sizes[what]),
    }


LOSSES: dict[str, Callable[[Outputs, Outputs], Tensor]] = {
    "values": lambda student, teacher: kd_loss(student.logits, teacher.logits),
    "maps": lambda student, teacher: at_loss(student.features[-1], teacher.features[-1]),
    "relations": lambda student, teacher: sp_loss(student.features[-1], teacher.features[-1]),
}


# ---------------------------------------------------------------- deployment


class Deployed(Trained):
    """A row like others, judged twice: as its student is deployed at temperature 1, and left at a higher one."""

    def __call__(self, *, temperature: float, **settings: Any) -> Training:
        training = super().__call__(**settings)

        def finish(run: Any) -> dict[str, Any]:
            said = training.finish(run)
            network, test = next(iter(run.scheme.delivers().values())), run.data.splits["test"]
            return {**said, "last": {**said["last"], **judged_at(network, test, temperature)}}

        return Training(training.run, finish)

    def rehearse(self, *, temperature: float, **settings: Any) -> None:
        super().rehearse(**settings)


deployed = Deployed()


@torch.no_grad()
def judged_at(network: nn.Module, data: Any, temperature: float) -> dict[str, float]:
    """Calibration at temperature 1, and accuracy and calibration at another, over a whole split."""
    network.eval()
    logits = torch.cat([network(part.inputs).logits.double() for part in data.parts(1000)])
    softened = softened_softmax(logits, temperature=temperature)
    return {
        "calibration_error": calibration_error(logits.softmax(1), data.targets),
        "accuracy_softened": (softened.argmax(1) == data.targets).double().mean().item(),
        "calibration_error_softened": calibration_error(softened, data.targets),
    }


def calibration_error(
    probabilities: Float[Tensor, "samples classes"], targets: Int[Tensor, " samples"], bins: int = BINS
) -> float:
    """How far stated confidence lies from the share of right answers, averaged over bins of equal width.

    Example:
        >>> certain = torch.tensor([[0.95, 0.05], [0.95, 0.05]])
        >>> round(calibration_error(certain, torch.tensor([0, 1])), 4)
        0.45
    """
    confidence, answer = probabilities.max(1)
    right = (answer == targets).double()
    edge = (confidence * bins).ceil().clamp(1, bins).long() - 1
    sums = torch.zeros(2, bins, dtype=torch.float64, device=right.device)
    sums[0].index_add_(0, edge, confidence.double())
    sums[1].index_add_(0, edge, right)
    return ((sums[0] - sums[1]).abs().sum() / len(targets)).item()
