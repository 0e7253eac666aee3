"""A small world in which every method of the catalogue can be asked for its losses."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdcore.catalogue import entries, load
from kdcore.randomness import seeded
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


def _text(size: int, classes: int, stages, speed: float, scale: float, dtype, device: str) -> Outputs:
    return Outputs(scale * sines((size, 4, classes), speed, dtype, device))


def _asked(make: Callable[..., Outputs], learns: bool, speeds: tuple[float, float], **sizes: Any) -> Outputs:
    """A network's answers to both views; a student's are where gradients end."""
    weak, strong = (make(speed=speed, **sizes).map(lambda value: value.requires_grad_(learns)) for speed in speeds)
    return replace(weak, view={"weak": weak, "strong": strong}.__getitem__)


def _world(entry: Entry, make: Callable[..., Outputs], size: int, classes: int, agree: bool, options: dict) -> World:
    sizes = {"size": size, "classes": classes, "scale": 1.0, "dtype": torch.float32, "device": "cpu"} | options
    wide = STAGES if agree else WIDER
    student = _asked(make, True, (0.7, 1.9), stages=STAGES, **sizes)
    teacher = _asked(make, False, (0.7, 1.9) if agree else (1.3, 2.3), stages=wide, **sizes)
    shapes = [answer.map(lambda value: torch.empty(value.shape, device="meta")) for answer in (student, teacher)]
    setting = Setting(*shapes, classes, 100, nn.Identity())
    method = seeded(lambda: entry.make.build(setting, **entry.settings), 0, "method")
    shape = student.logits.shape[:-1]
    targets = (torch.arange(shape.numel(), device=sizes["device"]) * 3 % classes).view(shape)
    data = Data(torch.zeros(size, 1, device=sizes["device"]), targets, Exact(), {}, classes=classes)
    batch = Batch(data, torch.arange(size, device=sizes["device"]), 0, Clock(50, 100, 10))
    return World(method.to(sizes["device"]), student, teacher, batch)


@pytest.fixture
def world() -> Callable[..., World]:
    """``world(entry, size=6, classes=5, agree=False, scale=1.0, dtype=..., device=...)``.

    Images unless the method refuses them, then texts; `agree` gives both networks the same answers.
    """

    def build(entry: Entry, size: int = 6, classes: int = 5, agree: bool = False, **options: Any) -> World:
        try:
            return _world(entry, _image, size, classes, agree, options)
        except Refusal:
            return _world(entry, _text, size, classes, agree, options)

    return build


SIZES = {"batch": 6, "classes": 5, "vocabulary": 5, "length": 4, "channels": 3, "size": 5, "parts": 5}
SIZES |= {"height": 4, "width": 4, "student_channels": 3, "teacher_channels": 4}
SIZES |= {f"{whose}_{side}": 4 for whose in ("student", "teacher") for side in ("height", "width")}


def _shapes(loss: Callable[..., Tensor], **sizes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind and shape of each tensor that a loss must be given, read from its annotations."""
    sizes, hints = SIZES | sizes, typing.get_type_hints(inspect.unwrap(loss))
    needed = {name: hint for name, hint in hints.items() if name != "return" and hasattr(hint, "dim_str")}
    shapes = {name: tuple(sizes[axis] for axis in hint.dim_str.split()) for name, hint in needed.items()}
    return {name: ("float" if needed[name].dtype is Float else "int", shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def shapes_of() -> Callable[..., dict[str, tuple[str, tuple[int, ...]]]]:
    return _shapes


@pytest.fixture
def arguments() -> Callable[..., dict[str, Tensor]]:
    """Tensors for a loss; whole numbers are classes."""

    def build(loss: Callable[..., Tensor], dtype=torch.float32, device: str = "cpu", **sizes: int):
        def tensor(number: int, kind: str, shape: tuple[int, ...]) -> Tensor:
            if kind == "float":
                return sines(shape, 0.7 + 0.6 * number, dtype, device)
            return torch.arange(math.prod(shape), device=device).view(shape) * 3 % (SIZES | sizes)["classes"]

        return {name: tensor(number, *wanted) for number, (name, wanted) in enumerate(_shapes(loss, **sizes).items())}

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
