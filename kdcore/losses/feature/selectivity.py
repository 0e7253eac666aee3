"""What neurons select: each channel's map as one sample of a distribution that both networks should share."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import Reduction, full_precision, reduce, refuse_out_of_range, unit
from kdcore.losses.feature._alignment import aligned, check_maps
from kdcore.losses.feature._stages import Pairs, stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Setting, Term


def nst_loss(
    student_features: Float[Tensor, "batch student_channels student_height student_width"],
    teacher_features: Float[Tensor, "batch teacher_channels teacher_height teacher_width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the distribution of the channels' maps, each at length one: what neurons select, not which neuron does.

    .. math::
        L = \frac{1}{C_t^2} \sum_{i,j} k(t_i, t_j) + \frac{1}{C_s^2} \sum_{i,j} k(s_i, s_j)
        - \frac{2}{C_s C_t} \sum_{i,j} k(s_i, t_j), \qquad
        k(a, b) = \langle a, b \rangle^2, \quad s_i = \frac{F^s_i}{\lVert F^s_i \rVert_2}

    Survey: none; zhao2026 section 3.3 comes nearest with its Gram matrices (`gram_style_matching_loss`).
    Paper: {cite:t}`huang2017nst`, its polynomial kernel of degree 2, as in RepDistiller and mdistiller.

    Args:
        student_features: a layer's maps, any floating type; computed in float32 at least.
        teacher_features: maps of the same examples; channels and sizes may differ; taken as a constant.
        reduction: over examples.

    Returns:
        A value of at least 0 up to rounding and at most 2, 0 where both sets of channels agree in any order.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same number of examples.

    Notes:
        The kernel is a product of outer products, :math:`\langle aa^{\mathsf T}, bb^{\mathsf T} \rangle`, so the whole
        is one squared distance :math:`\lVert S^{\mathsf T} S / C_s - T^{\mathsf T} T / C_t \rVert_F^2` between
        matrices over positions. Public code makes tensors of batch x channels x channels x positions instead. Where
        there are more positions than channels, the three sums of squared products of channels are the cheaper way.
        Of two sizes the larger maps are averaged down to the smaller, as RepDistiller does.
        An all-zero channel has no direction and counts as zero.

    Example:
        >>> import torch
        >>> one, two = torch.tensor([[[[3.0, 0.0]], [[0.0, 1.0]]]]), torch.tensor([[[[0.0, 5.0]]]])
        >>> nst_loss(one, two).item(), nst_loss(one, one.flip(1)).item()
        (0.5, 0.0)
    """
    check_maps(student_features, teacher_features)
    student, teacher = (unit(maps.flatten(2)) for maps in aligned(student_features, teacher_features))
    with full_precision(student):
        return reduce(_discrepancy(student, teacher), reduction)


def _discrepancy(
    student: Float[Tensor, "batch student_channels positions"],
    teacher: Float[Tensor, "batch teacher_channels positions"],
) -> Float[Tensor, " batch"]:
    mine, theirs, positions = student.shape[1], teacher.shape[1], student.shape[2]
    if positions * (mine + theirs) <= mine**2 + mine * theirs + theirs**2:  # fewer products of numbers
        own, other = student.transpose(1, 2) @ student / mine, teacher.transpose(1, 2) @ teacher / theirs
        return (own - other).square().sum((1, 2))
    own, other, cross = (_squares(a, b) for a, b in ((student, student), (teacher, teacher), (student, teacher)))
    return own + other - 2 * cross


def _squares(one: Tensor, other: Tensor) -> Float[Tensor, " batch"]:
    """The mean of the kernel over all pairs of channels."""
    return (one @ other.transpose(1, 2)).square().mean((1, 2))


class NST(Method):
    """`nst_loss` summed over stages.

    Args:
        pairs: stages to match, as (student's, teacher's).
        weight: of the sum. Default 50: RepDistiller and mdistiller (Knowledge-Distillation-Zoo: 10, last stage alone).
    """

    zero_at_agreement = True

    def __init__(self, pairs: Pairs = ((0, 0), (1, 1), (2, 2)), *, weight: float = 50.0):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.pairs, self.weight = tuple(pairs), weight

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs | None = None, **settings: Any) -> Self:
        return cls(stage_pairs(setting, pairs), **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        values = [nst_loss(student.features[mine], teacher.features[theirs]) for mine, theirs in self.pairs]
        return {"nst": Term(torch.stack(values).sum(), self.weight)}


ENTRIES = (Entry("nst", "loss", NST, {}, "arXiv 2017, polynomial kernel of degree 2"),)
