"""Whose representation is it? A sample's own one against thousands of others that are remembered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import Reduction, check_dimensions, check_range, full_precision, reduce, refuse_out_of_range
from kdcore.losses.contrastive._memory import Memory, draw_others
from kdcore.losses.contrastive._scores import (
    as_precise,
    check_pairs,
    check_rows,
    check_vectors,
    embedding_sizes,
    unit,
)
from kdcore.losses.contrastive.generic import contrastive_kd_generic_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Scored = tuple[Float[Tensor, " batch"], Float[Tensor, "batch negatives"]]  # with one's own partner, with others


def crd_loss(
    student_projection: Float[Tensor, "batch size"],
    teacher_projection: Float[Tensor, "batch size"],
    bank_of_students: Float[Tensor, "samples size"],
    bank_of_teachers: Float[Tensor, "samples size"],
    own_rows: Int[Tensor, " batch"],
    other_rows: Int[Tensor, "batch negatives"],
    *,
    temperature: float = 0.07,
    log_normalisers: Sequence[float] | Float[Tensor, " two"] = (0.0, 0.0),
    epsilon: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Tell a sample's own representation in the other network from those of many other samples.

    .. math::
        L = \ell(s, B^t) + \ell(t, B^s), \quad
        \ell(v, B) = -\log h(v, B_y) - \sum_{k=1}^{N} \log \bigl(1 - h(v, B_k)\bigr), \quad
        h(v, b) = \frac{e^{v \cdot b / \tau} / Z}{e^{v \cdot b / \tau} / Z + N / M}

    Survey: zhao2026 section 4.3 and Table 2, which files it under values (errata Z-21); si2023 sections 2.1, 2.2.3
    and Table 1 (under outputs and under structure: errata S-11); huang2022 sections 1 and 4.4.
    Paper: {cite:t}`tian2020contrastive`.

    Args:
        student_projection: what the student's head makes of its embedding, any floating type; float32 at least.
        teacher_projection: what the teacher's head makes of the teacher's; that head learns too, so a gradient goes
            here.
        bank_of_students: a remembered row for each of the M samples of the data set; taken as a constant.
        bank_of_teachers: the same of the teacher; taken as a constant.
        own_rows: each example's own row.
        other_rows: rows of N other samples for each; below 0 stands for none, and still counts in N.
        temperature: tau, above 0. Default 0.07: the authors' code.
        log_normalisers: the logarithms of Z for the student's scores and for the teacher's. Default 0: no constant;
            the authors' code sets both at the first batch and keeps them (`CRD` does so).
        epsilon: added to N / M in the denominators, at least 0. Default 0; the authors' code adds 1e-7.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 for no finite scores. Where negatives are drawn from all samples, the expectation of
        either half is at least ``log N`` minus the mutual information of both representations.

    Raises:
        TypeError: vectors are not of a floating type, or rows are.
        ValueError: shapes do not belong together, a row is none of the banks', or a number is out of its range.

    Notes:
        Both projections are brought to length 1 here; the banks are taken as they are (the authors start from rows
        whose length is 1 on average only).
        The scores are one product with the whole bank, from which N + 1 numbers an example are picked, where the
        authors' code gathers N + 1 vectors an example: the same values and gradients from a fraction of the memory.
        It works with the logarithm of h, where the authors' code divides exponentials.

    Example:
        >>> import torch
        >>> one, bank = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> loss = crd_loss(one, one, bank, bank, torch.tensor([0]), torch.tensor([[1]]), temperature=1.0)
        >>> by_hand = torch.log(1 + torch.tensor([0.5]) / torch.e) + torch.log(1 + torch.tensor([2.0]))
        >>> torch.allclose(loss, 2 * by_hand)
        True
    """
    check_vectors(
        student_projection=student_projection,
        teacher_projection=teacher_projection,
        bank_of_students=bank_of_students,
        bank_of_teachers=bank_of_teachers,
    )
    check_pairs("student_projection", student_projection, "teacher_projection", teacher_projection)
    check_pairs("bank_of_students", bank_of_students, "bank_of_teachers", bank_of_teachers)
    check_dimensions("batch", own_rows=own_rows)
    check_dimensions("batch negatives", other_rows=other_rows)
    check_rows(len(bank_of_students), own_rows=own_rows, other_rows=other_rows)
    check_range(temperature=(temperature, 0.0, False), epsilon=(epsilon, 0.0, True))
    sides = (student_projection, bank_of_teachers), (teacher_projection, bank_of_students)
    values = [
        told_apart(scored(unit(v), bank, own_rows, other_rows, temperature), len(bank), log_z, epsilon)
        for (v, bank), log_z in zip(sides, log_normalisers)
    ]
    return reduce(values[0] + values[1], reduction)


def scored(
    directions: Float[Tensor, "batch size"],
    bank: Float[Tensor, "samples size"],
    own_rows: Int[Tensor, " batch"],
    other_rows: Int[Tensor, "batch negatives"],
    temperature: float,
) -> Scored:
    """Products with one's own row and with those of others, over the temperature."""
    with full_precision(directions):
        all_scores = (directions / temperature) @ as_precise(bank, directions).T
    own, others = all_scores.gather(1, own_rows[:, None]), all_scores.gather(1, other_rows.clamp_min(0))
    return own[:, 0], others.masked_fill(other_rows < 0, -math.inf)


def told_apart(
    scores: Scored, samples: int, log_normaliser: float | Tensor, epsilon: float = 0.0
) -> Float[Tensor, " batch"]:
    """The noise-contrastive loss of each row of scores, with uniform noise over the samples."""
    own, others = scores
    noise = others.shape[1] / samples
    shift = log_normaliser + math.log(noise + epsilon)
    value = contrastive_kd_generic_loss(own - shift, others - shift, form="binary", reduction="none")
    return value + others.shape[1] * math.log1p(epsilon / noise) if epsilon else value


class CRD(Method):
    """`crd_loss` between linear heads of both embeddings, with two banks of the size of the data set.

    The negatives are samples of other classes, drawn on the device from the batch's own stream: without repetition,
    as in the authors' code, unless more are asked for than there are. Both constants Z are set at the first batch,
    as there; the banks are updated with the batch's directions and brought back to length 1, after they were used.

    Args:
        student: size of the student's embedding.
        teacher: of the teacher's.
        samples: rows of each bank, the size of the data set.
        classes: decides whether there are enough others to draw them without repetition.
        size: of the projections. Default 128, as all here the authors' on CIFAR-100 (RepDistiller).
        negatives: N. Default 16384; a data set of fewer samples needs another number.
        temperature: tau. Default 0.07.
        momentum: how much of an old row stays. Default 0.5.
        normalised: whether to use the constants Z, which the critic of the paper does without.
        weight: against the labels. Default 0.8.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        samples: int,
        classes: int,
        *,
        size: int = 128,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        normalised: bool = True,
        weight: float = 0.8,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, momentum=momentum, weight=weight)
        if negatives < 1 or size < 1:
            raise Refusal(f"crd needs at least one negative and a size of at least 1, got {negatives} and {size}")
        self.negatives, self.replacement = negatives, negatives > samples - math.ceil(samples / classes)
        self.temperature, self.normalised, self.weight = temperature, normalised, weight
        self.student_head, self.teacher_head = nn.Linear(student, size), nn.Linear(teacher, size)
        self.memory = Memory(samples, size, momentum=momentum)

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        return cls(*embedding_sizes(setting, "crd"), setting.samples, setting.classes, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        self.memory.turn_to(batch.index)
        mine, theirs = unit(self.student_head(student.embedding)), unit(self.teacher_head(teacher.embedding.detach()))
        negatives = self.drawn(batch)
        value = crd_loss(
            mine,
            theirs,
            self.memory.students,
            self.memory.teachers,
            batch.index,
            negatives,
            temperature=self.temperature,
            log_normalisers=self._normalisers(mine, theirs, batch.index, negatives),
        )
        self.memory.remember(batch.index, mine, theirs)
        return {"crd": Term(value, self.weight)}

    def drawn(self, batch: Batch) -> Int[Tensor, "batch negatives"]:
        """The negatives of a batch, the same whenever it is asked for."""
        random = batch.generator("crd")
        classes = self.memory.classes_of_all(batch)
        return draw_others(batch.targets, classes, self.negatives, random, replacement=self.replacement)

    @torch.no_grad()
    def _normalisers(self, mine: Tensor, theirs: Tensor, *rows: Tensor) -> Sequence[float] | Tensor:
        if not self.normalised:
            return (0.0, 0.0)
        if self.memory.normalised:
            return self.memory.log_normalisers
        sides = (mine, self.memory.teachers), (theirs, self.memory.students)
        scores = [scored(v, bank, *rows, self.temperature) for v, bank in sides]
        return self.memory.normalisers(*(torch.cat([own[:, None], others], 1) for own, others in scores))


ENTRIES = (
    Entry("crd", "loss", CRD, {}, "ICLR 2020, the authors' code"),
    Entry("crd-paper", "loss", CRD, {"normalised": False}, "ICLR 2020, its critic without the constants Z"),
)
