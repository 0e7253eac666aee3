"""A claim: a statement of a survey, what would speak against it, and the experiment that decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from kdcore.experiments.types import Experiment

Word = Literal["supported", "contradicted", "undecided"]
Records = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim, with the numbers that say it."""

    word: Word
    because: str

    def __post_init__(self) -> None:
        if self.word not in get_args(Word):
            raise ValueError(f"a verdict is {', '.join(get_args(Word))}, got '{self.word}'")
        if not self.because:
            raise ValueError("a verdict needs a reason, got none")

    def __str__(self) -> str:
        return f"{self.word}: {self.because}"


@dataclass(frozen=True)
class Claim:
    """A statement that an experiment can support, contradict, or leave undecided.

    Attributes:
        key: the inventory's.
        statement: what is claimed, in one sentence that can be wrong.
        by: who claims it and where.
        against: what would speak against it, fixed before the experiment is run.
        experiment: what is measured.
        rule: from the experiment's finished records to a verdict.
    """

    key: str
    statement: str
    by: str
    against: str
    experiment: Experiment
    rule: Callable[[Records], Verdict]

    def judge(self, profile: str = "quick", device: str = "cpu", **options: Any) -> Verdict:
        """Run what the store lacks of the experiment, then apply the rule.

        Args:
            profile: one of the experiment's.
            device: where runs are made that the store lacks.
            options: of `kdcore.experiments.run`.
        """
        from kdcore.experiments import run

        return self.verdict(run(self.experiment, profile=profile, device=device, **options))

    def verdict(self, records: Records) -> Verdict:
        """The rule's verdict on these records; a failed run leaves a claim undecided."""
        failed = [f"{record['row']} (seed {record['seed']})" for record in records if record["status"] != "done"]
        if failed:
            return Verdict("undecided", f"{len(failed)} of {len(records)} runs failed: {', '.join(failed[:3])}")
        return self.rule(records)
