"""Knowledge distillation, reproduced: what to match, how it is learned, and what it is worth."""

__version__ = "0.1.0"
