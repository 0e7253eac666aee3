"""Samples that support the teacher's decision boundary, found by a gradient attack on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Bool, Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_logits,
    check_range,
    divergence,
    log_softened,
    reduce,
    refuse_out_of_range,
)
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

UNIT = 0.2  # standard deviation of a pixel in [0, 1] that the authors' inputs are divided by: .2023, .1994, .2010


def bss_loss(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    mask: Bool[Tensor, " batch"] | None = None,
    *,
    temperature: float = 3.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the teacher's softened answers to samples that lie at its decision boundary.

    .. math::
        L = \mathrm{KL}\bigl( p^t(\tilde x) \,\|\, p^s(\tilde x) \bigr), \quad p = \mathrm{softmax}(z / T)

    where :math:`\tilde x` are the samples of `boundary_supporting_samples`.

    Survey: huang2022 section 6.1, which files it under generative networks (errata H-11: it attacks by gradients, and
    there is neither a generator nor a critic).
    Paper: {cite:t}`heo2019bss`, its third term.

    Args:
        student_logits: of the samples at the boundary, any floating type; computed in float32 at least.
        teacher_logits: the same shape; taken as a constant.
        mask: true where a sample counts. Default: everywhere.
        temperature: softens both answers, above 0. Default 3: the authors' code.
        reduction: over the samples that count; with ``none`` the others are 0.

    Returns:
        A value of at least 0 (up to rounding), 0 when both networks agree up to a shift on every sample that counts,
        or when none counts.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or the temperature is not above 0.

    Notes:
        There is no factor of the squared temperature, as in the authors' code; that code takes the cross-entropy,
        which has the same gradient.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log()
        >>> student = torch.zeros(2, 2)
        >>> round(bss_loss(student, teacher, temperature=1.0).item(), 4)  # (0 + 0.1308) / 2
        0.0654
        >>> bss_loss(student, teacher, torch.tensor([True, False])).item()
        0.0
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_range(temperature=(temperature, 0.0, False))
    each = divergence(log_softened(student_logits, temperature), log_softened(teacher_logits.detach(), temperature))
    if mask is None:
        return reduce(each, reduction)
    counted = torch.where(mask, each, torch.zeros_like(each))
    return counted.sum() / mask.sum().clamp_min(1) if reduction == "mean" else reduce(counted, reduction)


def boundary_supporting_samples(
    answer: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "batch ..."],
    targets: Int[Tensor, " batch"],
    *,
    step: float = 0.3 * UNIT,
    steps: int = 10,
    overshoot: float = 1e-4,
    low: float = 0.0,
    high: float = 1.0,
) -> Float[Tensor, "batch ..."]:
    r"""Move each sample towards another class until the network just no longer says what it said.

    .. math::
        \tilde x \leftarrow \tilde x - \eta \, (z_b - z_k + \varepsilon) \,
        \frac{\nabla_x (z_b - z_k)}{\lVert \nabla_x (z_b - z_k) \rVert_2}
        \quad \text{while} \quad \arg\max_i z_i = b

    with b the class that the network says of the sample as it is and k the one it is driven to.

    Args:
        answer: the logits of inputs; the network is left without a gradient of its own.
        inputs: where the attack starts.
        targets: the class k of each sample.
        step: eta. Default 0.3 of the authors' normalised inputs, which is 0.06 where pixels lie in [0, 1].
        steps: at most so many; a sample that has crossed the boundary stays where it is. Default 10: the authors'.
        overshoot: epsilon, added to the difference so that the boundary is crossed and not approached for ever.
            Default 1e-4: the authors'.
        low: the smallest value an input may take.
        high: the largest.

    Returns:
        As many samples, without a graph. One whose slope is zero is left where it is.

    Notes:
        The authors' released code; the paper's own formula we could not read. Their implementation moves by the
        difference of logits (Knowledge-Distillation-Zoo's by that of probabilities).
    """
    moved, base = inputs.detach(), None
    for _ in range(steps):
        with torch.enable_grad():
            at = moved.detach().requires_grad_()
            scores = at_least_float32(answer(at))
            base = scores.argmax(1) if base is None else base
            towards = F.one_hot(base, scores.shape[1]) - F.one_hot(targets, scores.shape[1])
            ahead = (scores * towards).sum(1)
            (slope,) = torch.autograd.grad(ahead.sum(), at)
        still = scores.argmax(1) == base
        length = torch.linalg.vector_norm(slope.flatten(1), dim=1).clamp_min(torch.finfo(slope.dtype).tiny)
        move = still * step * (ahead.detach() + overshoot) / length
        moved = (moved - move.to(moved.dtype).view(-1, *[1] * (moved.ndim - 1)) * slope).clamp(low, high)
    return moved


class BSS(Method):
    """Plain distillation, and `bss_loss` on samples that are found for each batch where the teacher changes its mind.

    Of the samples that both networks classify rightly, those on which they differ most (squared difference of
    probabilities, the true class left out) are moved towards a class that is drawn in proportion to the teacher's
    probability. Both weights fall evenly: that of the boundary's samples from `weight` to 0 at three quarters of the
    training, that of distillation from `kd_weight` to `last_kd_weight` at its end. All defaults are those of the
    authors' CIFAR-10 code, ResNet-26 to ResNet-8 over 80 epochs of 256 images.

    Args:
        temperature: of both terms, which have no factor of its square. Default 3.
        kd_weight: of the divergence on the batch itself, at the start. Default 4.
        last_kd_weight: of the same, at the end. Default 1.
        samples: at most so many of a batch are attacked. Default 64.
        step, steps, overshoot: see `boundary_supporting_samples`.
        until: share of the training after which the boundary's samples have weight 0. Default 3 / 4.
        weight: of the boundary's samples, at the start. Default 2.

    Notes:
        Each step asks the teacher `steps` + 1 more times and the student once more, in train mode, so that its batch
        norms see the moved samples too, as in the authors' code.
        Who is attacked is decided without reading a value on the host: always as many samples are moved as there is
        room for, and those that should not count have weight 0.
    """

    zero_at_agreement = True

    def __init__(
        self,
        *,
        temperature: float = 3.0,
        kd_weight: float = 4.0,
        last_kd_weight: float = 1.0,
        samples: int = 64,
        step: float = 0.3 * UNIT,
        steps: int = 10,
        overshoot: float = 1e-4,
        until: float = 0.75,
        weight: float = 2.0,
    ):
        super().__init__()
        above_zero = {"temperature": temperature, "samples": samples, "steps": steps, "until": until}
        at_least_zero = {"step": step, "overshoot": overshoot, "weight": weight}
        refuse_out_of_range(above_zero=above_zero, kd_weight=kd_weight, last_kd_weight=last_kd_weight, **at_least_zero)
        self.temperature, self.samples, self.until, self.weight = temperature, samples, until, weight
        self.kd_weights = kd_weight, last_kd_weight
        self.attack = {"step": step, "steps": steps, "overshoot": overshoot}

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        shape = tuple(setting.student.logits.shape)
        if len(shape) != 2:
            raise Refusal(f"bss moves images along a gradient, so it needs one answer an image, got logits of {shape}")
        if setting.classes < 2:
            raise Refusal(f"bss needs at least 2 classes, got {setting.classes}")
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        plain = bss_loss(student.logits, teacher.logits, temperature=self.temperature)
        chosen, counted = self._chosen(student, teacher, batch)
        images = self._moved(teacher, batch, chosen)
        with torch.no_grad():
            theirs = teacher.ask(images).logits
        value = bss_loss(student.ask(images).logits, theirs, counted, temperature=self.temperature)
        return {"bss_kd": Term(plain, self.kd_weight_at), "bss": Term(value, self.weight_at)}

    def kd_weight_at(self, progress: float) -> float:
        first, last = self.kd_weights
        return first + (last - first) * progress

    def weight_at(self, progress: float) -> float:
        return self.weight * max(0.0, 1 - progress / self.until)

    @torch.no_grad()
    def _chosen(self, student: Outputs, teacher: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
        """Places in the batch of those that are attacked, and which of them count."""
        mine, theirs = (at_least_float32(said.logits) for said in (student, teacher))
        right = (mine.argmax(1) == batch.targets) & (theirs.argmax(1) == batch.targets)
        others = F.one_hot(batch.targets, mine.shape[1]) == 0
        apart = ((theirs.softmax(1) - mine.softmax(1)).square() * others).sum(1)
        chosen = apart.masked_fill(~right, -1.0).topk(min(self.samples, len(apart))).indices
        return chosen, right[chosen]

    def _moved(self, teacher: Outputs, batch: Batch, chosen: Tensor) -> Tensor:
        images = batch.inputs[chosen]
        images = images if images.is_floating_point() else images.float() / 255
        targets = other_class(teacher.logits[chosen], batch.generator("bss"))
        return boundary_supporting_samples(lambda x: teacher.ask(x).logits, images, targets, **self.attack)


@torch.no_grad()
def other_class(logits: Float[Tensor, "batch classes"], random: torch.Generator) -> Int[Tensor, " batch"]:
    """Any class but the most probable one, drawn in proportion to its probability.

    Example:
        >>> logits = torch.tensor([[99.0, 0.0, -99.0]]).expand(4, -1)
        >>> other_class(logits, torch.Generator().manual_seed(0)).tolist()
        [1, 1, 1, 1]
    """
    scores = at_least_float32(logits).log_softmax(1)
    uniform = torch.rand(scores.shape, generator=random, device=scores.device)
    gumbel = -(-uniform.log()).log()  # the largest of scores with this noise is a draw in proportion
    best = F.one_hot(scores.argmax(1), scores.shape[1]) > 0
    return (scores + gumbel).masked_fill(best, -torch.inf).argmax(1)


ENTRIES = (Entry("bss", "loss", BSS, {}, "AAAI 2019, the authors' code"),)
