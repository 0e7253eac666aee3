"""A finished teacher and a student that learns from it."""

from kdcore.schemes.offline.compression import ModelCompression
from kdcore.schemes.offline.distillation import Distillation
from kdcore.schemes.offline.mixing import UnixKD
from kdcore.schemes.offline.on_policy import GKD
from kdcore.schemes.offline.portable import PortableStudent
from kdcore.schemes.offline.posterior import APD
from kdcore.schemes.offline.reuse import SimKD
from kdcore.schemes.offline.sequence_level import SeqLevelKD
from kdcore.schemes.offline.soft_text import TextKDGAN
from kdcore.schemes.offline.structure import StructureCompilation
from kdcore.schemes.offline.what_where import L2TWW

__all__ = [
    "APD",
    "GKD",
    "L2TWW",
    "Distillation",
    "ModelCompression",
    "PortableStudent",
    "SeqLevelKD",
    "SimKD",
    "StructureCompilation",
    "TextKDGAN",
    "UnixKD",
]
