"""What noise in the images does to what a network says of them. Needs torch; experiments name it as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.experiments.bench import Bench, data_named
from kdcore.losses.relation._kinds import similarities
from kdcore.losses.response.distillation import softened_softmax
from kdcore.randomness import generator
from kdcore.recipe import Recipe
from kdcore.types import Clock, Outputs

SAMPLES = 64  # of the test split: one batch, another one for every seed
TEMPERATURE = 4.0

SAID: dict[str, Callable[[Outputs], Float[Tensor, "batch size"]]] = {
    "answers": lambda said: softened_softmax(said.logits.double(), temperature=TEMPERATURE),
    "features": lambda said: said.features[-1].double().flatten(1),
    "similarities": lambda said: similarities(said.features[-1].double().flatten(1)),
}


@torch.no_grad()
def under_noise(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    scales: Sequence[float],
    data: str,
    student: str,
    teacher: Mapping[str, Any],
) -> dict[str, Any]:
    """How far a teacher's answers, last features and their similarities move when normal noise is added to images.

    Args:
        scales: standard deviations of the noise, in parts of the range from black to white.

    Returns:
        By what is said and by scale: the length of the change over that of the differences between samples (each
        row less the mean row), so that a constant part, which a table of similarities has much of, does not count.
    """
    bench = Bench(data_named(data, device), student, teacher, recipe, seed)
    batch = bench.data.splits["test"].batch(seed, Clock(0, 1, 1), SAMPLES)
    images = batch.view("plain")
    images = images if images.is_floating_point() else images.float() / 255
    noise = torch.randn(images.shape, generator=generator(seed, "noise", device=images.device), device=images.device)
    plain, found = bench.teacher(images), {}
    noisy = {scale: bench.teacher(images + scale * noise) for scale in scales}
    for name, rows in SAID.items():
        found[name] = {f"{scale:g}": moved(rows(said), rows(plain)) for scale, said in noisy.items()}
    return found


def moved(rows: Float[Tensor, "batch size"], reference: Float[Tensor, "batch size"]) -> float:
    """
    Example:
        >>> moved(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]]))
        1.0
    """
    spread = reference - reference.mean(0)
    return ((rows - reference).norm() / spread.norm()).item()
