"""Numbers as a reader sees them. Values stay fractions at full precision until the moment they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable

MINUS = "\u2212"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SPACE = "\u00a0"  # a number and its sign stay on one line


def number(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number with a real minus sign; what rounds to zero carries no sign.

    Example:
        >>> number(-1.25, 1), number(-0.01, 1, signed=True), number(0.3, 1, signed=True)
        ('−1.2', '0.0', '+0.3')
    """
    if not math.isfinite(value):
        raise ValueError(f"a number that is shown must be finite, got {value!r}")
    text = f"{abs(value):.{decimals}f}"
    if not float(text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def percent(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """A fraction as a percentage.

    Example:
        >>> percent(0.8554), percent(0.09, 2, signed=True)
        ('85.5\\xa0%', '+9.00\\xa0%')
    """
    return f"{number(100 * value, decimals, signed=signed)}{SPACE}%"


def plus_minus(mean: float, std: float | None, n: int, decimals: int = 1, *, scale: float = 100) -> str:
    """Mean, sample standard deviation and number of seeds; one seed shows no spread.

    Args:
        mean: as recorded, a fraction for what is shown in percent.
        std: in the same unit; None where the seeds do not tell.
        n: number of seeds.
        decimals: shown.
        scale: 100 shows fractions as percentages, 1 shows values as they are.

    Example:
        >>> plus_minus(0.945, 0.007, 5), plus_minus(0.945, None, 1), plus_minus(1.46, 0.012, 3, 2, scale=1)
        ('94.5 ± 0.7 (5)', '94.5 (1)', '1.46 ± 0.01 (3)')
    """
    spread = "" if std is None else f" ± {number(scale * std, decimals)}"
    return f"{number(scale * mean, decimals)}{spread} ({n})"


def shortest(value: float, decimals: int = 6) -> str:
    """A value with the digits it has: a source that prints 92.4 is shown as 92.4, not as 92.40.

    Example:
        >>> shortest(100 * 0.7445), shortest(92.4), shortest(3.0)
        ('74.45', '92.4', '3')
    """
    text = number(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: float, digits: int = 3) -> str:
    """A value of any size with this many significant digits.

    Example:
        >>> compact(0.01234), compact(-2.5e-9), compact(123456.0)
        ('0.0123', '−2.5 × 10⁻⁹', '1.23 × 10⁵')
    """
    text = f"{value:.{digits}g}"
    mantissa, e, exponent = text.partition("e")
    raised = f" × 10{str(int(exponent)).translate(RAISED)}" if e else ""
    return mantissa.replace("-", MINUS) + raised


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers with their runs joined.

    Example:
        >>> ranges([0, 1, 2, 4]), ranges([3])
        ('0–2, 4', '3')
    """
    runs: list[list[int]] = []
    for one in sorted(set(numbers)):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def seeds_text(seeds: Iterable[int]) -> str:
    """
    Example:
        >>> seeds_text([3]), seeds_text([0, 1, 2])
        ('seed 3', 'seeds 0–2')
    """
    seeds = set(seeds)
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {ranges(seeds)}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Words as a sentence lists them.

    Example:
        >>> listed(["kd"]), listed(["kd", "dkd", "at"])
        ('kd', 'kd, dkd and at')
    """
    *first, end = list(words) or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """
    Example:
        >>> counted(1, "record"), counted(1200, "record")
        ('1 record', '1,200 records')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def capital(sentence: str) -> str:
    """A sentence that begins with a capital letter, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]
