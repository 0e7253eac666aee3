"""Factors: what an autoencoder makes of the teacher's map, for the student to say in its own words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import Reduction, reduce, refuse_out_of_range, unit
from kdcore.losses.feature._alignment import aligned, check_channels
from kdcore.losses.feature._stages import stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Stage, Term, Update

LEAK = 0.1


def factor_transfer_loss(
    student_features: Float[Tensor, "batch channels student_height student_width"],
    teacher_features: Float[Tensor, "batch channels teacher_height teacher_width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match factors, each brought to length one as a whole, by absolute differences.

    .. math::
        L = \frac1n \left\lVert \frac{f^s}{\lVert f^s \rVert_2} - \frac{f^t}{\lVert f^t \rVert_2} \right\rVert_1,
        \qquad f \in \mathbb{R}^n, \; n = CHW

    Survey: huang2022 section 6.6, which has the teacher's outputs encoded and the student decode (errata H-12).
    Paper: {cite:t}`kim2018paraphrasing`, as in the authors' code.

    Args:
        student_features: what the translator makes of the student's map, any floating type; computed in float32 at
            least.
        teacher_features: what the paraphraser makes of the teacher's, as many channels; sizes may differ; taken as a
            constant.
        reduction: over examples.

    Returns:
        A value of at least 0 and at most ``2 / sqrt(n)``, 0 where both factors agree up to a positive factor.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are no maps of the same examples and channels.

    Notes:
        RepDistiller averages the squares of all channels first, which leaves an attention map and another loss.
        Of two sizes the larger factors are averaged down to the smaller, as RepDistiller does; the authors' are equal.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 5.0]]]])
        >>> factor_transfer_loss(student, teacher)
        tensor(1.)
    """
    check_channels(student_features, teacher_features)
    student, teacher = (unit(maps.flatten(1)) for maps in aligned(student_features, teacher_features))
    return reduce(F.l1_loss(student, teacher, reduction="none").mean(1), reduction)


def _layers(kind: type[nn.Module], *sizes: int) -> nn.Sequential:
    """Three layers of 3 x 3, each with a leaky ReLU."""
    made = [[kind(a, b, 3, padding=1), nn.LeakyReLU(LEAK)] for a, b in pairwise(sizes)]
    return nn.Sequential(*(layer for pair in made for layer in pair))


class Paraphraser(nn.Module):
    """An autoencoder of the teacher's map, whose middle is the factor.

    Args:
        channels: of the map.
        factors: channels of the factor.
    """

    def __init__(self, channels: int, factors: int):
        super().__init__()
        self.encoder = _layers(nn.Conv2d, channels, channels, factors, factors)
        self.decoder = _layers(nn.ConvTranspose2d, factors, factors, channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """The map again, as the factor remembers it."""
        return self.decoder(self.encoder(maps))


class FactorTransfer(Method):
    """A paraphraser learns the teacher's map by heart, then a translator teaches the student its factors.

    The first stage lowers the absolute error of the reconstruction, without labels, and trains the paraphraser alone;
    then it rests. Sizes of the two maps may differ, see `factor_transfer_loss`.

    Args:
        student: channels of the student's map.
        teacher: of the teacher's.
        pair: their stages.
        rate: channels of the factor, as a part of the teacher's. Default 0.5: the authors'.
        share: length of the first stage, as a part of the recipe's epochs. Default 6 / 164: the epochs of the
            authors' two scripts (RepDistiller: 30 beside 240).
        weight: of the factors. Default 500: the authors', for ResNet-56 to ResNet-20 on CIFAR-10.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        pair: tuple[int, int] = (2, 2),
        *,
        rate: float = 0.5,
        share: float = 6 / 164,
        weight: float = 500.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"rate": rate, "share": share}, weight=weight)
        factors = round(rate * teacher)
        if factors < 1:
            raise Refusal(f"a rate of {rate:g} leaves no channel of the teacher's {teacher} for the factor")
        self.pair, self.share, self.weight = pair, share, weight
        self.paraphraser = Paraphraser(teacher, factors)
        self.translator = _layers(nn.Conv2d, student, student, factors, factors)

    @classmethod
    def build(
        cls, setting: Setting, *, student_stage: int | None = None, teacher_stage: int | None = None, **settings: Any
    ) -> Self:
        """The last stage of both, unless told."""
        mine = len(setting.student.features) - 1 if student_stage is None else student_stage
        theirs = len(setting.teacher.features) - 1 if teacher_stage is None else teacher_stage
        (pair,) = stage_pairs(setting, [(mine, theirs)])
        channels = setting.student.features[mine].shape[1], setting.teacher.features[theirs].shape[1]
        return cls(*channels, pair, **settings)

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        def losses(batch: Batch) -> dict[str, Term]:
            maps = batch.outputs(teacher).features[self.pair[1]].detach()
            return {"reconstruction": Term((self.paraphraser(maps) - maps).abs().float().mean())}

        return [Stage("paraphraser", [Update("paraphraser", [self.paraphraser], losses)], share=self.share)]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = self.pair
        factor = self.paraphraser.encoder(teacher.features[theirs].detach())
        value = factor_transfer_loss(self.translator(student.features[mine]), factor)
        return {"factors": Term(value, self.weight)}

    def adapters(self) -> list[nn.Module]:
        """The translator alone: the paraphraser has learned before."""
        return [self.translator]


ENTRIES = (Entry("factor-transfer", "loss", FactorTransfer, {}, "NeurIPS 2018, the authors' code"),)
