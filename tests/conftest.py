"""Before anything is imported: one thread, and every annotated call of ours is checked at run time, shapes and all."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for what the tests start; each worker has one core at most

import jaxtyping
import numpy as np
import pytest
import yaml
from beartype import BeartypeConf, FrozenDict, beartype
from beartype.roar import BeartypeCallHintParamViolation

# As type checkers have it an int is as good as a float; and numpy's truth values are as good as Python's.
_strict = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({bool: bool | np.bool_})))


def _check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Beartype knows `Self` in decorated classes only; those few methods go unchecked.

    A word outside a `Literal` goes through, because our own code answers it in a sentence that tests look for.
    """
    names = getattr(function, "__annotations__", {}).values()
    if any("Self" in str(name) for name in names):
        return function
    checked = _strict(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return checked(*args, **kwargs)
        except BeartypeCallHintParamViolation as error:
            if "typing.Literal[" in str(error):
                return function(*args, **kwargs)
            raise

    return call


_checker = ModuleType("kdcore_shape_checks")
_checker.check = _check
sys.modules[_checker.__name__] = _checker
jaxtyping.install_import_hook("kdcore", f"{_checker.__name__}.check")


@pytest.fixture(autouse=True)
def checked_shapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that takes `says` hands over bad input and expects our own sentence, so there nothing comes before it."""
    jaxtyping.config.update("jaxtyping_disable", "says" in request.fixturenames)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A test that sets another number of threads leaves no trace."""
    yield
    if (torch := sys.modules.get("torch")) and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def stored() -> Callable[[str], Path]:
    """The file of a data set or a public checkpoint, by its name; a test that needs one that is not here is skipped."""

    def find(name: str) -> Path:
        from kdcore.data.registry import asset

        path = asset(name).path
        if path is None or not path.is_file():
            pytest.skip(f"{name} is not in the data folder (kdcore data get {name})")
        return path

    return find


@pytest.fixture
def reference() -> Callable[[str], list[dict[str, Any]]]:
    """All cases of a key, each with what is said of its source."""

    def read(key: str) -> list[dict[str, Any]]:
        sources = yaml.safe_load((Path(__file__).parent / "reference" / f"{key}.yaml").read_text(encoding="utf-8"))
        return [source | case for source in sources for case in source["cases"]]

    return read
