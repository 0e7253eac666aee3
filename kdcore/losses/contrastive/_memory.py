"""What was said of every sample when it was last seen, by the student and by the teacher."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses.contrastive._scores import unit
from kdcore.types import Batch

UNSEEN = -1  # the class of a sample that a loop of one's own has not shown yet
WAITING = ("waiting_rows", "waiting_students", "waiting_teachers")


class Memory(nn.Module):
    """Two banks with a row for each sample of the data set, and the two constants of the critic.

    Scores are taken against the banks as they were before a batch, and gradients still need them so; what a batch
    brings therefore waits until another batch is asked about, and a batch that is asked about twice counts once.
    Everything is a buffer, what waits too, so a saved run goes on as if nothing had happened.

    Args:
        samples: rows of each bank, the size of the data set.
        size: of a row.
        momentum: how much of an old row stays, in 0 .. 1.
        directions: whether the first, random rows are of length 1 or only so on average.
    """

    def __init__(self, samples: int, size: int, *, momentum: float, directions: bool = False):
        super().__init__()
        self.momentum = momentum
        for name in ("students", "teachers"):
            rows = (2 * torch.rand(samples, size) - 1) * math.sqrt(3 / size)
            self.register_buffer(name, unit(rows) if directions else rows)
        self.register_buffer("log_normalisers", torch.full((2,), -math.inf))
        self.register_buffer("labels", torch.full((samples,), UNSEEN))
        self.register_buffer("waiting_rows", torch.zeros(0, dtype=torch.long))
        self.register_buffer("waiting_students", torch.zeros(0, size))
        self.register_buffer("waiting_teachers", torch.zeros(0, size))
        self._asked: Tensor | None = None
        self._normalised = False

    def turn_to(self, index: Int[Tensor, " batch"]) -> None:
        """Learn what waits, unless it is this very batch that it waits for."""
        if self._asked is not index:
            self._learn()
            self._asked = index

    @torch.no_grad()
    def _learn(self) -> None:
        if len(self.waiting_rows):
            for bank, new in ((self.students, self.waiting_students), (self.teachers, self.waiting_teachers)):
                old = bank[self.waiting_rows]
                bank[self.waiting_rows] = unit(self.momentum * old + (1 - self.momentum) * new)
            self._wait(*(getattr(self, name)[:0] for name in WAITING))

    def remember(
        self, index: Int[Tensor, " batch"], students: Float[Tensor, "batch size"], teachers: Float[Tensor, "batch size"]
    ) -> None:
        """Let both networks' directions of a batch wait; outside training nothing is remembered."""
        if self.training:
            self._wait(index, students.detach().to(self.students.dtype), teachers.detach().to(self.teachers.dtype))

    def _wait(self, *values: Tensor) -> None:
        for name, value in zip(WAITING, values):
            setattr(self, name, value)

    def classes_of_all(self, batch: Batch) -> Int[Tensor, " samples"]:
        """The class of each row: the data's own, or as far as batches have shown it where only they are at hand."""
        if len(batch.data.targets) == len(self.labels):
            return batch.data.targets
        if self.training:
            self.labels[batch.index] = batch.targets
        return self.labels

    def normalisers(self, *scores: Tensor) -> Float[Tensor, " two"]:
        """The logarithms of both constants, set once: the mean exponential of the first batch, times the samples."""
        if self._normalised:
            return self.log_normalisers
        found = torch.stack([_log_mean_exp(side.detach()) for side in scores]) + math.log(len(self.students))
        if self.training:
            self.log_normalisers, self._normalised = found.to(self.log_normalisers.dtype), True
        return found

    @property
    def normalised(self) -> bool:
        return self._normalised

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in WAITING:
            if (saved := state.get(prefix + name)) is not None:
                setattr(self, name, getattr(self, name).new_empty(saved.shape))
        super()._load_from_state_dict(state, prefix, *rest)
        self._asked, self._normalised = None, bool(self.log_normalisers.isfinite().all())


def _log_mean_exp(scores: Tensor) -> Float[Tensor, ""]:
    """Of all scores that count: minus infinity stands for none."""
    return scores.logsumexp(tuple(range(scores.ndim))) - (scores > -math.inf).sum().to(scores.dtype).log()


def draw_others(
    targets: Int[Tensor, " batch"],
    all_targets: Int[Tensor, " samples"],
    count: int,
    random: torch.Generator,
    *,
    replacement: bool,
) -> Int[Tensor, "batch negatives"]:
    """For each example rows of samples of other classes, all equally likely; -1 where there are none left.

    Drawn on the device of the targets, without a look at their values, so shapes never depend on them.

    Example:
        >>> classes = torch.tensor([0, 0, 1, 2])
        >>> drawn = draw_others(classes[:1], classes, 3, torch.Generator().manual_seed(0), replacement=False)
        >>> sorted(drawn[0].tolist())
        [-1, 2, 3]
    """
    others = targets[:, None] != all_targets
    if not replacement:
        keys = torch.rand(others.shape, generator=random, device=targets.device).masked_fill(~others, -1)
        largest, rows = keys.topk(min(count, len(all_targets)), sorted=False)
        return rows.masked_fill(largest < 0, -1)
    ranks = others.cumsum(1)
    known = ranks[:, -1:]
    draws = torch.rand((len(targets), count), generator=random, device=targets.device)
    rows = torch.searchsorted(ranks, (draws * known).long() + 1)
    return rows.masked_fill(known == 0, -1)
