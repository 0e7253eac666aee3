"""Trading structure for features: a chain labels many sequences, and an independent labeller learns its labels."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import nn

from kdcore.schemes.offline._transfer import batch_of, transfer_set
from kdcore.schemes.offline.structure.chain import ChainCRF
from kdcore.schemes.offline.structure.sequences import SequenceLabelling, WindowLogistic
from kdcore.types import Batch, Clock, Data, Entry, Refusal, Scheme, Stage, Term, Update

UNLABELLED = "unlabelled"  # the split whose labels are withheld


class StructureCompilation(Scheme):
    """A structured model's predictions move into an independent one with richer features.

    Two stages. In ``structure`` the chain learns the labelled sequences by maximum likelihood. Before ``compile`` it
    labels the unlabelled ones with its best sequence each; the independent labeller, which decides every position for
    itself but sees a window of words, learns these labels and nothing else. Its decoding then needs no search.
    The comparison is the same labeller trained on the labelled sequences alone, which is
    `Distillation` without methods.

    Survey: huang2022 section 2.
    Paper: {cite:t}`liang2008structure`.

    Args:
        structured: a network whose answers the task decodes, such as `ChainCRF`.
        student: the independent labeller; it is delivered and ranked.
        data: the labelled sequences, with a split ``unlabelled``.

    Raises:
        Refusal: there are no unlabelled sequences, or the task labels no sequences.

    Notes:
        The paper works on tagging, entities and parsing of real text; the sequences here are drawn from a hidden chain
        (`hidden_chain`), on which the structured model's family is the right one.
        The labels that the chain gave are a buffer, so a resumed run learns the very same ones.
    """

    def __init__(self, structured: nn.Module, student: nn.Module, data: Data):
        super().__init__()
        _refuse_other_tasks(data)
        self.structured, self.student = structured, student
        self.register_buffer("labels", torch.zeros_like(data.splits[UNLABELLED].targets))

    @classmethod
    def build(cls, bench: Any, *, window: int = 3, pairs: bool = True) -> Self:
        """From a bench whose data are sequences of numbered words."""
        data = bench.data
        _refuse_other_tasks(data)
        parts = [data, *data.splits.values()]
        words = 1 + max(int(part.inputs.max()) for part in parts)
        structured, student = (
            ChainCRF(words, data.classes),
            WindowLogistic(words, data.classes, window=window, pairs=pairs),
        )
        return cls(structured.to(data.device), student.to(data.device), data)

    def stages(self) -> list[Stage]:
        learning = Update("structured", [self.structured], self._fit)
        imitating = Update("student", [self.student], self._imitate)
        return [Stage("structure", [learning]), Stage("compile", [imitating], between=self._label)]

    def _fit(self, batch: Batch) -> dict[str, Term]:
        return {"likelihood": Term(batch.task.loss(batch.outputs(self.structured), batch))}

    @torch.no_grad()
    def _label(self, data: Data, clock: Clock) -> None:
        """Label the unlabelled sequences once, when the chain stands finished."""
        if clock.step:
            return
        pool, start = data.splits[UNLABELLED], 0
        for part in pool.parts(1000):
            self.labels[start : start + len(part)] = data.task.decode(self.structured(part.inputs))
            start += len(part)

    def _imitate(self, batch: Batch) -> dict[str, Term]:
        pool = transfer_set(batch.data.splits[UNLABELLED].inputs, self.labels, batch.task, batch.data.classes)
        drawn = batch_of(pool, batch)
        return {"imitation": Term(drawn.task.loss(drawn.outputs(self.student), drawn))}

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student, "structured": self.structured}


def _refuse_other_tasks(data: Data) -> None:
    if not isinstance(data.task, SequenceLabelling):
        raise Refusal(f"structure compilation labels sequences, the data's task is {type(data.task).__name__}")
    if UNLABELLED not in data.splits:
        raise Refusal(f"structure compilation needs a split '{UNLABELLED}', the data has {_listed(data)}")


def _listed(data: Data) -> str:
    return ", ".join(data.splits) or "none"


ENTRIES = (
    Entry("structure-compilation", "scheme", StructureCompilation, {}, "ICML 2008; on sequences of a hidden chain"),
)
