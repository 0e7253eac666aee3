"""What a layer knows of the task: features that an auxiliary classifier made of it, matched at several depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_same_shape,
    full_precision,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.feature._alignment import Shape
from kdcore.losses.feature._auxiliary import AuxiliaryClassifier
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.losses.response.labels import ce_soft_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Stage, Term, Update

Form = Literal["example", "batch"]
Answer = tuple[list[Tensor], list[Tensor]]  # vectors and scores, shallow to deep


def tofd_loss(
    student_vectors: Float[Tensor, "batch size"],
    teacher_vectors: Float[Tensor, "batch size"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match task-oriented features of one depth by their Euclidean distance.

    .. math::
        L = \lVert r(T_s(F^s)) - T_t(F^t) \rVert_2

    Survey: si2023 section 2.2.2, in words; which work is meant is probable, not certain.
    Paper: {cite:t}`zhang2020tofd`, from the authors' code; the paper's equations could not be read.

    Args:
        student_vectors: pooled features of the student's auxiliary classifier behind the resizing layer, any floating
            type; computed in float32 at least.
        teacher_vectors: of the teacher's auxiliary classifier, the same shape; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only where both are equal; the distance itself, not its square.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ.

    Notes:
        The authors' code takes one distance over the whole batch, which grows with the root of its size; where all
        examples are equally far apart it is ``sqrt(batch)`` times this mean.

    Example:
        >>> import torch
        >>> tofd_loss(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.zeros(2, 2))
        tensor(3.)
    """
    check_floating(student_vectors=student_vectors, teacher_vectors=teacher_vectors)
    check_dimensions("batch size", student_vectors=student_vectors, teacher_vectors=teacher_vectors)
    check_same_shape(student_vectors=student_vectors, teacher_vectors=teacher_vectors)
    difference = at_least_float32(student_vectors) - at_least_float32(teacher_vectors.detach())
    return reduce(torch.linalg.vector_norm(difference, dim=1), reduction)


def orthogonality(weight: Float[Tensor, "outside inside"]) -> Float[Tensor, ""]:
    """How far a matrix is from orthonormal rows and columns: both Frobenius distances, added as the authors do.

    Example:
        >>> orthogonality(torch.eye(3)).item(), orthogonality(torch.zeros(1, 4)).item()
        (0.0, 3.0)
    """
    weight = at_least_float32(weight)
    with full_precision(weight):
        products = weight @ weight.T, weight.T @ weight
    identities = (torch.eye(len(product), dtype=product.dtype, device=product.device) for product in products)
    return sum(torch.linalg.matrix_norm(product - identity) for product, identity in zip(products, identities))


class TOFD(Method):
    """Auxiliary classifiers on both networks: their features, their answers, their labels, and orthogonal resizing.

    Every stage but the last gets one; the deepest depth is the network itself, with its embedding and its answer.
    The teacher's are trained first, on labels and on the finished teacher; the authors train them together with the
    teacher. A linear layer without bias brings each of the student's features to the teacher's size, so maps may
    differ in everything. Answers are compared by cross-entropy at a temperature that grows from 1 to 1 + `warming`,
    without its square.

    Args:
        student: shapes of the student's stages, shallow to deep.
        teacher: of the teacher's, as many.
        sizes: of the student's and the teacher's embedding.
        classes: number of classes.
        stages: which of each network's, where not all.
        form: ``example``, the mean of `tofd_loss`, or ``batch``, one distance over the whole batch as the authors
            compute it. Default ``example``.
        weight: of the features. Default 0.05 times the root of 128: the authors' weight of one distance over their
            batch, for as many distances.
        logit_weight: of the answers. Default 1: the authors'.
        label_weight: of the labels of the auxiliary classifiers. Default 1: the authors'.
        orthogonal_weight: of `orthogonality`. Default 0.03: the authors'.
        warming: by how much the temperature grows. Default 3: the authors'.
        share: length of the first stage, as a part of the recipe's epochs. Default 1 / 2, ours.
    """

    def __init__(
        self,
        student: Sequence[Shape],
        teacher: Sequence[Shape],
        sizes: tuple[int, int],
        classes: int,
        *,
        stages: Pairs | None = None,
        form: Form = "example",
        weight: float = 0.05 * 128**0.5,
        logit_weight: float = 1.0,
        label_weight: float = 1.0,
        orthogonal_weight: float = 0.03,
        warming: float = 3.0,
        share: float = 0.5,
    ):
        super().__init__()
        weights = {"weight": weight, "logit_weight": logit_weight, "label_weight": label_weight}
        refuse_out_of_range(
            above_zero={"share": share}, warming=warming, orthogonal_weight=orthogonal_weight, **weights
        )
        if form not in ("example", "batch"):
            raise Refusal(f"form must be 'example' or 'batch', got {form!r}")
        if len(student) < 2 or len(student) != len(teacher):
            raise Refusal(f"auxiliary classifiers need as many stages of both, at least 2, got {len(student)}")
        self.stages = tuple(stages or ((stage, stage) for stage in range(len(student))))
        self.form, self.weight, self.logit_weight, self.label_weight = form, weight, logit_weight, label_weight
        self.orthogonal_weight, self.warming, self.share = orthogonal_weight, warming, share
        self.heads, self.teacher_heads = (
            nn.ModuleList(AuxiliaryClassifier(shapes[depth:], classes) for depth in range(len(shapes) - 1))
            for shapes in (student, teacher)
        )
        widths = [(student[-1][0], teacher[-1][0])] * (len(student) - 1) + [sizes]
        self.resizers = nn.ModuleList(nn.Linear(mine, theirs, bias=False) for mine, theirs in widths)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        matched = stage_pairs(setting, pairs)
        student, teacher = (
            [tuple(outputs.features[pair[side]].shape[1:]) for pair in matched]
            for side, outputs in enumerate((setting.student, setting.teacher))
        )
        sizes = tuple(_deepest(outputs).shape[1] for outputs in (setting.student, setting.teacher))
        return cls(student, teacher, sizes, setting.classes, stages=matched, **settings)

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        def losses(batch: Batch) -> dict[str, Term]:
            said = batch.outputs(teacher)
            return {"teacher_heads": Term(self._labels(said, self._teacher(said)[1], batch))}

        return [Stage("teacher heads", [Update("heads", [self.teacher_heads], losses)], share=self.share)]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine = _asked(self.heads, [student.features[stage] for stage, _ in self.stages], student)
        theirs = self._teacher(teacher)
        resized = [resize(vector) for resize, vector in zip(self.resizers, mine[0])]
        temperature = 1 + self.warming * batch.clock.progress
        answers = [ce_soft_loss(*pair, temperature=temperature) for pair in zip(mine[1], theirs[1])]
        orthogonal = [orthogonality(resize.weight) for resize in self.resizers]
        return {
            "tofd_features": Term(self._distance(resized, theirs[0]), self.weight),
            "tofd_answers": Term(torch.stack(answers).sum(), self.logit_weight),
            "tofd_labels": Term(self._labels(student, mine[1], batch), self.label_weight),
            "tofd_orthogonal": Term(torch.stack(orthogonal).sum(), self.orthogonal_weight),
        }

    def _teacher(self, teacher: Outputs) -> Answer:
        return _asked(self.teacher_heads, [teacher.features[stage].detach() for _, stage in self.stages], teacher)

    def _distance(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        if self.form == "example":
            return torch.stack([tofd_loss(*pair) for pair in zip(student, teacher)]).sum()
        each = [tofd_loss(*pair, reduction="none") for pair in zip(student, teacher)]
        return torch.stack([torch.linalg.vector_norm(distances) for distances in each]).sum()

    @staticmethod
    def _labels(said: Outputs, scores: list[Tensor], batch: Batch) -> Tensor:
        """The task's loss of the auxiliary classifiers; the deepest answer is the network's, and the task's own."""
        return torch.stack([batch.task.loss(replace(said, logits=logits), batch) for logits in scores[:-1]]).sum()

    def adapters(self) -> list[nn.Module]:
        """All but the teacher's classifiers, which have learned before."""
        return [self.heads, self.resizers]


def _deepest(said: Outputs) -> Tensor:
    return said.features[-1].mean((2, 3)) if said.embedding is None else said.embedding


def _asked(heads: nn.ModuleList, maps: list[Tensor], said: Outputs) -> Answer:
    answers = [head(each) for head, each in zip(heads, maps)]
    return [vector for vector, _ in answers] + [_deepest(said)], [scores for _, scores in answers] + [said.logits]


ENTRIES = (
    Entry("tofd", "loss", TOFD, {}, "NeurIPS 2020, a distance for each example"),
    Entry("tofd-released", "loss", TOFD, {"form": "batch", "weight": 0.05}, "NeurIPS 2020, the authors' code"),
)
