"""One scheme on its way through its stages. Its state is the scheme, the optimisers, two counters and the curve."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdcore.engine import optimise
from kdcore.engine.checkpoint import FORMAT, DamagedCheckpoint
from kdcore.engine.evaluation import evaluate, judge, judged_by
from kdcore.engine.machine import arithmetic
from kdcore.engine.watch import Diverged, Watch
from kdcore.randomness import seed_layers
from kdcore.recipe import Recipe
from kdcore.types import Batch, Clock, Data, Scheme, Stage, Term, Update

__all__ = ["Diverged", "Run"]
POINTS = 20  # entries of the curve in a stage that is not judged at every epoch


class Run:
    """A scheme, the data it learns from, a recipe and a seed.

    Args:
        name: how messages and checkpoints call it.
        scheme: who learns from whom; its weights are the run's.
        data: what it learns from; its ``test`` split judges it.
        recipe: of every stage and update that brings none of its own. Threads and precision are the whole run's, so
            those of a stage's or an update's recipe are not read.
        seed: of order, augmentation and dropout (initial weights are drawn before).
        checkpoint: where `fit` keeps its state while it is unfinished; None for nowhere.
    """

    def __init__(
        self, name: str, scheme: Scheme, data: Data, recipe: Recipe, seed: int, checkpoint: Path | None = None
    ):
        self.name, self.scheme, self.data, self.recipe, self.seed = name, scheme, data, recipe, seed
        self.checkpoint, self.resumed = checkpoint, 0
        self._names = {id(parameter): name for name, parameter in scheme.named_parameters()}
        self.stages = [self._checked(stage) for stage in scheme.stages()]
        self.clocks = [self._clock(stage) for stage in self.stages]
        self.curve: list[dict[str, Any]] = []
        self.untouched: dict[str, list[str]] = {}
        self.failed: dict[str, Any] | None = None
        self.watch, self.whole = Watch(), True
        self._enter(0, 0)

    def _checked(self, stage: Stage) -> Stage:
        """A stage whose updates can be told apart, saved, and entered again after an interruption."""
        names = [update.name for update in stage.updates]
        if len(set(names)) < len(names):
            raise ValueError(f"the updates of stage {stage.name} need names of their own, got {', '.join(names)}")
        for update in stage.updates:
            update.trains = list(update.trains)
            if strangers := [p for p in _parameters(update) if id(p) not in self._names]:
                raise ValueError(
                    f"update {update.name} trains {len(strangers)} parameters that its scheme does not register, "
                    "so they would not be saved"
                )
        return stage

    def _clock(self, stage: Stage) -> Clock:
        recipe = stage.recipe or self.recipe
        steps, per_epoch = recipe.length(len(self.data), stage.share)
        return Clock(0, steps, per_epoch)

    def _enter(self, stage: int, step: int) -> None:
        """Stand at a step of a stage: what it trains gets gradients and train mode, all else rests."""
        self.at, self.step = stage, step
        self.optimizers: list[tuple[Recipe, torch.optim.Optimizer]] = []
        self.waiting: torch.optim.Optimizer | None = None
        self.parameters: list[list[nn.Parameter]] = []
        self.scheme.eval().requires_grad_(False)
        if self.done:
            return
        for update in self.stages[stage].updates:
            for module in update.trains:
                module.train().requires_grad_(True)
            parameters = _parameters(update)
            recipe = update.recipe or self.stages[stage].recipe or self.recipe
            self.parameters.append(parameters)
            self.optimizers.append((recipe, optimise.optimizer_for(recipe, parameters)))

    @property
    def done(self) -> bool:
        return self.at == len(self.stages)

    @property
    def active(self) -> bool:
        return not self.done and self.failed is None

    @property
    def remaining(self) -> int:
        """Steps left until the end of the last stage; 0 for a failed run."""
        return sum(clock.steps for clock in self.clocks[self.at :]) - self.step if self.active else 0

    @property
    def clock(self) -> Clock:
        return self.clocks[self.at]._replace(step=self.step)

    @property
    def batch_size(self) -> int:
        return (self.stages[self.at].recipe or self.recipe).batch_size

    def advance(self, memo: dict | None = None) -> None:
        """Carry out one step, with what lies before the first epoch and after every one, as one whole.

        While it lasts the run is not `whole`: what an interruption leaves behind then belongs to no step.
        """
        self.reckon(memo)
        self.settle()

    def reckon(self, memo: dict | None = None) -> None:
        """A step as far as the last update's gradients; what then waits to be moved is `waiting`."""
        stage, clock = self.stages[self.at], self.clock
        self.whole = False
        if clock.step == 0:
            self._between(stage, clock)
        batch = self.data.batch(self.seed, clock, self.batch_size, memo)
        for number, update in enumerate(stage.updates):
            if clock.step % update.every == 0:
                self._move()
                self._carry_out(number, update, stage, batch)

    def settle(self) -> None:
        """The rest of a step, once `reckon` is through."""
        self._move()
        stage = self.stages[self.at]
        self.step += 1
        clock = self.clock
        if clock.step % clock.steps_per_epoch == 0 or clock.step == clock.steps:
            self._between(stage, clock)
        self._note(stage, clock)
        if clock.step == clock.steps:
            self._enter(self.at + 1, 0)
        self.whole = True

    def _move(self) -> None:
        if self.waiting is not None:
            optimise.move(self.waiting)
            self.waiting = None

    def _between(self, stage: Stage, clock: Clock) -> None:
        if stage.between:
            seed_layers(self.seed, "between", stage.name, clock.step)
            stage.between(self.data, clock)

    def _carry_out(self, number: int, update: Update, stage: Stage, batch: Batch) -> None:
        (recipe, optimizer), parameters = self.optimizers[number], self.parameters[number]
        progress = batch.clock.progress
        batch.live.clear()
        seed_layers(self.seed, "layers", stage.name, update.name, batch.clock.step)
        with self._arithmetic():
            terms = update.losses(batch)
        terms = {name: Term(term.value, term.weight_at(progress)) for name, term in terms.items()}
        self.watch.see(update.name, terms, stage.name, batch.clock.step)
        optimise.forget_gradients(parameters)
        (update.backward or optimise.backward)(terms, parameters)
        if batch.clock.step == 0:
            idle = [self._names[id(p)] for p in parameters if p.grad is None]
            self.untouched[f"{stage.name}/{update.name}"] = idle
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimise.set_rate(optimizer, recipe.rate(progress))
        self.waiting = optimizer

    def _arithmetic(self) -> contextlib.AbstractContextManager:
        """The run's own precision, whatever an update's recipe says: resting networks answer once for all updates."""
        return arithmetic(self.recipe.precision, self.data.device)

    def _note(self, stage: Stage, clock: Clock) -> None:
        """Add an entry to the curve: at every epoch where each is judged, else at twenty points of a stage."""
        each = self.recipe.evaluate == "epoch"
        every = clock.steps_per_epoch if each else -(-clock.steps // POINTS)
        if clock.step % every and clock.step != clock.steps:
            return
        entry: dict[str, Any] = {"stage": stage.name, "step": clock.step, "epoch": clock.step / clock.steps_per_epoch}
        entry["terms"] = self.watch.read(stage.name)
        if each:
            ranked = next(iter(self.scheme.delivers().values()))
            entry["test"] = evaluate(ranked, judged_by(self.data))
        self.curve.append(entry)

    def fail(self, error: Exception) -> None:
        """Record why this run ends here; the others go on."""
        where = {"stage": self.stages[self.at].name, "step": self.step, "term": None}
        if isinstance(error, Diverged):
            where |= {"stage": error.stage, "step": error.step, "term": error.term}
        self.failed = where | {"reason": str(error).splitlines()[0] if str(error) else type(error).__name__}
        self.optimizers, self.parameters, self.waiting = [], [], None

    def result(self) -> dict[str, dict[str, float]]:
        """What each delivered network scores on the test split, the ranked one first."""
        return judge(self.scheme, self.data)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that takes it up."""
        return {
            "name": self.name,
            "seed": self.seed,
            "recipe": repr(self.recipe),
            "data": [self.data.digest, len(self.data)],
            "stages": [[stage.name, *clock] for stage, clock in zip(self.stages, self.clocks)],
        }

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs, tensors and plain values only."""
        return {
            "format": FORMAT,
            "run": self._identity(),
            "at": [self.at, self.step],
            "scheme": self.scheme.state_dict(),
            "optimizers": [optimizer.state_dict() for _, optimizer in self.optimizers],
            "watch": self.watch.state(),
            "curve": self.curve,
            "untouched": self.untouched,
            "resumed": self.resumed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where the state was taken.

        Raises:
            DamagedCheckpoint: the state belongs to another run, or a part of it is missing or does not fit.
        """
        try:
            mine, theirs = self._identity(), state["run"]
            if others := [name for name in mine if mine[name] != theirs[name]]:
                raise DamagedCheckpoint(f"the checkpoint is of another run than {self.name}, by {', '.join(others)}")
            (at, step), curve, untouched = state["at"], state["curve"], state["untouched"]
            resumed = state["resumed"] + 1
            self.scheme.load_state_dict(state["scheme"])
            self._enter(at, step)
            for (_, optimizer), saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.watch.restore(state["watch"])
        except DamagedCheckpoint:
            raise
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise DamagedCheckpoint(f"the checkpoint does not fit {self.name}: {str(error).splitlines()[0]}") from error
        self.curve, self.untouched, self.resumed = curve, untouched, resumed


def _parameters(update: Update) -> list[nn.Parameter]:
    """What an update owns, each once, in the order of its modules."""
    return list({id(p): p for module in update.trains for p in module.parameters()}.values())
