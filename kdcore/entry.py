"""What the catalogue knows of one key. Loads no torch, so that plain data (experiments, claims) can name itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

Kind = Literal["loss", "scheme", "fusion", "model", "application", "mechanism", "outlook", "table"]


class Refusal(ValueError):
    """A request that cannot be served, said in one sentence before anything is trained."""


class Entry(NamedTuple):
    """One key of the catalogue: what it is, what makes it, with which settings.

    Several entries may share a class with differing settings; ``settings`` is a literal, so that the catalogue can
    be read without importing anything. `revision` is raised in the commit that changes the numbers.
    """

    key: str
    kind: Kind
    make: Callable[..., Any]
    settings: dict[str, Any] = {}  # noqa: RUF012
    note: str = ""
    revision: int = 1
