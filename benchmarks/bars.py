"""What the ratios to a plain loop have to reach, by what a machine's arithmetic can do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CORES = 2  # that the bars were set on


class Bar(NamedTuple):
    """How many times the plain loop's images a second: one student, and each of four that share a teacher."""

    kind: str
    one: float
    four: float
    precision: str
    compiled: bool  # whether compiling is tried there; the faster of compiled and eager is what is measured


BARS = {
    "amx_bf16": Bar("a CPU with bf16 matrix units (AMX)", 3.5, 4.5, "bfloat16", True),
    "avx512_bf16": Bar("a CPU with AVX512-bf16 and no AMX", 1.7, 2.4, "bfloat16", False),
    "": Bar("a CPU without bf16", 1.3, 1.7, "float32", True),
}


def flags() -> set[str]:
    """What the processor says it can do."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def bar_of(able: set[str]) -> Bar:
    """The bar of a CPU with these flags.

    Example:
        >>> bar_of({"avx2", "avx512_bf16"}).one
        1.7
    """
    return next(bar for flag, bar in BARS.items() if flag in able or not flag)


@contextmanager
def two_cores() -> Iterator[int]:
    """Keep this process and its children on two cores, where the system lets it; gives how many there are."""
    if not hasattr(os, "sched_setaffinity"):
        yield min(CORES, os.cpu_count() or 1)
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield len(os.sched_getaffinity(0))
    finally:
        os.sched_setaffinity(0, before)
