"""What is run: experiments as plain data, a store of records, and a runner. Listing them loads no torch."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kdcore.experiments.store import read
from kdcore.experiments.types import SEARCH, Experiment, Profile, Row, unknown

if TYPE_CHECKING:
    from torch import nn

    from kdcore.experiments.store import Record

__all__ = ["Experiment", "Profile", "Row", "all", "get", "names", "read", "run", "trained"]

TOPICS = (
    "kdcore.experiments.teachers",
    "kdcore.experiments.foundations",
    "kdcore.experiments.forerunners",
    "kdcore.experiments.response",
    "kdcore.experiments.feature",
    "kdcore.experiments.relation",
    "kdcore.experiments.contrastive",
    "kdcore.experiments.adversarial",
    "kdcore.experiments.cifar",
    "kdcore.experiments.tables",
    "kdcore.experiments.table_columns",
    "kdcore.experiments.calibration",
    "kdcore.experiments.text",
    "kdcore.experiments.llm",
    "kdcore.experiments.vit",
    "kdcore.claims.foundations",
    "kdcore.claims.mechanism",
    "kdcore.claims.contrastive",
    "kdcore.claims.adversarial",
    "kdcore.claims.llm",
)  # modules of plain data, in the order in which they are listed


@cache
def _by_key() -> dict[str, Experiment]:
    return {experiment.key: experiment for topic in TOPICS for experiment in import_module(topic).EXPERIMENTS}


@cache
def _tables() -> dict[str, str]:
    """The surveys' tables, by the inventory's key, to the experiments that regenerate them."""
    entries = (entry for topic in TOPICS for entry in getattr(import_module(topic), "ENTRIES", ()))
    return {entry.key: entry.make for entry in entries if entry.kind == "table" and entry.make in _by_key()}


def all() -> tuple[Experiment, ...]:
    return tuple(_by_key().values())


def names() -> tuple[str, ...]:
    return tuple(_by_key())


def get(key: str) -> Experiment:
    """An experiment by its key or by the inventory's key of its table; ``KEY-search`` is its search for weights."""
    known, key = _by_key(), _tables().get(key, key)
    if key in known:
        return known[key]
    if key.removesuffix(SEARCH) in known:
        return known[key.removesuffix(SEARCH)].searching()
    raise unknown("experiment", key, known)


def run(experiment: str | Experiment, profile: str = "quick", device: str = "cpu", **options: Any) -> list[Record]:
    """Run what the store lacks and return the records; see `kdcore.experiments.running.run` for the options."""
    from kdcore.experiments.running import run

    return run(experiment, profile, device, **options)


def trained(
    experiment: str, row: str = "teacher", *, profile: str = "quick", seed: int = 0, device: str = "cpu"
) -> nn.Module:
    """A network that a row trained, in eval mode; it is trained first where the store lacks it."""
    from kdcore.experiments.running import trained

    return trained(experiment, row, profile=profile, seed=seed, device=device)
