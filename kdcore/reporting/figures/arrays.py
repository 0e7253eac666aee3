"""Numbers on their way into a drawing: tensors, arrays and lists alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def array(values: Any) -> NDArray:
    """Values as float64, from a tensor on any device, an array or a list.

    Raises:
        ValueError: a value is not finite.
    """
    import numpy

    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    values = numpy.asarray(values, dtype=float)
    if not numpy.isfinite(values).all():
        raise ValueError("values that are drawn must be finite")
    return values


def softmax(logits: NDArray, temperature: float = 1.0) -> NDArray:
    import numpy

    scaled = logits / temperature
    raised = numpy.exp(scaled - scaled.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def check_classes(logits: NDArray, target: int, classes: Sequence[str]) -> None:
    if logits.shape != (len(classes),):
        raise ValueError(f"logits must hold one value for each of {len(classes)} classes, got shape {logits.shape}")
    if not 0 <= target < len(classes):
        raise ValueError(f"target must lie in 0 .. {len(classes) - 1}, got {target}")
