"""A small world in which every method of the catalogue can be asked for its losses."""

from __future__ import annotations

import contextlib
import inspect
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kdcore.catalogue import entries, load
from kdcore.randomness import seeded
from kdcore.tokens import TokenOutputs
from kdcore.types import Batch, Clock, Data, Entry, Method, Outputs, Refusal, Setting, Task, Term

STAGES = ((4, 8, 8), (6, 4, 4), (8, 2, 2))  # channels, height, width: shallow to deep
WIDER = ((5, 8, 8), (9, 4, 4), (12, 2, 2))


def sines(shape: tuple[int, ...], speed: float, dtype: torch.dtype, device: str) -> Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return (4 * torch.sin(speed * index + 1)).to(device, dtype)


class Exact(Task):
    """Classification that stays in double precision where the answers are, for gradients by differences."""

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(outputs.logits, batch.targets)


@dataclass
class World:
    """A method and what it is asked about."""

    method: Method
    student: Outputs
    teacher: Outputs
    batch: Batch

    def terms(self) -> dict[str, Term]:
        return self.method.losses(self.student, self.teacher, self.batch)

    def total(self, progress: float = 0.5) -> Tensor:
        """What the engine lowers: the weighted sum."""
        return sum(term.value * term.weight_at(progress) for term in self.terms().values())

    def answers(self) -> list[Tensor]:
        """All that the student says."""
        return [*_tensors(self.student), *_tensors(self.student.view("strong"))]

    def lessons(self) -> list[Tensor]:
        """All that the teacher says."""
        return [*_tensors(self.teacher), *_tensors(self.teacher.view("strong"))]


def _tensors(outputs: Outputs) -> list[Tensor]:
    held = [value if isinstance(value, tuple) else (value,) for value in vars(outputs).values()]
    return [value for values in held for value in values if isinstance(value, Tensor)]


def _image(size: int, classes: int, stages, speed: float, scale: float, dtype, device: str) -> Outputs:
    def some(shape: tuple[int, ...], extra: float) -> Tensor:
        return scale * sines((size, *shape), speed + extra, dtype, device)

    features = tuple(some(stage, 0.01 * depth) for depth, stage in enumerate(stages, 1))
    return Outputs(some((classes,), 0), features, features, some((stages[-1][0],), 0.05))


def _tokens(size: int, classes: int, stages, speed: float, scale: float, dtype, device: str) -> Outputs:
    """A vision transformer's: four patches, the wider network with a layer more and without a distillation token."""
    wide, width = stages is WIDER, 2 * stages[0][0]
    length, layers = (5, 3) if wide else (6, 2)

    def some(shape: tuple[int, ...], extra: float) -> Tensor:
        return scale * sines((size, *shape), speed + extra, dtype, device)

    def each(shape: tuple[int, ...], extra: float, count: int = layers) -> tuple[Tensor, ...]:
        return tuple(some(shape, extra + 0.01 * depth) for depth in range(count))

    heads = (2, length, width // 2)
    return TokenOutputs(
        some((classes,), 0),
        embedding=some((width,), 0.05),
        hidden=each((length, width), 0.06, layers + 1),
        tokens=some((length, width), 0.11),
        queries=each(heads, 0.12),
        keys=each(heads, 0.16),
        values=each(heads, 0.2),
        grid=(2, 2),
        class_logits=None if wide else some((classes,), 0.3),
        distillation_logits=None if wide else some((classes,), 0),
    )


def _text(size: int, classes: int, stages, speed: float, scale: float, dtype, device: str) -> Outputs:
    """A language model's: four tokens each, the wider network with a layer more."""
    wide, width, length = stages is WIDER, 2 * stages[0][0], 4

    def each(shape: tuple[int, ...], extra: float, count: int = 3 if wide else 2) -> tuple[Tensor, ...]:
        speeds = (speed + extra + 0.01 * depth for depth in range(count))
        return tuple(scale * sines((size, *shape), one, dtype, device) for one in speeds)

    heads = (2, length, width // 2)
    (logits,), hidden = each((length, classes), 0, 1), each((length, width), 0.06, 4 if wide else 3)
    queries, keys, values = (each(heads, extra) for extra in (0.12, 0.16, 0.2))
    return TokenOutputs(logits, hidden=hidden, queries=queries, keys=keys, values=values, causal=True)


def _plain(inputs: Tensor, random: torch.Generator) -> Tensor:
    return inputs


def _asked(make: Callable[..., Outputs], learns: bool, speeds: tuple[float, float], **sizes: Any) -> Outputs:
    """A network's answers to both views; a student's are where gradients end."""
    weak, strong = (make(speed=speed, **sizes).map(lambda value: value.requires_grad_(learns)) for speed in speeds)
    return replace(weak, view={"weak": weak, "strong": strong}.__getitem__, ask=Asked(weak))


class Asked(nn.Module):
    """What stands for a network: it answers, and has the linear layer that would have read its embedding."""

    def __init__(self, said: Outputs):
        super().__init__()
        self.said = (said,)
        if said.embedding is not None:
            shape = said.logits.shape[-1], said.embedding.shape[-1]
            self.classifier = nn.Linear(*reversed(shape), bias=False)
            weight = sines(shape, 0.9, said.logits.dtype, said.logits.device.type)
            self.classifier.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, inputs: Tensor) -> Outputs:
        return _about(*self.said, inputs)


def _about(said: Outputs, inputs: Tensor) -> Outputs:
    """What the same network says of other inputs: its mean answer, moved by them, class by class apart.

    Each input number also adds the mean answer with its entries turned on, so that what an input does to an answer
    depends on the answer.
    """
    logits, pixels = said.logits, inputs.flatten(1)
    apart = torch.linspace(-1, 1, logits.shape[-1], dtype=logits.dtype, device=logits.device)
    moved = pixels.mean(1, keepdim=True).to(logits.dtype) * apart

    def turned(mean: Tensor) -> Tensor:
        turns = torch.stack([mean.flatten().roll(turn) for turn in range(1, pixels.shape[1] + 1)])
        return mean + (pixels.to(mean.dtype) @ turns).view(-1, *mean.shape)

    features = tuple(turned(stage.mean(0)) for stage in said.features)
    return Outputs(turned(logits.flatten(0, -2).mean(0)) + moved, features)


def _world(
    entry: Entry,
    make: Callable[..., Outputs],
    size: int,
    classes: int,
    agree: bool,
    options: dict,
    alike: bool = False,
) -> World:
    sizes = {"size": size, "classes": classes, "scale": 1.0, "dtype": torch.float32, "device": "cpu"} | options
    wide = STAGES if agree or alike else WIDER
    student = _asked(make, True, (0.7, 1.9), stages=STAGES, **sizes)
    teacher = _asked(make, False, (0.7, 1.9) if agree else (1.3, 2.3), stages=wide, **sizes)
    shapes = [answer.map(lambda value: torch.empty(value.shape, device="meta")) for answer in (student, teacher)]
    setting = Setting(*shapes, classes, max(100, size), teacher.ask)
    method = seeded(lambda: entry.make.build(setting, **entry.settings), 0, "method")
    shape = student.logits.shape[:-1]
    targets = (torch.arange(shape.numel(), device=sizes["device"]) * 3 % classes).view(shape)
    inputs = torch.zeros(size, 1, 2, 2, dtype=sizes["dtype"], device=sizes["device"])
    data = Data(inputs, targets, Exact(), {"weak": _plain}, classes=classes)
    batch = Batch(data, torch.arange(size, device=sizes["device"]), 0, Clock(50, 100, 10))
    return World(method.to(sizes["device"]), student, teacher, batch)


@pytest.fixture
def world() -> Callable[..., World]:
    """``world(entry, size=6, classes=5, agree=False, scale=1.0, dtype=..., device=...)``.

    Images unless the method refuses them, then images of two networks of one width, then a vision transformer's
    tokens, then texts; `agree` gives both networks the same answers.
    """

    def build(entry: Entry, size: int = 6, classes: int = 5, agree: bool = False, **options: Any) -> World:
        for make, alike in ((_image, False), (_image, True), (_tokens, False)):
            with contextlib.suppress(Refusal):
                return _world(entry, make, size, classes, agree, options, alike)
        return _world(entry, _text, size, classes, agree, options)

    return build


SIZES = {"batch": 6, "classes": 5, "vocabulary": 5, "length": 4, "channels": 3, "size": 5, "parts": 5}
SIZES |= {"combinations": 2, "heads": 2, "tokens": 4, "layers": 2, "patches": 4}
SIZES |= {"samples": 24, "negatives": 7, "anchors": 3, "temperatures": 1}
SIZES |= {"student_layers": 2, "teacher_layers": 3}
SIZES |= {"student_size": 3, "teacher_size": 4}
SIZES |= {"height": 4, "width": 4, "student_channels": 3, "teacher_channels": 4}
SIZES |= {f"{whose}_{side}": 4 for whose in ("student", "teacher") for side in ("height", "width")}
SIZES |= {"student_size": 5, "teacher_size": 6, "first_channels": 3, "second_channels": 4}
SIZES |= {"student_second_channels": 6, "teacher_second_channels": 8}  # twice those of the layer before
SIZES |= {f"{whose}_first_{side}": 4 for whose in ("student", "teacher") for side in ("height", "width")}
SIZES |= {f"{whose}_second_{side}": 2 for whose in ("student", "teacher") for side in ("height", "width")}
SEVERAL = {"*student_shape": (3, 2, 2), "*teacher_shape": (7,)}  # what one name of any number of axes stands for
COUNTED = {"matching": "teacher_channels"}  # whole numbers that are no classes, and the axis that they point into


def _shapes(loss: Callable[..., Tensor], **sizes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind and shape of each tensor that a loss must be given, read from its annotations."""
    sizes, hints = SIZES | sizes, typing.get_type_hints(inspect.unwrap(loss))
    needed = {name: hint for name, hint in hints.items() if name != "return" and hasattr(hint, "dim_str")}
    axes = lambda axis: SEVERAL.get(axis) or (sizes[axis],)
    shapes = {name: sum(map(axes, hint.dim_str.split()), ()) for name, hint in needed.items()}
    kinds = {Float: "float", Bool: "bool"}
    return {name: (kinds.get(needed[name].dtype, "int"), shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def shapes_of() -> Callable[..., dict[str, tuple[str, tuple[int, ...]]]]:
    return _shapes


@pytest.fixture
def arguments() -> Callable[..., dict[str, Tensor]]:
    """Tensors for a loss; whole numbers are classes or places on an axis, booleans are true at every other place."""

    def build(loss: Callable[..., Tensor], dtype=torch.float32, device: str = "cpu", **sizes: int):
        def tensor(name: str, number: int, kind: str, shape: tuple[int, ...]) -> Tensor:
            if kind == "float":
                return sines(shape, 0.7 + 0.6 * number, dtype, device)
            if kind == "bool":
                return (torch.arange(math.prod(shape), device=device) % 2 == 0).view(shape)
            limit = (SIZES | sizes)[COUNTED.get(name, "classes")]
            return torch.arange(math.prod(shape), device=device).view(shape) * 3 % limit

        wanted = _shapes(loss, **sizes).items()
        return {name: tensor(name, number, *shaped) for number, (name, shaped) in enumerate(wanted)}

    return build


def _methods() -> list[Entry]:
    loaded = [load(listed.key) for listed in entries() if listed.kind == "loss"]
    return [entry for entry in loaded if isinstance(entry.make, type) and issubclass(entry.make, Method)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `method` is asked of every method of the catalogue, one that takes `loss` of every function."""
    if "method" in metafunc.fixturenames:
        methods = _methods()
        metafunc.parametrize("method", methods, ids=[entry.key for entry in methods])
    if "loss" in metafunc.fixturenames:
        import kdcore.losses

        names = [name for name in kdcore.losses.__all__ if name.endswith("_loss")]
        metafunc.parametrize("loss", [getattr(kdcore.losses, name) for name in names], ids=names)
