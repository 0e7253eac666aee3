"""Networks: those of the literature and of the quick task by name, any other one wrapped, saved ones loaded.

Every network returns `kdcore.types.Outputs`, takes images as data sets keep them (uint8 or in [0, 1]) or tokens, and
never overwrites a pre-activation.
"""

from kdcore.models._parts import NORMALISATIONS, Architecture, ImageOutputs, Normalise
from kdcore.models.architectures import architecture, build, names, parameter_count
from kdcore.models.checkpoints import FORMATS, load_checkpoint, pretrained, save_checkpoint
from kdcore.models.language import LanguageModel
from kdcore.models.wrapping import Wrapped, wrap

__all__ = [
    "FORMATS",
    "NORMALISATIONS",
    "Architecture",
    "ImageOutputs",
    "LanguageModel",
    "Normalise",
    "Wrapped",
    "architecture",
    "build",
    "load_checkpoint",
    "names",
    "parameter_count",
    "pretrained",
    "save_checkpoint",
    "wrap",
]
