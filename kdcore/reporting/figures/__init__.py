"""Figures of the book: SVG in one style, each with a caption and words for who does not see it.

Every function returns a `Figure`, which shows itself in a notebook and becomes a numbered figure of the book.
Matplotlib is imported when the first one is drawn.
"""

from kdcore.reporting.figures.benchmarks import pareto, selection_effect
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.grids import maps
from kdcore.reporting.figures.knowledge import point_line_plane
from kdcore.reporting.figures.lines import against_temperature, curves, learning_curves, negative_mass
from kdcore.reporting.figures.logits import answer_with_and_without_target, answers, gradient_per_logit, gradients
from kdcore.reporting.figures.results import dot_plot
from kdcore.reporting.figures.samples import calibration, histogram, reliability, scatter, weight_per_sample
from kdcore.reporting.figures.taxonomy import Node, method_map

__all__ = [
    "Figure",
    "Node",
    "against_temperature",
    "answer_with_and_without_target",
    "answers",
    "calibration",
    "curves",
    "dot_plot",
    "gradient_per_logit",
    "gradients",
    "histogram",
    "learning_curves",
    "maps",
    "method_map",
    "negative_mass",
    "pareto",
    "point_line_plane",
    "reliability",
    "render",
    "scatter",
    "selection_effect",
    "weight_per_sample",
]
