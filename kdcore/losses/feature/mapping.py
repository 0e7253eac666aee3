"""Where knowledge is passed: which layer of the student is set beside which of the teacher.

Each function takes numbers of layers and gives pairs (the student's, the teacher's) from shallow to deep, as the
``pairs`` of every loss on maps wants them. They are the ways that huang2022 section 4.2 names; what is counted as a
layer, a convolution, a block or a stage, is whatever `Outputs.features` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from kdcore.types import Refusal

Mapping = tuple[tuple[int, int], ...]


def layer_by_layer(student: int, teacher: int) -> Mapping:
    """Each layer with the one of its own number, as far as both go.

    Example:
        >>> layer_by_layer(2, 4)
        ((0, 0), (1, 1))
    """
    _check(student, teacher)
    return tuple((layer, layer) for layer in range(min(student, teacher)))


def skip(student: int, teacher: int) -> Mapping:
    """Each layer of the smaller network with the one of the same relative depth, the last with the last.

    With twice as many layers in the teacher that is every second one.

    Example:
        >>> skip(2, 4), skip(3, 6), skip(4, 2)
        (((0, 1), (1, 3)), ((0, 1), (1, 3), (2, 5)), ((1, 0), (3, 1)))
    """
    _check(student, teacher)
    fewer = min(student, teacher)
    ends = [[-(-(layer + 1) * count // fewer) - 1 for layer in range(fewer)] for count in (student, teacher)]
    return tuple(zip(*ends))


def block_by_block(student: Sequence[int], teacher: Sequence[int]) -> Mapping:
    """The last layer of each block of the student with that of the teacher's block.

    Args:
        student: number of layers in each of its blocks.
        teacher: in each of the teacher's, as many blocks.

    Example:
        >>> block_by_block((1, 2), (3, 3))
        ((0, 2), (2, 5))
    """
    if len(student) != len(teacher):
        raise Refusal(f"blocks are paired one for one, the student has {len(student)} and the teacher {len(teacher)}")
    _check(*student, *teacher)
    return tuple((mine - 1, theirs - 1) for mine, theirs in zip(accumulate(student), accumulate(teacher)))


def last(student: int, teacher: int, count: int) -> Mapping:
    """The highest layers of both, paired from the top.

    Example:
        >>> last(3, 6, 2)
        ((1, 4), (2, 5))
    """
    _check(student, teacher, count)
    if count > min(student, teacher):
        raise Refusal(f"count must be at most {min(student, teacher)}, the layers of the smaller network, got {count}")
    return tuple((student - step, teacher - step) for step in range(count, 0, -1))


def top(student: int, teacher: int) -> Mapping:
    """The last layer of both and no other.

    Example:
        >>> top(3, 6)
        ((2, 5),)
    """
    return last(student, teacher, 1)


def _check(*counts: int) -> None:
    if not counts or min(counts) < 1:
        raise Refusal(f"numbers of layers must be at least 1, got {', '.join(map(str, counts))}")
