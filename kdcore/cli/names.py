"""Names that a shell completes, each a short list of plain data; nothing heavy is loaded for them."""

from __future__ import annotations

from collections.abc import Iterable


def _beginning(names: Iterable[str], begun: str) -> list[str]:
    return sorted({name for name in names if name.startswith(begun)})


def keys(incomplete: str) -> list[str]:
    """Keys of the catalogue and of the inventory, and experiments."""
    from kdcore import catalogue, survey

    return _beginning([*survey.rows(), *(entry.key for entry in catalogue.entries()), *_experiments()], incomplete)


def experiments(incomplete: str) -> list[str]:
    return _beginning(_experiments(), incomplete)


def _experiments() -> Iterable[str]:
    from kdcore import experiments

    return experiments.names()


def chapters(incomplete: str) -> list[str]:
    from kdcore.catalogue import CHAPTERS

    return _beginning(CHAPTERS, incomplete)


def needs(incomplete: str) -> list[str]:
    """The last of the words that stand between commas."""
    from kdcore.catalogue.needs import WORDS

    before, comma, begun = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in _beginning(WORDS, begun)]


def profiles(incomplete: str) -> list[str]:
    from kdcore.experiments.types import PROFILES

    return _beginning(PROFILES, incomplete)
