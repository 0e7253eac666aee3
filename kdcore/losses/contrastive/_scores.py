"""How alike two networks' vectors are: directions, and products with whole banks, always in full precision."""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, check_dimensions, check_floating
from kdcore.types import Refusal, Setting


def unit(vectors: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows size"]:
    """Each row as a direction, in float32 at least; a row of zeros has none, stays, and gets no gradient."""
    rows = at_least_float32(vectors)
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    some = length > 0
    return rows * torch.where(some, 1 / torch.where(some, length, 1), 0)


def as_precise(x: Tensor, like: Tensor) -> Tensor:
    """A constant in the precision of what it is compared with."""
    return x.detach().to(like.dtype)


# ---------------------------------------------------------------- checks


def check_vectors(**tensors: Tensor) -> None:
    """All are matrices of floating numbers, a vector a row, all rows of one length."""
    check_floating(**tensors)
    check_dimensions("rows size", **tensors)
    (first, one), *others = tensors.items()
    for name, tensor in others:
        if tensor.shape[1] != one.shape[1]:
            sizes = f"{one.shape[1]} and {tensor.shape[1]}"
            raise ValueError(f"{first} and {name} must hold vectors of one size, got {sizes}")


def check_rows(samples: int, **indices: Tensor) -> None:
    """Rows of a bank, by their number; below 0 stands for none."""
    for name, index in indices.items():
        if index.is_floating_point() or index.dtype == torch.bool:
            raise TypeError(f"{name} must hold whole numbers, rows of the banks, got {index.dtype}")
        readable = index.device.type == "cpu" and index.numel() and not torch.compiler.is_compiling()
        if readable and not index.max() < samples:
            raise ValueError(f"{name} must lie in 0 .. {samples - 1}, got {index.max()}")


def check_pairs(first: str, one: Tensor, name: str, other: Tensor) -> None:
    if len(one) != len(other):
        raise ValueError(f"{first} and {name} must hold the same examples, got {len(one)} and {len(other)} of them")


# ---------------------------------------------------------------- what a method needs of two networks


def embedding_sizes(setting: Setting, key: str) -> tuple[int, int]:
    """Sizes of the student's and the teacher's embedding; refused where one has none."""
    embeddings = setting.student.embedding, setting.teacher.embedding
    if any(embedding is None or embedding.ndim != 2 for embedding in embeddings):
        raise Refusal(f"{key} compares embeddings, one vector an example, and needs both networks to name theirs")
    mine, theirs = (embedding.shape[1] for embedding in embeddings)
    return mine, theirs
