"""Shallow layers copied token by token, the last one filled in where its tokens are hidden."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore._typing import Bool, Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_range,
    check_same_shape,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.transformer._patches import Grid, common_grid, patches
from kdcore.losses.transformer.hidden_states import Pairs, layer_pairs
from kdcore.tokens import TokenOutputs
from kdcore.types import Batch, Entry, Method, Refusal, Setting, Term


def vitkd_loss(
    student_shallow: Float[Tensor, "batch layers patches width"],
    teacher_shallow: Float[Tensor, "batch layers patches width"],
    student_deep: Float[Tensor, "batch patches width"],
    teacher_deep: Float[Tensor, "batch patches width"],
    masked: Bool[Tensor, "batch patches"],
    *,
    mimicking_weight: float = 3e-5,
    generation_weight: float = 3e-6,
    ratio: float = 0.5,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match the first layers' patches as they are, and the last layer's where the student had to guess them.

    .. math::
        L = \alpha \sum_{l} \lVert F^s_l - F^t_l \rVert_2^2
            + \frac{\beta}{\lambda} \sum_{i \in M} \lVert G(F^s)_i - F^t_i \rVert_2^2

    Survey: zhao2026 section 5.2, which credits the method with attention maps (errata Z-13).
    Paper: {cite:t}`yang2024vitkd`, after the authors' code.

    Args:
        student_shallow: the student's first layers, each brought to the teacher's width, any floating type; computed
            in float32 at least.
        teacher_shallow: the same shape; taken as a constant.
        student_deep: what the generator makes of the student's last layer with patches hidden from it.
        teacher_deep: the same shape; taken as a constant.
        masked: true where a patch was hidden.
        mimicking_weight: alpha, at least 0. Default 3e-5: the authors' code, for ImageNet's 196 patches.
        generation_weight: beta, at least 0. Default 3e-6: the authors' code.
        ratio: lambda, the share of patches that is hidden, above 0. Default 0.5: the authors' code.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 only when all shallow patches and all hidden deep ones are equal. Sums over patches
        and widths, so it grows with both.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: shapes differ, or a number is out of its range.

    Notes:
        We could not read the paper itself; the formula, the weights and the layers (the first two and the last,
        after its norm) are those of the authors' code, whose feed-forward output is the state after a whole layer.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 4, 3), torch.ones(1, 2, 4, 3)  # squares: 24 in all
        >>> masked = torch.tensor([[True, True, False, False]])  # and 6 of the 12 of one layer
        >>> weights = {"mimicking_weight": 0.5, "generation_weight": 1.0}
        >>> vitkd_loss(student, teacher, student[:, 0], teacher[:, 0], masked, **weights).item()  # 12 + 6 / 0.5
        24.0
    """
    check_range(
        mimicking_weight=(mimicking_weight, 0.0, True),
        generation_weight=(generation_weight, 0.0, True),
        ratio=(ratio, 0.0, False),
    )
    shallow = _squares(student_shallow=student_shallow, teacher_shallow=teacher_shallow).sum((1, 2))
    deep = _squares(student_deep=student_deep, teacher_deep=teacher_deep)
    if masked.shape != deep.shape:
        raise ValueError(f"masked must have shape {tuple(deep.shape)}, got {tuple(masked.shape)}")
    hidden = deep.masked_fill(~masked, 0).sum(1)
    return reduce(mimicking_weight * shallow + generation_weight / ratio * hidden, reduction)


def _squares(**pair: Tensor) -> Tensor:
    """Squared distances, the last dimension summed."""
    check_floating(**pair)
    check_same_shape(**pair)
    name, student = next(iter(pair.items()))
    check_dimensions("batch layers patches width" if student.ndim == 4 else "batch patches width", **{name: student})
    student, teacher = pair.values()
    return (at_least_float32(student) - at_least_float32(teacher.detach())).square().sum(-1)


class Generator(nn.Module):
    """Hides some patches behind a learned token and fills them in from their neighbours on the grid.

    Args:
        student: width of the student's states.
        teacher: of the teacher's.
        grid: rows and columns of patches.
    """

    def __init__(self, student: int, teacher: int, grid: Grid):
        super().__init__()
        self.grid = grid
        self.align = nn.Linear(student, teacher) if student != teacher else nn.Identity()
        self.hidden = nn.Parameter(torch.zeros(teacher))
        self.fill = nn.Sequential(
            nn.Conv2d(teacher, teacher, 3, padding=1), nn.ReLU(), nn.Conv2d(teacher, teacher, 3, padding=1)
        )

    def forward(
        self, states: Float[Tensor, "batch patches width"], masked: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch patches teacher_width"]:
        aligned = self.align(states)
        seen = torch.where(masked[:, :, None], self.hidden.to(aligned.dtype), aligned)
        return self.fill(seen.transpose(1, 2).unflatten(2, self.grid)).flatten(2).transpose(1, 2)


class ViTKD(Method):
    """`vitkd_loss` with a linear map a shallow layer and a generator for the last.

    Only patches take part: class and distillation tokens are left out. A finer grid is averaged down to the coarser.
    Where both networks are equally wide nothing is mapped, as in the authors' code. Each step hides other patches,
    the same number in every image.

    Args:
        student: width of the student's states.
        teacher: of the teacher's.
        grid: rows and columns of patches that both are brought to.
        pairs: of shallow layers to mimic, as (student's, teacher's), counted from 1. Default: the first two.
        mimicking_weight: alpha, of the shallow layers.
        generation_weight: beta, of the last layer.
        ratio: share of patches that is hidden.
        weight: of both terms together. Default 1: theirs are in alpha and beta.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        grid: Grid,
        pairs: Pairs = ((1, 1), (2, 2)),
        *,
        mimicking_weight: float = 3e-5,
        generation_weight: float = 3e-6,
        ratio: float = 0.5,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(mimicking_weight=mimicking_weight, generation_weight=generation_weight, weight=weight)
        if not 0 < ratio < 1:
            raise Refusal(f"ratio must lie between 0 and 1, got {ratio:g}")
        self.pairs, self.grid, self.ratio, self.weight = tuple(pairs), grid, ratio, weight
        self.mimicking_weight, self.generation_weight = mimicking_weight, generation_weight
        same = student == teacher
        self.align = nn.ModuleList(nn.Identity() if same else nn.Linear(student, teacher) for _ in self.pairs)
        self.generate = Generator(student, teacher, grid)

    @classmethod
    def build(cls, setting: Setting, *, pairs: Pairs = ((1, 1), (2, 2)), **settings: Any) -> Self:
        grid = common_grid(setting.student, setting.teacher, "vitkd")
        hidden = setting.student.hidden, setting.teacher.hidden
        pairs = layer_pairs(*(len(states) - 1 for states in hidden), mapping=pairs)
        return cls(*(states[0].shape[2] for states in hidden), grid, pairs, **settings)

    def losses(self, student: TokenOutputs, teacher: TokenOutputs, batch: Batch) -> dict[str, Term]:
        shallow = [self._shallow(student, teacher, number) for number in range(len(self.pairs))]
        masked = self.hide(len(batch.index), batch)
        mine, theirs = (patches(_last(said), said, self.grid) for said in (student, teacher))
        deep = _squares(student_deep=self.generate(mine, masked), teacher_deep=theirs)
        hidden = deep.masked_fill(~masked, 0).sum(1).mean()
        return {
            "vitkd_mimicking": Term(torch.stack(shallow).sum(), self.weight * self.mimicking_weight),
            "vitkd_generation": Term(hidden / self.ratio, self.weight * self.generation_weight),
        }

    def _shallow(self, student: TokenOutputs, teacher: TokenOutputs, number: int) -> Tensor:
        mine, theirs = self.pairs[number]
        copied = self.align[number](patches(student.hidden[mine], student, self.grid))
        wanted = patches(teacher.hidden[theirs], teacher, self.grid)
        return _squares(student_shallow=copied, teacher_shallow=wanted).sum(1).mean()

    def hide(self, count: int, batch: Batch) -> Bool[Tensor, "batch patches"]:
        """Which patches a step hides: as many of every image, drawn by the order of noise."""
        places = self.grid[0] * self.grid[1]
        noise = torch.rand(count, places, generator=batch.generator("vitkd"), device=batch.data.device)
        return noise.argsort(1).argsort(1) >= int(places * (1 - self.ratio))


def _last(said: TokenOutputs) -> Tensor:
    """The last state after the last norm, where the network tells it."""
    return said.hidden[-1] if said.tokens is None else said.tokens


ENTRIES = (Entry("vitkd", "loss", ViTKD, {}, "CVPR workshops 2024, the authors' code"),)
