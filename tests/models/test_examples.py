"""The examples in the docstrings of the networks and of the data hold."""

import doctest

import pytest

import kdcore.data.digest
import kdcore.models.architectures
import kdcore.models.wrapping


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (kdcore.models.architectures, ("torch",)),
        (kdcore.models.wrapping, ("torch",)),
        (kdcore.data.digest, ()),
    ],
)
def test_examples_hold(module, names):
    found = doctest.testmod(module, extraglobs={name: __import__(name) for name in names})
    assert found.attempted > 0 and found.failed == 0
