"""A finished teacher and a student that learns from it."""

from kdcore.schemes.offline.compression import ModelCompression
from kdcore.schemes.offline.distillation import Distillation
from kdcore.schemes.offline.mixing import UnixKD
from kdcore.schemes.offline.structure import StructureCompilation

__all__ = ["Distillation", "ModelCompression", "StructureCompilation", "UnixKD"]
