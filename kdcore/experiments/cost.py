"""What a method costs: the arithmetic of one step on the quick pair or a table's own, and what it keeps."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kdcore.entry import Refusal
from kdcore.experiments.hashing import canonical
from kdcore.experiments.profiles import DIGITS
from kdcore.experiments.requests import Request
from kdcore.experiments.types import TRAINING, Experiment, Profile, Row

if TYPE_CHECKING:
    from kdcore.engine import Run
    from kdcore.recipe import Recipe
    from kdcore.types import Data

RECIPE = {"steps": 1, "tabulate": False}
FEW = 4  # images of a step that is counted on large networks: the ratio to the student's step hardly depends on it
WHOLE = 10_000  # steps that stand for a whole run, of which two a stage are made


@dataclass(frozen=True)
class Cost:
    """One step, of 64 images of the quick pair where nothing else is said.

    Attributes:
        arithmetic: multiplications and additions of networks and losses, in those of the plain student's step.
        parameters: that are learned beside the student's.
        buffers: numbers that are kept beside the student's, memories among them.
    """

    arithmetic: float
    parameters: int
    buffers: int

    def __str__(self) -> str:
        kept = f", {self.parameters:,} more parameters" if self.parameters else ""
        kept += f", {self.buffers:,} numbers kept" if self.buffers else ""
        return f"{self.arithmetic:.2f} x the plain student's arithmetic on the quick pair, with the teacher{kept}"


class Unsorted:
    """In place of torch's sorting of arithmetic by module, whose hooks refuse a gradient inside a loss."""

    parents = ("Global",)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def cost_of(key: str) -> Cost:
    """What a method or scheme of the catalogue costs where the teacher is not tabulated.

    Raises:
        Refusal: the quick pair cannot serve it.
    """
    from kdcore import catalogue

    settings = {"methods": [[key, {}]]} if catalogue.listed(key).kind == "loss" else {"scheme": key}
    alone, row = _plain(), _step(Row(key, settings=settings))
    return Cost(row[0] / alone[0], row[1] - alone[1], row[2] - alone[2])


def cost_of_row(experiment: Experiment, row: Row, profile: str) -> Cost:
    """What a row's whole run costs between the networks of one profile, in the arithmetic of the student's alone.

    Images are noise and weights fresh, so nothing is read. The first step of every stage is counted and taken for all
    of that stage; a memory that keeps something of every sample is counted for the few samples there are.

    Raises:
        Refusal: the row trains no images, or the pair cannot serve it.
    """
    if row.measure != TRAINING:
        raise Refusal(f"row {row.key} of {experiment.key} trains no student on images")
    settings = _fresh(experiment.settings(row, profile))
    mine = experiment.recipe(profile, settings.pop("recipe", {}))
    settings["data"] = {"name": "kdcore.experiments.cost:noise", "like": settings["data"]}
    alone = {"data": settings["data"], "student": settings["student"], "teacher": None}
    longer = _images(mine) / _images(experiment.recipe(profile))
    plain = _alone(canonical(alone))
    found = _run(Row(row.key, settings=settings), max(1, round(WHOLE * longer)))
    return Cost(found[0] / plain[0], found[1] - plain[1], found[2] - plain[2])


@lru_cache(maxsize=8)
def _alone(settings: str) -> tuple[int, int, int]:
    return _run(Row("student", settings=json.loads(settings)), WHOLE)


def _images(recipe: Recipe) -> int:
    """How many pass through a stage, of a data set of the size of CIFAR."""
    return recipe.length(50_000)[0] * recipe.batch_size


def _fresh(value: Any) -> Any:
    """Settings with untrained networks in place of trained ones, wherever they stand."""
    from kdcore.data.registry import asset
    from kdcore.experiments import get

    if isinstance(value, list | tuple):
        return [_fresh(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if "checkpoint" in value:
        about = asset(value["checkpoint"])
        return {"row": value["checkpoint"], "network": about.architecture, "classes": about.classes}
    if "experiment" in value and "row" in value:
        trained = get(value["experiment"])
        settings = trained.settings(trained.row(value["row"]), next(iter(reversed(trained.profiles))))
        name = f"{value['row']}, seed {value.get('seed')}"  # or teachers of several seeds would be one network
        return {"row": name, "network": settings["student"], "classes": asset(settings["data"]).classes}
    return {name: _fresh(part) for name, part in value.items()}


def noise(device: str, like: str) -> Data:
    """Images of a data set's size and number of classes, no more than some steps see."""
    import torch

    from kdcore import data
    from kdcore.data.cifar import VIEWS
    from kdcore.data.registry import asset
    from kdcore.types import Data, Task

    if not like.startswith("cifar"):
        return data.load(like, device=device)
    classes, about = asset(like).classes, {"name": f"noise like {like}", "digest": "noise"}
    images = torch.randint(256, (8 * FEW, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(len(images)) % classes
    test = Data(images[:FEW], targets[:FEW], Task(), VIEWS, classes=classes, **about)
    return Data(images, targets, Task(), VIEWS, {"test": test}, classes, **about)


@lru_cache(maxsize=1)
def _plain() -> tuple[int, int, int]:
    return _step(Row("student", settings={"teacher": None}))


def _step(row: Row) -> tuple[int, int, int]:
    """Arithmetic of the last stage's first step, and the scheme's parameters and buffers."""
    training = _built(row, RECIPE)
    while training.at < len(training.stages) - 1:
        training.advance()
    return _counted(training), *_sizes(training)


def _run(row: Row, steps: int) -> tuple[int, int, int]:
    """Arithmetic of all stages, each as its first step times its length, and the scheme's parameters and buffers."""
    training, total = _built(row, {**RECIPE, "steps": steps, "batch_size": FEW}), 0
    while training.active:
        length, at = training.clock.steps, training.at
        total += length * _counted(training)
        if training.at == at:
            training.step = length - 1
            training.advance()
    return total, *_sizes(training)


def _counted(training: Run) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter: Any = FlopCounterMode(display=False)
    counter.mod_tracker = Unsorted()
    with contextlib.redirect_stdout(io.StringIO()), counter:
        training.advance()
    return counter.get_total_flops()


def _sizes(training: Run) -> tuple[int, int]:
    scheme = training.scheme
    parameters, buffers = scheme.parameters(), scheme.buffers()
    return sum(each.numel() for each in parameters), sum(each.numel() for each in buffers)


def _built(row: Row, recipe: Mapping[str, Any]) -> Run:
    from kdcore.experiments.inputs import Inputs
    from kdcore.experiments.store import Store

    request = Request.of(Experiment("cost", "One step", (row,), (0,), {"quick": Profile(recipe, DIGITS)}))
    (run,) = request.runs()
    settings = Inputs(request, Store()).for_rehearsal(run)
    try:
        return run.measure()(**run.arguments(), **settings).run
    except Refusal:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise Refusal(str(error).strip().splitlines()[0]) from error
