"""Synthetic samples near the real ones: what a compressed model is trained on where unlabelled data are missing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kdcore._typing import Bool, Float, Tensor
from kdcore.types import Refusal


def munge(
    samples: Float[Tensor, "samples attributes"],
    random: torch.Generator,
    *,
    swap: float = 0.5,
    local_variance: float = 5.0,
    nominal: Sequence[int] = (),
    copies: int = 1,
) -> Float[Tensor, "made attributes"]:
    r"""Exchange attributes between each sample and its nearest neighbour, blurred by how far apart the two are.

    For every sample :math:`e` in turn and its nearest neighbour :math:`e'`, each attribute with probability `swap`:

    .. math::
        e_a \sim \mathcal N \left( e'_a, \sigma_a \right), \quad e'_a \sim \mathcal N \left( e_a, \sigma_a \right),
        \quad \sigma_a = \frac{|e_a - e'_a|}{s}

    with the old values on the right-hand sides; nominal attributes change places as they are.

    Survey: zhao2026 section 2.3, huang2022 section 2 (the method's name alone).
    Paper: {cite:t}`bucila2006compression`, its algorithm MUNGE.

    Args:
        samples: continuous attributes scaled to [0, 1], nominal ones as numbers that are compared for equality.
        random: where all chance comes from.
        swap: probability p that an attribute is exchanged, in 0 .. 1. Default 0.5: ours, the paper tunes it a task.
        local_variance: s, above 0; the higher, the closer to the neighbour's value. Default 5: ours likewise.
        nominal: indices of the attributes that are names rather than amounts.
        copies: how often the whole set is gone through, each time from the original.

    Returns:
        ``copies`` times as many samples as came in; with ``swap=0`` exact copies.

    Raises:
        Refusal: fewer than two samples, a number out of its range, or an index that no attribute has.

    Notes:
        The neighbour is sought among the samples as they stand in this pass, some of them already changed, by squared
        differences of continuous attributes plus the number of nominal ones that differ: first by a product in single
        precision, then exactly among the few that its rounding cannot tell from the nearest. A pass takes time with
        the square of the number of samples (4,000 of 3,072 attributes: a quarter of a minute on two cores).
        Two public implementations were read: alperengormez/munge_python (c32578a) works in place as here;
        SharpLearning leaves out samples that were already exchanged once, and has a sample without a neighbour at all
        zeros.
        Nothing is clipped: a continuous attribute may leave [0, 1] a little.

    Example:
        >>> apart = torch.tensor([[0.0, 0.1], [0.0, 0.3], [1.0, 0.6], [1.0, 0.9]])
        >>> made = munge(apart, torch.Generator().manual_seed(0), copies=3)
        >>> made.shape, made[:, 0].tolist()  # what two neighbours share, they keep
        (torch.Size([12, 2]), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    """
    _check(samples, swap, local_variance, nominal, copies)
    names = torch.zeros(samples.shape[1], dtype=torch.bool)
    names[list(nominal)] = True
    passes = (_one_pass(samples.double(), names, swap, local_variance, random) for _ in range(copies))
    return torch.cat([made.to(samples.dtype) for made in passes])


def _one_pass(
    samples: Tensor, names: Bool[Tensor, " attributes"], swap: float, local_variance: float, random: torch.Generator
) -> Tensor:
    near, count = _Neighbours(samples, names), len(samples)
    exchanged = torch.rand(samples.shape, generator=random, dtype=samples.dtype) < swap
    blur = torch.randn((count, 2, samples.shape[1]), generator=random, dtype=samples.dtype) / local_variance
    for number in range(count):
        neighbour = near.nearest(number)
        mine, theirs = near.samples[number].clone(), near.samples[neighbour].clone()
        spread = (mine - theirs).abs().masked_fill(names, 0)
        near.move(number, torch.where(exchanged[number], theirs + spread * blur[number, 0], mine))
        near.move(neighbour, torch.where(exchanged[number], mine + spread * blur[number, 1], theirs))
    return near.samples


class _Neighbours:
    """Samples that move, and the nearest of each as they stand."""

    def __init__(self, samples: Tensor, names: Bool[Tensor, " attributes"]):
        self.samples, self.names, self.nominal = samples.clone(), names, names.nonzero().flatten()
        self.rough = samples.float().masked_fill(names, 0)
        self.lengths = self.rough.square().sum(1)

    def move(self, number: int, sample: Tensor) -> None:
        self.samples[number] = sample
        self.rough[number] = sample.masked_fill(self.names, 0)
        self.lengths[number] = self.rough[number].square().sum()

    def nearest(self, number: int) -> int:
        """Index of the sample that is closest to one of them and not it, the first of several."""
        near = torch.addmv(self.lengths, self.rough, self.rough[number], alpha=-2)
        if len(self.nominal):
            near += (self.samples[:, self.nominal] != self.samples[number, self.nominal]).sum(1)
        near[number] = torch.inf
        likely = (near <= near.min() + self._doubt()).nonzero().flatten()
        if len(likely) > 1:
            likely = likely[likely != number]
            likely = likely[self._distances(likely, number).argmin()]
        return int(likely)

    def _distances(self, numbers: Tensor, number: int) -> Tensor:
        """Squared distances of some samples to one, exact but for rounding of their own precision."""
        gaps = self.samples[numbers] - self.samples[number]
        return torch.where(self.names, (gaps != 0).to(gaps.dtype), gaps.square()).sum(1)

    def _doubt(self) -> Tensor:
        """How far apart two rough distances may be and stand for equal ones: rounding, at its worst."""
        return 4 * (self.rough.shape[1] + 4) * torch.finfo(self.rough.dtype).eps * self.lengths.max()


def _check(samples: Tensor, swap: float, local_variance: float, nominal: Sequence[int], copies: int) -> None:
    if samples.ndim != 2 or len(samples) < 2:
        raise Refusal(f"samples must have shape (at least 2, attributes), got {tuple(samples.shape)}")
    if not 0 <= swap <= 1:
        raise Refusal(f"swap must lie in 0 .. 1, got {swap:g}")
    if not local_variance > 0:
        raise Refusal(f"local_variance must be above 0, got {local_variance:g}")
    if copies < 1:
        raise Refusal(f"copies must be at least 1, got {copies}")
    if wrong := [index for index in nominal if not 0 <= index < samples.shape[1]]:
        raise Refusal(f"nominal must name attributes 0 .. {samples.shape[1] - 1}, got {wrong[0]}")
