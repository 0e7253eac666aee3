"""What a method costs: the arithmetic of one step on the quick pair, and what it keeps."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kdcore.experiments.profiles import DIGITS
from kdcore.experiments.requests import Request
from kdcore.experiments.types import Experiment, Profile, Row

RECIPE = {"steps": 1, "tabulate": False}


@dataclass(frozen=True)
class Cost:
    """One step of 64 images of the quick pair.

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


@lru_cache(maxsize=1)
def _plain() -> tuple[int, int, int]:
    return _step(Row("student", settings={"teacher": None}))


def _step(row: Row) -> tuple[int, int, int]:
    """Arithmetic of the last stage's first step, and the scheme's parameters and buffers."""
    from torch.utils.flop_counter import FlopCounterMode

    experiment = Experiment("cost", "One step", (row,), (0,), {"quick": Profile(RECIPE, DIGITS)})
    (run,) = Request.of(experiment).runs()
    training: Any = _built(run)
    while training.at < len(training.stages) - 1:
        training.advance()
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = Unsorted()
    with contextlib.redirect_stdout(io.StringIO()), counter:
        training.advance()
    scheme = training.scheme
    return (
        counter.get_total_flops(),
        sum(parameter.numel() for parameter in scheme.parameters()),
        sum(buffer.numel() for buffer in scheme.buffers()),
    )


def _built(run: Any) -> Any:
    from kdcore.entry import Refusal
    from kdcore.experiments.inputs import Inputs
    from kdcore.experiments.store import Store

    request = Request.of(Experiment("cost", "One step", (run.row,), (0,), {"quick": Profile(RECIPE, DIGITS)}))
    settings = Inputs(request, Store()).for_rehearsal(run)
    try:
        return run.measure()(**run.arguments(), **settings).run
    except Refusal:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise Refusal(str(error).strip().splitlines()[0]) from error
