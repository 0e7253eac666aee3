"""Our losses beside other people's, as ``benchmarks/losses.py`` measured them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from kdcore.reporting.formatting import compact

TITLE = "(speed)=\n# What a loss costs beside others {zh}`性能比较`\n"
HEAD = """\
The same loss, computed by this library and by public collections, on the same tensors: one step forward and backward, timed in {rounds} interleaved rounds of one process, and the most memory that a step holds.
A ratio above one means that ours is faster; in brackets stand the lowest and the highest round.
Each line has a bar that the ratio must reach, and ours may need no more memory than the other.
The last column is the relative difference of both values; where it is large, that code computes something else under the name, or in another scale.
`python benchmarks/losses.py --peers DIR` measures anew.
"""  # noqa: E501
EMPTY = "Nothing has been measured yet: `python benchmarks/losses.py --peers DIR` writes the table.\n"
ROUNDS = "twenty"
HEADER = ("loss", "on", "batch", "beside", "ours, ms", "theirs, ms", "ratio", "bar", "ours, MB", "theirs, MB",
          "differs by")  # fmt: skip


def speed_page(table: Path) -> str:
    """The whole page, from the committed table; where there is none it says how to make one."""
    if not table.is_file():
        return f"{TITLE}\n{EMPTY}"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    from kdcore.reporting.tables.plain import plain_table

    shown = plain_table(
        HEADER,
        [line(row) for row in rows],
        caption="A step of each loss beside the same in public code.",
        name="tab-speed",
        notes=notes(rows),
    )
    return f"{TITLE}\n{HEAD.format(rounds=ROUNDS)}\n{shown._repr_mimebundle_()['text/markdown']}\n"


def line(row: dict[str, str]) -> tuple[object, ...]:
    """One comparison as the page shows it; a bar that is broken is said so."""
    number = {name: float(row[name]) for name in NUMBERS}
    spread = f"{compact(number['lowest'], 3)}, {compact(number['highest'], 3)}"
    fate = "" if row["held"] == "True" else " (broken)"
    return (
        f"`{row['loss']}`",
        row["shape"],
        int(row["batch"]),
        f"{row['peer']} `{row['commit'][:7]}`",
        number["milliseconds"],
        number["peer_milliseconds"],
        f"{compact(number['ratio'], 3)} [{spread}]{fate}",
        number["bar"],
        number["megabytes"],
        number["peer_megabytes"],
        number["difference"],
    )


NUMBERS = ("milliseconds", "peer_milliseconds", "ratio", "lowest", "highest", "bar", "megabytes", "peer_megabytes",
           "difference")  # fmt: skip


def notes(rows: Sequence[dict[str, str]]) -> list[str]:
    """Where and with what it was measured."""
    places = dict.fromkeys((row["machine"], row["versions"]) for row in rows)
    return [f"Measured on {machine}, with {versions}." for machine, versions in places]
