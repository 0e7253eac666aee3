"""Who makes the runs: processes of one machine, or Ray's tasks on any number of machines and GPUs.

An executor gets runs in groups that share batches and a teacher. It claims them in the store, has them made and gives
back those that another process is at. All else (teachers first, what is wanted, waiting) is the runner's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kdcore.entry import Refusal
from kdcore.experiments.types import unknown

if TYPE_CHECKING:
    from kdcore.experiments.inputs import Planned
    from kdcore.experiments.running import Runner

NAMES = ("processes", "ray")


@runtime_checkable
class Executor(Protocol):
    """Makes claimed runs while it is entered.

    Attributes:
        device: where this process itself looks at data and tries rows; None for the request's own device.
    """

    device: str | None

    def attempt(self, runner: Runner, groups: list[list[Planned]]) -> list[Planned]:
        """Make what can be claimed; gives back what others are at."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(self, *error: object) -> None: ...


class Processes:
    """Makes one group after the other in this process; other processes (`--workers`) take other groups."""

    device = None

    def attempt(self, runner: Runner, groups: list[list[Planned]]) -> list[Planned]:
        left: list[Planned] = []
        for group in groups:
            with runner.held(group) as (mine, others):
                left += others
                if mine:
                    runner.company.run(mine)
        return left

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def named(name: str, workers: int = 1) -> Executor:
    """An executor by its name.

    Raises:
        Refusal: the name is unknown, or Ray is asked for with ``--workers`` or where it is not installed.
    """
    if name not in NAMES:
        raise unknown("executor", name, NAMES)
    if name == "processes":
        return Processes()
    if workers > 1:
        raise Refusal(f"--executor ray takes all that its cluster has and no --workers, got {workers}")
    from kdcore.experiments.executors.cluster import Cluster

    return Cluster()
