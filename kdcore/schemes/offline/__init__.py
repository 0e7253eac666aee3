"""A finished teacher and a student that learns from it."""

from kdcore.schemes.offline.distillation import Distillation

__all__ = ["Distillation"]
