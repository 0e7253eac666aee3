"""Whose relation is it? What lies between a sample and an anchor, told from what lies between others and the anchor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_range,
    full_precision,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.contrastive._memory import Memory, draw_others
from kdcore.losses.contrastive._scores import (
    as_precise,
    check_pairs,
    check_rows,
    check_vectors,
    embedding_sizes,
    unit,
)
from kdcore.losses.contrastive.representation import told_apart
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

SMALLEST = 1e-12  # squared distance of two rows below which there is no relation between them
UNTIL = 240 / 250  # the authors' code drops the loss for the last 10 of 250 epochs


def crcd_loss(
    student_projection: Float[Tensor, "batch size"],
    teacher_projection: Float[Tensor, "batch size"],
    bank_of_students: Float[Tensor, "samples size"],
    bank_of_teachers: Float[Tensor, "samples size"],
    own_rows: Int[Tensor, " batch"],
    other_rows: Int[Tensor, "batch negatives"],
    anchor_rows: Int[Tensor, " anchors"],
    *,
    temperature: float = 0.05,
    log_normalisers: Sequence[float] | Float[Tensor, " two"] = (0.0, 0.0),
    epsilon: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Tell how a sample lies to an anchor, as the other network has it, from how other samples lie to that anchor.

    .. math::
        L = \ell(s, B^t) + \ell(t, B^s), \quad
        \ell(v, B) = \frac1A \sum_a \Bigl[ -\log h(v, B_y; a) - \sum_{k=1}^{N} \log \bigl(1 - h(v, B_k; a)\bigr) \Bigr]

    .. math::
        h(v, b; a) = \frac{e^{r / \tau} / Z}{e^{r / \tau} / Z + N / M}, \quad
        r = \frac{(v - B_a) \cdot (b - B_a)}{\lVert v - B_a \rVert_2 \, \lVert b - B_a \rVert_2}

    Survey: si2023 section 2.2.3, in words.
    Paper: {cite:t}`zhu2021complementary`, which could not be read; the equation is that of the code that its first
    author published and calls incomplete.

    Args:
        student_projection: what the student's head makes of a vector, any floating type; float32 at least.
        teacher_projection: what the teacher's head makes of the teacher's; that head learns too.
        bank_of_students: a remembered row for each of the M samples of the data set; taken as a constant.
        bank_of_teachers: the same of the teacher; taken as a constant.
        own_rows: each example's own row.
        other_rows: rows of N other samples for each; below 0 stands for none, and still counts in N.
        anchor_rows: rows from which relations start; the code takes those of the batch itself.
        temperature: tau, above 0. Default 0.05: the code.
        log_normalisers: the logarithms of Z for both sides. Default 0: no constant (`CRCD` sets both at the first
            batch, as the code does).
        epsilon: added to N / M in the denominators, at least 0. Default 0; the code adds 1e-7.
        reduction: over examples; an example without any relation is 0.

    Returns:
        A value of at least 0.

    Raises:
        TypeError: vectors are not of a floating type, or rows are.
        ValueError: shapes do not belong together, a row is none of the banks', or a number is out of its range.

    Notes:
        A sample has no relation to itself, so an anchor that is the sample is left out, and so is a negative that
        is the anchor. The code keeps both, with the direction that its 1e-6 in each difference gives to nothing.
        The differences to negatives are never formed: products of rows are enough.

    Example:
        >>> import torch
        >>> one, bank = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> rows = torch.tensor([0]), torch.tensor([[1]]), torch.tensor([2])  # own, others', the anchor's
        >>> value = crcd_loss(one, one, bank, bank, *rows, temperature=1.0)
        >>> relations = torch.tensor([1.0, 0.5**0.5]) - torch.log(torch.tensor(1 / 3))
        >>> torch.allclose(value, 2 * torch.nn.functional.softplus(relations * torch.tensor([-1.0, 1.0])).sum())
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
    check_dimensions("anchors", anchor_rows=anchor_rows)
    check_rows(len(bank_of_students), own_rows=own_rows, other_rows=other_rows, anchor_rows=anchor_rows)
    check_range(temperature=(temperature, 0.0, False), epsilon=(epsilon, 0.0, True))
    rows = torch.cat([own_rows[:, None], other_rows], 1)
    sides = (student_projection, bank_of_teachers), (teacher_projection, bank_of_students)
    values = [
        _one_side(relations(unit(v), bank, rows, anchor_rows) / temperature, len(bank), log_z, epsilon)
        for (v, bank), log_z in zip(sides, log_normalisers)
    ]
    return reduce(values[0] + values[1], reduction)


def relations(
    directions: Float[Tensor, "batch size"],
    bank: Float[Tensor, "samples size"],
    rows: Int[Tensor, "batch pairs"],
    anchors: Int[Tensor, " anchors"],
) -> Float[Tensor, "batch anchors pairs"]:
    """Cosines between what leads from each anchor to an example and to remembered rows; minus infinity for none."""
    bank = as_precise(bank, directions)
    starts, ends = bank[anchors], bank[rows.clamp_min(0)]
    ways = unit(directions[:, None] - starts)
    with full_precision(directions):
        along = ways @ ends.mT - (ways * starts).sum(2, keepdim=True)
        apart = ends.square().sum(2)[:, None] + starts.square().sum(1)[:, None] - 2 * (starts @ ends.mT)
    none = (rows[:, None] == anchors[:, None]) | (rows < 0)[:, None] | (apart < SMALLEST)
    return (along * apart.clamp_min(SMALLEST).rsqrt()).masked_fill(none, -math.inf)


def _one_side(scores: Tensor, samples: int, log_normaliser: float | Tensor, epsilon: float) -> Float[Tensor, " batch"]:
    """The mean over anchors of the contrastive loss, leaving out anchors to which the example has no relation."""
    related = scores[:, :, 0] > -math.inf
    own, others = torch.where(related, scores[:, :, 0], 0).flatten(), scores[:, :, 1:].flatten(0, 1)
    each = told_apart((own, others), samples, log_normaliser, epsilon).view(related.shape)
    return torch.where(related, each, 0).sum(1) / related.sum(1).clamp_min(1)


def label_gradients(
    logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    classifier: Float[Tensor, "classes size"],
) -> Float[Tensor, "batch size"]:
    """The gradient of the batch's cross-entropy with respect to what a linear classifier reads.

    Example:
        >>> rows = label_gradients(torch.zeros(1, 2), torch.tensor([0]), torch.eye(2))
        >>> rows.tolist()
        [[-0.5, 0.5]]
    """
    scores = at_least_float32(logits)
    wrong = scores.softmax(1).scatter_add(1, targets[:, None], scores.new_full((len(scores), 1), -1))
    with full_precision(scores):
        return wrong @ classifier.to(scores) / len(scores)


def classifier_weights(network: nn.Module | None, size: int, classes: int) -> Tensor:
    """The weights of the linear layer that turns an embedding into scores; the last one of these sizes."""
    found = [
        module
        for module in (network.modules() if isinstance(network, nn.Module) else ())
        if isinstance(module, nn.Linear) and (module.in_features, module.out_features) == (size, classes)
    ]
    if not found:
        raise Refusal(f"crcd needs a linear classifier of {size} to {classes} numbers in both networks, and found none")
    return found[-1].weight


class Element(nn.Module):
    """One of the two things whose relations are matched: its heads, its memory and its loss."""

    def __init__(self, student: int, teacher: int, samples: int, size: int, momentum: float, temperature: float):
        super().__init__()
        self.temperature = temperature
        self.student_head, self.teacher_head = nn.Linear(student, size), nn.Linear(teacher, size)
        self.memory = Memory(samples, size, momentum=momentum, directions=True)

    def forward(self, student: Tensor, teacher: Tensor, index: Tensor, negatives: Tensor, anchors: Tensor) -> Tensor:
        self.memory.turn_to(index)
        mine, theirs = unit(self.student_head(student)), unit(self.teacher_head(teacher.detach()))
        banks = self.memory.students, self.memory.teachers
        normalisers = self._normalisers(mine, theirs, torch.cat([index[:, None], negatives], 1), anchors)
        options = {"temperature": self.temperature, "log_normalisers": normalisers}
        value = crcd_loss(mine, theirs, *banks, index, negatives, anchors, **options)
        self.memory.remember(index, mine, theirs)
        return value

    @torch.no_grad()
    def _normalisers(self, mine: Tensor, theirs: Tensor, *rows: Tensor) -> Tensor:
        if self.memory.normalised:
            return self.memory.log_normalisers
        sides = (mine, self.memory.teachers), (theirs, self.memory.students)
        return self.memory.normalisers(*(relations(v, bank, *rows) / self.temperature for v, bank in sides))


class CRCD(Method):
    """`crcd_loss` on two elements: embeddings, and the gradients that the labels send to them.

    Each element has its own linear heads and its own two banks. A gradient is that of the batch's cross-entropy with
    respect to the embedding, so both networks must end in a linear classifier; the student's scores and classifier
    are reached through its own. Negatives are samples of other classes, as in `CRD`.

    Args:
        student: size of the student's embedding.
        teacher: of the teacher's.
        samples: rows of each bank, the size of the data set.
        classes: of the scores.
        classifier: the teacher's, (classes, size).
        size: of the projections. Default 128, as all here the published code's.
        negatives: N. Default 500.
        anchors: how many of the batch start relations, at most. Default 64, the code's batch: all of it.
        temperature: tau. Default 0.05.
        momentum: how much of an old row stays. Default 0.5.
        until: the part of the training after which the loss counts no more. Default 240 / 250.
        gradient_weight: of the second element against the first. Default 1; 0 leaves it out.
        weight: against the labels. Default 1.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        samples: int,
        classes: int,
        classifier: Tensor | None,
        *,
        size: int = 128,
        negatives: int = 500,
        anchors: int = 64,
        temperature: float = 0.05,
        momentum: float = 0.5,
        until: float = UNTIL,
        gradient_weight: float = 1.0,
        weight: float = 1.0,
    ):
        super().__init__()
        numbers = {"momentum": momentum, "gradient_weight": gradient_weight, "weight": weight}
        refuse_out_of_range(above_zero={"temperature": temperature, "until": until}, **numbers)
        if min(negatives, anchors, size) < 1:
            got = f"{negatives}, {anchors} and {size}"
            raise Refusal(f"crcd needs negatives, anchors and a size of at least 1, got {got}")
        self.negatives, self.replacement = negatives, negatives > samples - math.ceil(samples / classes)
        self.anchors, self.until, self.weight = anchors, until, weight
        self.gradient_weight, self.outside = gradient_weight, (classifier,)
        element = lambda: Element(student, teacher, samples, size, momentum, temperature)
        self.features = element()
        self.gradients = element() if gradient_weight else None

    @classmethod
    def build(cls, setting: Setting, *, gradient_weight: float = 1.0, **settings: Any) -> Self:
        mine, theirs = embedding_sizes(setting, "crcd")
        classifier = classifier_weights(setting.teacher_network, theirs, setting.classes) if gradient_weight else None
        return cls(
            mine,
            theirs,
            setting.samples,
            setting.classes,
            classifier,
            gradient_weight=gradient_weight,
            **settings,
        )

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        random = batch.generator("crcd")
        classes = self.features.memory.classes_of_all(batch)
        drawn = draw_others(batch.targets, classes, self.negatives, random, replacement=self.replacement)
        rows = batch.index, drawn, batch.index[: self.anchors]
        terms = {"crcd_features": Term(self.features(student.embedding, teacher.embedding, *rows), self.weight_at)}
        if self.gradients is not None:
            value = self.gradients(*self._label_gradients(student, teacher, batch), *rows)
            terms["crcd_gradients"] = Term(value, lambda progress: self.gradient_weight * self.weight_at(progress))
        return terms

    def _label_gradients(self, student: Outputs, teacher: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
        mine = classifier_weights(student.ask, student.embedding.shape[1], student.logits.shape[1])
        both = (student.logits, mine), (teacher.logits.detach(), self.outside[0].detach())
        mine, theirs = (label_gradients(logits, batch.targets, weights) for logits, weights in both)
        return mine, theirs

    def weight_at(self, progress: float) -> float:
        return self.weight if progress < self.until else 0.0


ENTRIES = (
    Entry("crcd", "loss", CRCD, {}, "CVPR 2021, after the code that its first author published"),
    Entry("crcd-features", "loss", CRCD, {"gradient_weight": 0.0}, "CVPR 2021, embeddings alone"),
)
