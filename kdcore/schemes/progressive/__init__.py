"""Students that grow into the teacher part by part, or beside it."""

from kdcore.schemes.progressive.interactive import InteractiveKD
from kdcore.schemes.progressive.projection import KnowledgeProjection
from kdcore.schemes.progressive.rocket import RocketLaunching
from kdcore.schemes.progressive.stagewise import StageByStageKD

__all__ = ["InteractiveKD", "KnowledgeProjection", "RocketLaunching", "StageByStageKD"]
