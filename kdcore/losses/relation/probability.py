"""Which neighbour a sample would pick, as a distribution over the batch."""

from __future__ import annotations

from typing import Any, Literal, Self

from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import check_choice, refuse_out_of_range
from kdcore.losses.relation._rows import embedding_sizes
from kdcore.losses.relation.structure import STRUCTURES, structural_generic_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["sum", "mean"]


def pkt_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    *,
    form: Form = "sum",
) -> Float[Tensor, ""]:
    r"""Match which neighbour each sample of a batch would pick; a scalar.

    .. math::
        L = \sum_i \sum_{j \ne i} p^t_{j|i} \log \frac{p^t_{j|i}}{p^s_{j|i}}, \quad
        p_{j|i} = \frac{K(f_i, f_j)}{\sum_{k \ne i} K(f_i, f_k)}, \; K(a, b) = \tfrac12 (\cos(a, b) + 1)

    Survey: huang2022 sections 4.2 and 4.3 (which calls the divergence a metric: errata H-26).
    Paper: {cite:t}`passalis2018learning`.

    Args:
        student_features: embeddings, the samples first; computed in float32 at least.
        teacher_features: of the same samples, of any size; taken as a constant.
        form: ``sum``, the paper's, or ``mean``, the authors' released code, in which a sample may pick itself and
            the sum is divided by the square of the batch. Default ``sum``.

    Returns:
        A value of at least 0 up to the constant below, 0 when both networks' directions have the same cosines.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples or not the same number of them, or the form is unknown.

    Notes:
        The authors' code adds 1e-7 to every length and to both sides of every logarithm, so that opposite directions
        stay finite; both forms here do. The published weight 30000 belongs to ``mean``, which is so much smaller.
        The paper could not be read; its form is the inventory's.

    Example:
        >>> import torch
        >>> student, teacher = torch.eye(3), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(pkt_loss(student, teacher).item(), 4)  # twice: (2/3, 1/3) against (1/2, 1/2)
        0.1133
    """
    check_choice("form", form, "sum", "mean")
    relation, distance = STRUCTURES["pkt" if form == "sum" else "pkt-code"]
    return structural_generic_loss(student_features, teacher_features, relation=relation, distance=distance)


class PKT(Method):
    """`pkt_loss` on the embeddings that the classifiers read.

    Args:
        form: ``mean`` (the authors' code: weight 30000 in RepDistiller and mdistiller) or ``sum`` (the paper's).
        weight: Default 30000, which belongs to ``mean``.
    """

    def __init__(self, *, form: Form = "mean", weight: float = 30000.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        if form not in ("sum", "mean"):
            raise Refusal(f"form must be 'sum' or 'mean', got {form!r}")
        self.form, self.weight = form, weight
        self.zero_at_agreement = form == "sum"  # times 30000, the constant in the authors' form leaves a slope

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        embedding_sizes(setting)
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"pkt": Term(pkt_loss(student.embedding, teacher.embedding, form=self.form), self.weight)}


ENTRIES = (
    Entry("pkt", "loss", PKT, {}, "ECCV 2018, the authors' code, weight of the published tables"),
    Entry("pkt-paper", "loss", PKT, {"form": "sum", "weight": 1.0}, "ECCV 2018 as the inventory has it"),
)
