"""How a run is trained, as plain data: what a record's hash holds and what an experiment's profile names.

Loads no torch, so that experiments can be listed at once; `kdcore.engine` turns a recipe into an optimiser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule, length and arithmetic of a run.

    The defaults are those of the CIFAR-100 comparisons (RepDistiller and mdistiller): 240 epochs of 64 images, SGD
    with momentum 0.9 and weight decay 5e-4, learning rate 0.05 divided by ten after 150, 180 and 210 epochs.

    Args:
        epochs: passes over the data, above 0; a fraction is allowed.
        steps: number of steps, in place of `epochs`.
        batch_size: samples a step; the last, smaller batch of an epoch is left out.
        optimizer: ``sgd``, ``adam`` or ``adamw``.
        learning_rate: the highest rate of the schedule (0.01 for ShuffleNet and MobileNet students).
        momentum: of SGD; the first moment's decay of Adam.
        nesterov: Nesterov's form of the momentum.
        weight_decay: decay of every parameter.
        schedule: ``steps`` (times `gamma` at each milestone), ``one-cycle`` (linear rise over the first 30 %, cosine
            fall), ``cosine`` or ``constant``.
        milestones: fractions of the stage at which ``steps`` lowers the rate.
        gamma: the factor of ``steps``.
        clip: largest norm of an update's gradient; None for no limit.
        precision: ``float32``, or ``bfloat16`` for autocast with losses in float32.
        threads: CPU threads, fixed because one and two threads differ in the last bits.
        channels_last: memory layout of convolutions.
        compile: compile the networks where a compiler is at hand; ``graphs`` also replays them as CUDA graphs on a GPU.
        tabulate: compute a resting teacher's answers to every choice of a finite view once, instead of at each step;
            ``logits`` keeps those alone, as precise as the run computes them, and asks the teacher for all else.
        evaluate: judge after every ``epoch`` (best and mean-of-last-ten are then recorded) or at the ``end``.
    """

    epochs: float = 240.0
    steps: int | None = None
    batch_size: int = 64
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: Literal["steps", "one-cycle", "cosine", "constant"] = "steps"
    milestones: tuple[float, ...] = (150 / 240, 180 / 240, 210 / 240)
    gamma: float = 0.1
    clip: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = 1
    channels_last: bool = False
    compile: bool | Literal["graphs"] = False
    tabulate: bool | Literal["logits"] = False
    evaluate: Literal["epoch", "end"] = "end"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "threads"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("learning_rate", "momentum", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.steps is not None and not self.steps >= 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be above 0, or None for no limit, got {self.clip}")
        if not all(0 <= milestone <= 1 for milestone in self.milestones):
            raise ValueError(f"milestones must lie in 0 .. 1, fractions of the stage, got {self.milestones}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                known = ", ".join(str(choice).lower() for choice in allowed)
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")

    def length(self, samples: int, share: float = 1.0) -> tuple[int, int]:
        """Steps of a stage with this share, and steps of an epoch, for a data set of this size.

        Example:
            >>> Recipe(epochs=2, batch_size=64).length(1000, share=0.5)
            (15, 15)
        """
        per_epoch = max(1, samples // self.batch_size)
        whole = self.steps if self.steps is not None else self.epochs * per_epoch
        return max(1, math.ceil(round(whole * share, 6))), per_epoch  # 1.1 epochs of 100 steps are 110, not 111

    def rate(self, progress: float) -> float:
        """The learning rate where `progress` of the stage is done.

        Example:
            >>> [round(Recipe().rate(p), 6) for p in (0.0, 0.7, 0.8, 0.9)]
            [0.05, 0.005, 0.0005, 5e-05]
        """
        match self.schedule:
            case "steps":
                return self.learning_rate * self.gamma ** sum(progress >= m for m in self.milestones)
            case "one-cycle":
                return self.learning_rate * _one_cycle(progress)
            case "cosine":
                return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2
            case _:
                return self.learning_rate


CHOICES = {
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("steps", "one-cycle", "cosine", "constant"),
    "precision": ("float32", "bfloat16"),
    "compile": (False, True, "graphs"),
    "tabulate": (False, True, "logits"),
    "evaluate": ("epoch", "end"),
}
RISE, START = 0.3, 0.04  # a third of the way up, from 1/25 of the rate: the proportions of Smith and Topin's policy


def _one_cycle(progress: float) -> float:
    if progress < RISE:
        return START + (1 - START) * progress / RISE
    return (1 + math.cos(math.pi * (progress - RISE) / (1 - RISE))) / 2
