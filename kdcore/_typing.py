"""Shape annotations that cost nothing: jaxtyping's where it is installed, plain `Tensor` where it is not.

The losses need torch alone, so they import their annotation names from here. The test suite installs jaxtyping's
import hook with beartype, which checks every annotated call at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

try:
    from jaxtyping import Bool, Float, Int
except ModuleNotFoundError:
    if not TYPE_CHECKING:

        class _Plain:
            """``Float[Tensor, "batch classes"]`` without jaxtyping: the type in front of the comma."""

            def __class_getitem__(cls, item):
                return item[0]

        Bool = Float = Int = _Plain

__all__ = ["Bool", "Float", "Int", "Tensor"]
