"""The scheme that most methods need: one student, at most one finished teacher, any sum of methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from torch import nn

from kdcore.schemes._rates import steady
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Scheme, Stage, Term, Update


class Distillation(Scheme):
    """A student learns the task and what its methods match of a finished teacher.

    Without methods it is plain supervised training, the row ``student`` of every table. Each method's terms are
    logged under their own names, so ``KD + AT`` is ``Distillation(student, teacher, kd, at)``. A method with a
    critic adds an update: the critic's optimiser lowers ``critic_losses`` on the answer that the student gave in the
    same step, detached, so that neither reaches the other's weights. It is Adam at the method's ``critic_rate``, or
    the run's own where a method has no such attribute. Stages that a method needs before
    (hints, paraphrasers) come first.

    Args:
        student: the network that learns and is delivered.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        methods: what to match, each with its adapters.
        task_weight: weight of the supervised loss. Default: the first method's ``task_weight`` attribute, which
            holds its paper's, else 1.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module | None = None, *methods: Method, task_weight: float | None = None
    ):
        super().__init__()
        if methods and teacher is None:
            raise ValueError(f"{type(methods[0]).__name__} matches a teacher, and none was given")
        self.student, self.methods = student, nn.ModuleList(methods)
        self.outside = () if teacher is None else (teacher.eval().requires_grad_(False),)
        published = getattr(methods[0], "task_weight", 1.0) if methods else 1.0
        self.task_weight = published if task_weight is None else task_weight

    @classmethod
    def build(cls, bench: Any, *, methods: list | None = None, task_weight: float | None = None) -> Self:
        """From a bench and the catalogue's keys: ``methods=[["kd", {"temperature": 4.0}], ...]``."""
        made = [bench.method(key, **settings) for key, settings in methods or []]
        return cls(bench.network("student"), bench.teacher if made else None, *made, task_weight=task_weight)

    def stages(self) -> list[Stage]:
        adapters = [adapter for method in self.methods for adapter in method.adapters()]
        updates = [Update("student", [self.student, *adapters], self._losses, backward=self._backward())]
        updates += self._critic_updates()
        before = [stage for method in self.methods for stage in method.preparation(self.student, *self.outside)]
        return [*before, Stage("main", updates)]

    def _critic_updates(self) -> list[Update]:
        """One for each method with critics, under the name ``critic`` where there is one such method."""
        playing = [method for method in self.methods if method.critics()]
        names = ["critic"] if len(playing) == 1 else [f"critic{number}" for number in range(len(playing))]
        rates = [getattr(method, "critic_rate", None) for method in playing]
        return [
            Update(name, method.critics(), partial(self._critic_losses, method), rate and steady(rate))
            for name, method, rate in zip(names, playing, rates)
        ]

    def _backward(self) -> Callable[[dict[str, Term], list[nn.Parameter]], None] | None:
        """That of the method that has one of its own (a gradient cut to the task's); two would undo each other."""
        own = [method for method in self.methods if hasattr(method, "backward")]
        if len(own) > 1:
            names = " and ".join(type(method).__name__ for method in own)
            raise Refusal(f"{names} each fill the gradients in a way of their own, so only one of them can be taken")
        return own[0].backward if own else None

    def _losses(self, batch: Batch) -> dict[str, Term]:
        student = batch.outputs(self.student)
        terms = {"task": Term(batch.task.loss(student, batch), self.task_weight)}
        if self.methods:
            teacher = batch.outputs(*self.outside)
            self._said: Outputs = student.detach()  # what the critic sees later in the same step
            for method in self.methods:
                terms |= method.losses(student, teacher, batch)
        return terms

    def _critic_losses(self, method: Method, batch: Batch) -> dict[str, Term]:
        return method.critic_losses(self._said, batch.outputs(*self.outside), batch)

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


ENTRIES = (Entry("distillation", "scheme", Distillation, {}, "the frame of every offline method"),)
