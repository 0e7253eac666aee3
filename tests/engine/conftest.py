"""Puts the zoo and the proofs within reach of the tests of this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from zoo import World


@pytest.fixture(scope="session")
def world() -> World:
    """Data sets and teachers; that no test changes them is one of the things proved."""
    return World()
