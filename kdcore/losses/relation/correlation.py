"""Correlations of instances, as the paper of that name has them, and of channels, as a survey prints them."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, check_dimensions, check_range, refuse_out_of_range
from kdcore.losses.relation._kinds import kernel_correlations
from kdcore.losses.relation._rows import (
    centred_unit,
    check_samples,
    embedding_sizes,
    gram,
    maps_of,
    mean_square,
)
from kdcore.losses.relation.structure import structural_generic_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term


def cc_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    *,
    gamma: float = 0.4,
    order: int = 2,
) -> Float[Tensor, ""]:
    r"""Match how samples of a batch correlate under a Gaussian kernel of their directions; a scalar.

    .. math::
        L = \frac{1}{n^2} \lVert C^s - C^t \rVert_F^2, \quad
        C_{ij} = e^{-2 \gamma} \sum_{p=0}^{P} \frac{(2 \gamma)^p}{p!} \langle \hat f_i, \hat f_j \rangle^p
        \approx e^{-\gamma \lVert \hat f_i - \hat f_j \rVert^2}

    Survey: zhao2026 section 4.2 cites the paper for another loss, `cc_channel_loss` (errata Z-02); huang2022 section
    4.3.
    Paper: {cite:t}`peng2019correlation`, the congruence of correlations without its weight.

    Args:
        student_features: embeddings, the samples first; computed in float32 at least.
        teacher_features: of the same samples, of any size; taken as a constant.
        gamma: steepness of the kernel, above 0. Default 0.4: Knowledge-Distillation-Zoo, which names the paper's.
        order: highest power of the series, at least 1. Default 2: the same.

    Returns:
        A value of at least 0, at most 1; 0 when both networks' directions have the same cosines.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples or not the same number of them, or a number is out of its range.

    Notes:
        The paper could not be read: kernel and numbers are those of the code named above and of the inventory.
        The paper draws its batches class by class, the engine does not. RepDistiller has under this name the product
        of the differences of neighbouring samples, which its author says is the paper's code restructured, and
        which no text describes.

    Example:
        >>> import torch
        >>> apart, same = torch.eye(2), torch.ones(2, 1)  # cosines 0 and 1 off the diagonal
        >>> round(cc_loss(apart, same, gamma=0.5, order=1).item(), 4)  # half of exp(-1) squared
        0.0677
    """
    check_range(gamma=(gamma, 0.0, False), order=(order, 1, True))
    relation = partial(kernel_correlations, gamma=gamma, order=order)
    return structural_generic_loss(student_features, teacher_features, relation=relation, distance=mean_square)


def cc_channel_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
) -> Float[Tensor, ""]:
    r"""Match how the channels of a layer correlate over positions and samples; a scalar.

    .. math::
        L = \frac{1}{C^2} \lVert R^t - R^s \rVert_F^2, \quad R_{cd} = \mathrm{corr}_{b, h, w}(F_c, F_d)

    Survey: zhao2026 eq. 9 as printed, by Pearson's coefficient, over all positions of all samples; it goes there by
    the name of correlation congruence (errata Z-02).
    Paper: {cite:t}`peng2019correlation` has another loss, between samples: `cc_loss`.

    Args:
        student_features: a layer's maps with as many channels as the teacher's; computed in float32 at least.
        teacher_features: of the same samples; the map may be larger or smaller; taken as a constant.

    Returns:
        A value of at least 0, below 4; 0 when both layers' channels correlate alike, whatever their means and scales.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same number of samples and channels.

    Notes:
        The survey says of all pairs of channels of a map and leaves open whether samples are joined; they are here,
        since the coefficients of few positions are mostly chance.
        A channel that is constant up to rounding correlates with nothing, itself included. One position in all
        leaves every channel constant and the loss at 0.

    Example:
        >>> import torch
        >>> rising, flipped = torch.tensor([[[[0.0, 1.0]], [[0.0, 2.0]]]]), torch.tensor([[[[0.0, 1.0]], [[2.0, 0.0]]]])
        >>> round(cc_channel_loss(rising, flipped).item(), 4)  # 1 against -1 in two of four places
        2.0
    """
    check_samples(student_features=student_features, teacher_features=teacher_features)
    meaning = "batch channels height width"
    check_dimensions(meaning, student_features=student_features, teacher_features=teacher_features)
    counts = student_features.shape[1], teacher_features.shape[1]
    if counts[0] != counts[1]:
        raise ValueError(
            f"student_features and teacher_features must have as many channels, got {counts[0]} and {counts[1]}"
        )
    student, teacher = (
        centred_unit(at_least_float32(maps).transpose(0, 1).flatten(1))
        for maps in (student_features, teacher_features.detach())
    )
    return mean_square(gram(student), gram(teacher))


class CC(Method):
    """`cc_loss` on the embeddings that the classifiers read.

    The paper adds it to plain distillation; here the sum is made by naming both methods.

    Args:
        gamma, order: see `cc_loss`.
        weight: Default 100: Knowledge-Distillation-Zoo.
    """

    zero_at_agreement = True

    def __init__(self, *, gamma: float = 0.4, order: int = 2, weight: float = 100.0):
        super().__init__()
        refuse_out_of_range(above_zero={"gamma": gamma, "order": order}, weight=weight)
        self.options, self.weight = {"gamma": gamma, "order": order}, weight

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        embedding_sizes(setting)
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"cc": Term(cc_loss(student.embedding, teacher.embedding, **self.options), self.weight)}


class CCChannel(Method):
    """`cc_channel_loss` between the last maps; a learned 1 x 1 convolution where the student has other channels.

    Args:
        student: channels of the student's stage.
        teacher: of the teacher's.
        student_stage, teacher_stage: which; Default the last.
        weight: Default 1; the survey gives none.
    """

    zero_at_agreement = True  # where both have the same channels

    def __init__(
        self, student: int, teacher: int, *, student_stage: int = -1, teacher_stage: int = -1, weight: float = 1.0
    ):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.stages, self.weight = (student_stage, teacher_stage), weight
        self.projection = nn.Identity() if student == teacher else nn.Conv2d(student, teacher, 1)

    @classmethod
    def build(cls, setting: Setting, *, student_stage: int = -1, teacher_stage: int = -1, **settings: Any) -> Self:
        stages = {"student": student_stage, "teacher": teacher_stage}
        channels = []
        for (whose, stage), outputs in zip(stages.items(), (setting.student, setting.teacher)):
            maps = maps_of(whose, outputs)
            if not -len(maps) <= stage < len(maps):
                raise Refusal(f"the {whose} has {len(maps)} stages, got stage {stage}")
            channels.append(maps[stage][0])
        return cls(*channels, student_stage=student_stage, teacher_stage=teacher_stage, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = student.features[self.stages[0]], teacher.features[self.stages[1]]
        return {"cc_channel": Term(cc_channel_loss(self.projection(mine), theirs), self.weight)}


ENTRIES = (
    Entry("cc", "loss", CC, {}, "ICCV 2019, between samples"),
    Entry("cc-channel", "loss", CCChannel, {}, "zhao2026 eq. 9 as printed, between channels"),
)
