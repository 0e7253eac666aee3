"""Many examples at once: calibration, weights, distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kdcore.reporting.figures.arrays import array
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import INK, WIDTH, styles
from kdcore.reporting.formatting import percent

DRAWN = 500  # dots of a row in a scatter plot; more only make the page heavier


def calibration(confidence: Any, correct: Any, bins: int = 15) -> tuple[list[float], list[float], list[float], float]:
    """How sure a network is against how often it is right, in bins of equal width.

    Args:
        confidence: probability of each example's predicted class, in 0..1.
        correct: whether it was right.
        bins: their number.

    Returns:
        Mean confidence, accuracy and share of the examples of each bin that has any, and the expected calibration
        error: the mean of ``|accuracy - confidence|`` weighted by those shares.
    """
    import numpy

    confidence, correct = array(confidence), array(correct)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(confidence):
        raise ValueError(f"confidence and correct must be equally long, got {confidence.shape} and {correct.shape}")
    if confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(f"confidence must lie in 0..1, got {confidence.min():g} .. {confidence.max():g}")
    which = numpy.minimum((confidence * bins).astype(int), bins - 1)
    inside = [which == number for number in range(bins) if (which == number).any()]
    sure = [float(confidence[part].mean()) for part in inside]
    right = [float(correct[part].mean()) for part in inside]
    share = [float(part.mean()) for part in inside]
    return sure, right, share, sum(s * abs(r - c) for s, r, c in zip(share, right, sure))


def reliability(
    networks: Mapping[str, tuple[Any, Any]], *, bins: int = 15, caption: str, alt: str, name: str
) -> Figure:
    """Reliability diagram: accuracy against confidence, and below how often each confidence occurs.

    Args:
        networks: name to (confidence, correct), see `calibration`.
        bins: their number.
        caption, alt, name: see `kdcore.reporting.figures.render`.
    """
    looks, measured = styles(networks), {key: calibration(*said, bins) for key, said in networks.items()}

    def draw(canvas):
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot((0, 1), (0, 1), color=INK, linestyle="--", linewidth=1, label="as sure as right")
        for key, (sure, right, share, error) in measured.items():
            look = {"color": looks[key].colour, "marker": looks[key].marker, "linestyle": looks[key].line}
            upper.plot(sure, right, label=f"{key} (ECE {percent(error)})", **look)
            lower.plot(sure, share, **look)
        upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        lower.set(xlabel="confidence", ylabel="share", ylim=(0, None))
        upper.legend()

    counts = sorted({len(array(said[1])) for said in networks.values()})
    added = f" {bins} bins of equal width, {' or '.join(f'{count:,}' for count in counts)} examples."
    return render(draw, caption=caption + added, alt=alt, name=name, size=(0.72 * WIDTH, 4.6))


def scatter(
    x: Any,
    ys: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    log: Literal["", "x", "y", "xy"] = "",
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """A dot a sample; of more than 500 samples every k-th is drawn, and the caption says so."""
    x, ys, looks = array(x), {key: array(values) for key, values in ys.items()}, styles(ys)
    if wrong := {key: values.shape for key, values in ys.items() if values.shape != x.shape}:
        raise ValueError(f"every row must have {len(x)} values, got {wrong}")
    every = -(-len(x) // DRAWN)

    def draw(canvas):
        panel = canvas.subplots()
        for key, values in ys.items():
            look = {"color": looks[key].colour, "marker": looks[key].marker, "markersize": 3.5, "alpha": 0.7}
            panel.plot(x[::every], values[::every], linestyle="", markeredgewidth=0, label=key, **look)
        panel.set(xlabel=xlabel, ylabel=ylabel)
        if "x" in log:
            panel.set_xscale("log")
        if "y" in log:
            panel.set_yscale("log")
        panel.legend(markerscale=1.6)

    shown = f"{len(x[::every]):,} of {len(x):,} samples" if every > 1 else f"{len(x):,} samples"
    return render(draw, caption=f"{caption} {shown}.", alt=alt, name=name)


def weight_per_sample(spread: Any, weights: Mapping[str, Any], **options: Any) -> Figure:
    """The weight that each method gives a sample, against the spread of the teacher's logits on it."""
    labels = {"xlabel": "standard deviation of the teacher's logits", "ylabel": "weight of the sample"}
    return scatter(spread, weights, **labels | options)


def histogram(
    values: Mapping[str, Any],
    *,
    xlabel: str,
    bins: int = 30,
    range: tuple[float, float] | None = None,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """How often values occur, several rows over the same bins: uncertainty, mixing weights, margins."""
    import numpy

    rows, looks = {key: array(one).reshape(-1) for key, one in values.items()}, styles(values)
    edges = numpy.histogram_bin_edges(numpy.concatenate(list(rows.values())), bins, range)

    def draw(canvas):
        panel = canvas.subplots()
        for key, one in rows.items():
            counts, _ = numpy.histogram(one, edges)
            panel.stairs(counts, edges, fill=True, color=looks[key].colour, alpha=0.18)
            panel.stairs(counts, edges, color=looks[key].colour, linestyle=looks[key].line, linewidth=1.6, label=key)
        panel.set(xlabel=xlabel, ylabel="samples", ylim=(0, None))
        if len(rows) > 1:
            panel.legend()

    counts = sorted({one.size for one in rows.values()})
    added = f" {' or '.join(f'{count:,}' for count in counts)} samples."
    return render(draw, caption=caption + added, alt=alt, name=name)
