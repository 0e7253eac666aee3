"""Model compression: an ensemble, synthetic samples it labels, and a small network that learns these labels."""

from kdcore.schemes.offline.compression.munge import munge
from kdcore.schemes.offline.compression.scheme import ModelCompression
from kdcore.schemes.offline.compression.tabular import Perceptron, table

__all__ = ["ModelCompression", "Perceptron", "munge", "table"]
