"""The measure of most rows: build a scheme by name, hand its run to the engine, and read off what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from kdcore.engine import Diverged, Run, prepare
from kdcore.entry import Refusal
from kdcore.experiments.bench import Bench, data_named, entry_of
from kdcore.experiments.budget import ranked, teaches, within_budget
from kdcore.experiments.types import Training
from kdcore.models import parameter_count
from kdcore.recipe import Recipe
from kdcore.types import Data, Outputs, Scheme

TAUGHT: WeakKeyDictionary[torch.nn.Module, WeakKeyDictionary[Data, torch.Tensor]] = WeakKeyDictionary()
REHEARSED = 16  # images of the step that tries a row before anything is trained
ALONE = (Diverged, torch.linalg.LinAlgError, torch.OutOfMemoryError)  # for the run itself to meet and record


class Trained:
    """A measure that trains the scheme its settings name and judges the networks that it delivers.

    With ``"budget": "student"`` among the settings, preparation comes out of the recipe's length, see `within_budget`.
    """

    bench: type[Bench] = Bench  # what schemes are built from

    def __call__(self, *, seed: int, profile: str, recipe: Recipe, device: str, **settings: Any) -> Training:
        prepare(recipe, device)
        bench, scheme = self._made(seed, recipe, device, dict(settings))
        run = Run(f"seed {seed}", scheme, bench.data, recipe, seed)
        return Training(run, lambda run: finish(run, bench))

    def rehearse(self, *, seed: int, profile: str, recipe: Recipe, device: str, **settings: Any) -> None:
        """Build the row and take one small step of each of its stages; nothing of it is kept.

        Raises:
            Refusal: the pair cannot be built, or a setting is out of its range.
        """
        prepare(recipe, device)
        short = replace(recipe, steps=1, batch_size=min(REHEARSED, recipe.batch_size), tabulate=False, evaluate="end")
        try:
            bench, scheme = self._made(seed, replace(short, compile=False), device, dict(settings))
            run = Run("rehearsal", scheme, bench.data, short, seed)
            while run.active:
                run.advance()
        except ALONE:
            return
        except Refusal:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            raise Refusal(str(error).strip().splitlines()[0]) from error

    def _made(self, seed: int, recipe: Recipe, device: str, settings: dict[str, Any]) -> tuple[Bench, Scheme]:
        data = data_named(settings.pop("data"), device, settings.pop("judge", "test"))
        bench = self.bench(data, settings.pop("student"), settings.pop("teacher", None), recipe, seed)
        entry = entry_of(settings.pop("scheme", "distillation"))
        if not (isinstance(entry.make, type) and issubclass(entry.make, Scheme)):
            raise Refusal(f"{entry.key} is a {entry.kind} and not a scheme")
        budget = settings.pop("budget", None)
        if budget not in (None, "student"):
            raise Refusal(f"budget must be 'student' or nothing, got {budget!r}")
        scheme = entry.make.build(bench, **{**entry.settings, **settings})
        return bench, scheme if budget is None else within_budget(scheme, recipe, len(data))


image = text = Trained()


def finish(run: Run, bench: Bench) -> dict[str, Any]:
    """What a record says of a finished run, in full precision."""
    judged = run.result()
    delivered = run.scheme.delivers()
    networks = {
        role: {**numbers, "parameters": parameter_count(delivered[role]), **_agreement(delivered[role], bench)}
        for role, numbers in judged.items()
    }
    tested = [entry["test"] | {"epoch": entry["epoch"]} for entry in _of_its_own(run) if "test" in entry]
    score, lower = bench.data.task.score, getattr(bench.data.task, "lower_is_better", False)
    return {
        "score": score,
        "last": next(iter(judged.values())),
        "best": best(tested, score, lower),
        "mean_of_last_ten": mean(tested[-10:]),
        "networks": networks,
        "curve": run.curve,
        "untouched": run.untouched,
    }


def _of_its_own(run: Run) -> list[dict[str, Any]]:
    """The curve where the ranked network learns: while an assistant does, its accuracy says nothing of the method."""
    own = {stage.name for stage in run.stages if teaches(stage, ranked(run.scheme))}
    return [entry for entry in run.curve if entry["stage"] in own or not own]


def best(tested: Sequence[Mapping[str, float]], score: str, lower: bool = False) -> dict[str, float] | None:
    """The best epoch by the task's score, None where epochs were not judged. It is shown, never ranked."""
    if not tested:
        return None
    return dict((min if lower else max)(tested, key=lambda entry: entry[score]))


def mean(tested: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    if not tested:
        return None
    return {name: sum(entry[name] for entry in tested) / len(tested) for name in tested[0] if name != "epoch"}


def _agreement(network: torch.nn.Module, bench: Bench) -> dict[str, float]:
    """How often a network and its teacher choose the same answer on the test split; nothing without a teacher."""
    if bench.source is None:
        return {}
    test = bench.data.splits["test"]
    lessons = TAUGHT.setdefault(bench.teacher, WeakKeyDictionary())
    if test not in lessons:
        lessons[test] = _choices(bench.teacher, test)
    mine, theirs = _choices(network, test), lessons[test]
    return {"agreement": (mine == theirs).double().mean().item()}


@torch.no_grad()
def _choices(network: torch.nn.Module, data: Data) -> torch.Tensor:
    network.eval()
    answers: list[Outputs] = [network(part.inputs) for part in data.parts(1000)]
    return torch.cat([answer.logits.argmax(-1) for answer in answers])
