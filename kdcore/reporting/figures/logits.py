"""What one answer of a network holds, and how losses pull on it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kdcore.reporting.figures.arrays import array, check_classes, softmax
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import INK, WIDTH, role, styles
from kdcore.reporting.formatting import compact


def answers(
    logits: Any,
    target: int,
    classes: Sequence[str],
    *,
    temperatures: Sequence[float] = (1.0, 4.0, 20.0),
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """One answer as a hard target, as logits, and softened at several temperatures.

    Args:
        logits: of one example, one value a class.
        target: its true class.
        classes: their names, Latin letters.
        temperatures: of the softened answers.
        caption, alt, name: see `kdcore.reporting.figures.render`.
    """
    logits, target = array(logits), int(target)
    check_classes(logits, target, classes)
    hard = [float(place == target) for place in range(len(classes))]
    panels = [("hard target", hard, "probability"), ("logits", logits, "logit")]
    panels += [(f"$T = {compact(one)}$", softmax(logits, one), "probability") for one in temperatures]

    def draw(canvas):
        axes = canvas.subplots(1, len(panels), sharey=True)
        for number, (panel, (title, values, unit)) in enumerate(zip(axes, panels)):
            _class_bars(panel, values, target, classes, first=number == 0)
            panel.set(title=title, xlabel=unit)
            if unit == "probability":
                panel.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", ".5", "1"))

    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, 1.1 + 0.2 * len(classes)))


def answer_with_and_without_target(
    logits: Any,
    target: int,
    classes: Sequence[str],
    *,
    temperature: float = 4.0,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """One softened answer, and the same among the other classes alone, rescaled to one."""
    import numpy

    logits, target = array(logits), int(target)
    check_classes(logits, target, classes)
    whole = softmax(logits, temperature)
    rest = softmax(numpy.where(numpy.arange(len(classes)) == target, -numpy.inf, logits), temperature)
    heading = f"$T = {compact(temperature)}$"

    def draw(canvas):
        panels = zip(canvas.subplots(1, 2, sharey=True), (whole, rest), ("all classes", "without the true class"))
        for number, (panel, values, title) in enumerate(panels):
            _class_bars(panel, values, target, classes, first=number == 0)
            panel.set(title=f"{title}, {heading}", xlabel="probability", xlim=(0, None))

    return render(draw, caption=caption, alt=alt, name=name, size=(WIDTH, 1.1 + 0.2 * len(classes)))


def _class_bars(panel: Any, values: Any, target: int, classes: Sequence[str], *, first: bool) -> None:
    """Horizontal bars, one a class; the true class in its own colour and with its own hatching."""
    colours = [role("target" if place == target else "others").colour for place in range(len(classes))]
    bars = panel.barh(range(len(classes)), values, color=colours, height=0.72)
    bars[target].set(hatch="////", edgecolor="white", linewidth=0)
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.set_yticks(range(len(classes)), classes)
    panel.tick_params(axis="y", length=0)
    if first:
        panel.invert_yaxis()
        panel.set_ylabel("class")


def gradients(
    losses: Mapping[str, Callable[..., Any]], student_logits: Any, teacher_logits: Any, target: int
) -> dict[str, list[float]]:
    """The gradient of each loss with respect to the student's logits, for one example, in float64.

    A loss that takes ``targets`` gets the true class. Settings are bound beforehand (``functools.partial``).
    """
    import torch

    pulls = {}
    for name, loss in losses.items():
        student = torch.as_tensor(student_logits).detach().double().reshape(1, -1).requires_grad_()
        teacher = torch.as_tensor(teacher_logits).detach().double().reshape(1, -1)
        needs = "targets" in inspect.signature(loss).parameters
        targets = (torch.tensor([int(target)]),) if needs else ()
        (pull,) = torch.autograd.grad(loss(student, teacher, *targets), student)
        pulls[name] = pull[0].tolist()
    return pulls


def gradient_per_logit(
    losses: Mapping[str, Callable[..., Any] | Sequence[float]],
    student_logits: Any,
    teacher_logits: Any,
    target: int,
    classes: Sequence[str],
    *,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """How hard each loss pulls on each logit of one example.

    Args:
        losses: name to a loss (see `gradients`) or to the gradient itself, one value a class.
        student_logits: of one example.
        teacher_logits: of the same.
        target: its true class, marked on the axis.
        classes: their names.
        caption, alt, name: see `kdcore.reporting.figures.render`.
    """
    target = int(target)
    check_classes(array(student_logits).reshape(-1), target, classes)
    ready = {key: pull for key, pull in losses.items() if not callable(pull)}
    computed = {key: loss for key, loss in losses.items() if callable(loss)}
    ready |= gradients(computed, student_logits, teacher_logits, target) if computed else {}
    pulls = {key: array(ready[key]) for key in losses}
    looks, width = styles(pulls), 0.8 / len(pulls)

    def draw(canvas):
        panel = canvas.subplots()
        for number, (key, pull) in enumerate(pulls.items()):
            places = [place - 0.4 + width * (number + 0.5) for place in range(len(classes))]
            hatch = "////" if looks[key].line != "-" else None
            panel.bar(places, pull, width, color=looks[key].colour, label=key, hatch=hatch, edgecolor="white", lw=0)
        panel.axhline(0, color=INK, linewidth=0.8)
        panel.set_xticks(range(len(classes)), classes)
        panel.get_xticklabels()[target].set(color=role("target").colour, fontweight="bold")
        panel.set(xlabel="class (the true one in bold)", ylabel="gradient on the logit")
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=4)

    return render(draw, caption=caption, alt=alt, name=name)
