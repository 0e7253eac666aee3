"""What every loss does at its door and at its end: checks, arithmetic, reduction over examples.

A check answers in one sentence, by the caller's names. Checks that read values (targets) run on the CPU only: on an
accelerator they would make the host wait for the device, and inside a compiled graph they would break it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore._typing import Float
from kdcore.types import Refusal

Reduction = Literal["mean", "sum", "none"]
SMALLEST_LENGTH = 1e-12  # below it a row has no direction; torch's `normalize` has the same
# The operation behind `F.mse_loss`, which looks first whether to broadcast: on small maps that costs a third of it.
SQUARES, EACH, AVERAGED, SUMMED = torch.ops.aten.mse_loss.default, 0, 1, 2
NARROWED = ("cpu", "cuda", "mps", "xpu")  # devices whose autocast would turn a product to half precision


# ---------------------------------------------------------------- arithmetic


def at_least_float32(x: Tensor) -> Tensor:
    """Half types are widened, so that a loss means the same inside autocast; float64 stays."""
    return x if x.dtype is torch.float32 or x.dtype is torch.float64 else x.float()


def full_precision(like: Tensor) -> AbstractContextManager:
    """Inside autocast a product of matrices is narrowed whatever its factors are; here it is not."""
    kind = like.device.type
    narrowed = kind in NARROWED and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if narrowed else nullcontext()


def unit(rows: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows size"]:
    """Each row at length 1; one without a direction stays as it is, and its gradient stays small."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    inverse = torch.where(length > SMALLEST_LENGTH, length, 1).reciprocal()
    return rows * inverse  # a quotient's gradient costs a tensor more


def log_softened(logits: Float[Tensor, "batch classes"], temperature: float | Tensor) -> Float[Tensor, "batch classes"]:
    """The logarithm of the softened distribution; `temperature` is a number or a column, one an example."""
    return (at_least_float32(logits) / temperature).log_softmax(1)


def divergence(
    student_log: Float[Tensor, "batch classes"], teacher_log: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """Kullback-Leibler divergence from the teacher to the student, both given as logarithms, for each example."""
    return F.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(1)


def reduced_divergence(
    student_log: Float[Tensor, "batch classes"],
    teacher_log: Float[Tensor, "batch classes"],
    weight: float,
    reduction: Reduction,
) -> Float[Tensor, " ..."]:
    """`weight` times the `divergence`, then over examples as `reduce`; without "none" in one sum."""
    if reduction in ("mean", "sum"):
        whole = F.kl_div(student_log, teacher_log, reduction="sum", log_target=True)
        return whole * (weight / (len(student_log) if reduction == "mean" else 1))
    return reduce(weight * divergence(student_log, teacher_log), reduction)


def squared_error(
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    over: float = 1.0,
    reduction: Reduction = "none",
) -> Float[Tensor, " ..."]:
    """Summed squares of each example's difference over a number, and then over examples as `reduce`.

    The gradient keeps nothing but the two tensors, and without "none" no difference is ever written down.
    """
    mine = at_least_float32(student)
    theirs = at_least_float32(teacher.detach() if teacher.requires_grad else teacher)
    if mine.dtype is not theirs.dtype:
        theirs = theirs.to(mine.dtype)
    if reduction == "mean" and over * mine.shape[0] == mine.numel():
        return SQUARES(mine, theirs, AVERAGED)
    if reduction in ("mean", "sum"):
        return SQUARES(mine, theirs, SUMMED) / (over * (len(mine) if reduction == "mean" else 1))
    return reduce(SQUARES(mine, theirs, EACH).flatten(1).sum(1) / over, reduction)


def reduce(per_example: Float[Tensor, " batch"], reduction: Reduction) -> Float[Tensor, " ..."]:
    """Over examples only: what a loss sums or averages inside an example is its equation's business."""
    match reduction:
        case "mean":
            return per_example.mean()
        case "sum":
            return per_example.sum()
        case "none":
            return per_example
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


# ---------------------------------------------------------------- checks


def check_floating(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must hold floating-point numbers, got {tensor.dtype}")


def check_same_shape(**tensors: Tensor) -> None:
    (a, x), (b, y) = tensors.items()
    if x.shape != y.shape:
        raise ValueError(f"{a} and {b} must have the same shape, got {tuple(x.shape)} and {tuple(y.shape)}")


def check_dimensions(meaning: str, **tensors: Tensor) -> None:
    """Each tensor has as many dimensions as `meaning` has words, and none of them is empty."""
    for name, tensor in tensors.items():
        if tensor.ndim != len(meaning.split()) or not tensor.numel():
            wanted = ", ".join(meaning.split())
            raise ValueError(f"{name} must have shape ({wanted}), none of them 0, got {tuple(tensor.shape)}")


def check_logits(**tensors: Tensor) -> None:
    """One or two tensors of scores, an example a row; two must have the same shape."""
    shapes = set()
    for tensor in tensors.values():  # one quick look: the smallest losses take no longer than a few such checks
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.ndim != 2 or not tensor.numel():
            break
        shapes.add(tensor.shape)
    else:
        if len(shapes) == 1:
            return
    check_floating(**tensors)
    if len(tensors) == 2:
        check_same_shape(**tensors)
    check_dimensions("batch classes", **tensors)


def check_two_classes(logits: Tensor) -> None:
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got {logits.shape[1]}")


def check_targets(targets: Tensor, logits: Tensor) -> None:
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"targets must hold whole numbers, one class an example, got {targets.dtype}")
    if targets.shape != logits.shape[:1]:
        raise ValueError(f"targets must have shape ({len(logits)},), one class an example, got {tuple(targets.shape)}")
    readable = logits.device.type == "cpu" and not torch.compiler.is_compiling()
    if readable and not 0 <= targets.min() <= targets.max() < logits.shape[1]:
        raise ValueError(f"targets must lie in 0 .. {logits.shape[1] - 1}, got {targets.min()} .. {targets.max()}")


def check_range(**numbers: tuple[float, float, bool]) -> None:
    """Each number is given as (value, lowest, whether the lowest itself is allowed); NaN never passes."""
    for name, (value, low, may_equal) in numbers.items():
        if not (value >= low if may_equal else value > low):
            raise ValueError(f"{name} must be {'at least' if may_equal else 'above'} {low:g}, got {value:g}")


def check_choice(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}, got {value!r}")


# ---------------------------------------------------------------- settings of methods


def refuse_other(name: str, value: str, *allowed: str) -> None:
    """As `check_choice`, of a setting."""
    try:
        check_choice(name, value, *allowed)
    except ValueError as error:
        raise Refusal(str(error)) from None


def refuse_out_of_range(*, above_zero: dict[str, float] | None = None, **at_least_zero: float) -> None:
    """A method's settings are judged when it is built, long before its loss sees a tensor."""
    limits = {name: (value, 0.0, False) for name, value in (above_zero or {}).items()}
    try:
        check_range(**limits, **{name: (value, 0.0, True) for name, value in at_least_zero.items()})
    except (ValueError, TypeError) as error:
        raise Refusal(str(error)) from None
