"""Our losses and our loop beside other people's, as ``benchmarks/losses.py`` and ``throughput.py`` measured them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from kdcore.reporting.formatting import compact

TITLE = "(speed)=\n# What a loss and a step cost beside others {zh}`性能比较`\n\n## A loss {zh}`损失函数`\n"
HEAD = """\
The same loss, computed by this library and by public collections, on the same tensors: one step forward and backward, timed in {rounds} interleaved rounds of one process (a round counts with its median step), and the most memory that a step holds.
A ratio above one means that ours is faster; in brackets stand the lowest and the highest round.
Each line has a bar that the ratio must reach, and ours may need no more memory than the other.
The last column is the relative difference of both values; where it is large, that code computes something else under the name, or in another scale.
`python benchmarks/losses.py --peers DIR` measures anew.
"""  # noqa: E501
EMPTY = "Nothing has been measured yet: `python benchmarks/losses.py --peers DIR` writes the table.\n"
ROUNDS = "twenty"
HEADER = ("loss", "on", "batch", "beside", "ours, ms", "theirs, ms", "ratio", "bar", "ours, MB", "theirs, MB",
          "differs by")  # fmt: skip


TRAINING = "## A training {zh}`训练`\n"
STEP = """\
Images a second of plain distillation, as students see them: this library's loop beside a plain loop of the usual kind, both in one process and in {rounds} interleaved rounds; in brackets stand the lowest and the highest.
The plain loop reads batches of 64 through a `DataLoader` with PIL transforms, computes in single precision, and asks the teacher anew for each student; the *bare step* is the same without reading anything.
Several students that share batches and a teacher are counted each.
`python benchmarks/throughput.py --device {device} --json FILE` measures anew.
"""  # noqa: E501
ALIKE = ("contender", "images a second", "beside the plain loop", "bar")


def speed_page(folder: Path) -> str:
    """The whole page, from what is committed under ``benchmarks``."""
    return "\n".join(
        [losses_part(folder / "losses.csv"), *map(training_part, sorted(folder.glob("throughput-*.json")))]
    )


def training_part(file: Path) -> str:
    """What one machine said of whole training steps."""
    from kdcore.reporting.tables.plain import plain_table

    told = json.loads(file.read_text(encoding="utf-8"))
    parts = [STEP.format(rounds=told["rounds"], device=told["device"])]
    for pair in told["pairs"]:
        about, kind = pair["pair"], told["device"]
        shown = plain_table(
            ALIKE,
            list(contenders(pair["found"], told.get("bar"))),
            caption=f"Images a second, {about['teacher']} teaching {about['student']}, on {kind}.",
            name=f"tab-throughput-{kind}-{about['data']}",
            notes=[f"Measured on {told['machine']}, with {told['versions']}.", *said(pair, told.get("bar"))],
        )
        parts.append(shown._repr_mimebundle_()["text/markdown"] + "\n")
    return "\n".join(parts)


def contenders(found: Sequence[Mapping[str, Any]], bar: Mapping[str, Any] | None) -> Iterator[tuple[object, ...]]:
    """Medians with their ranges; a bar that is not reached is said so."""
    for one in found:
        rates, ratios = sorted(one["rates"]), sorted(one["ratios"])
        wanted = {"kdcore x 1": "one", "kdcore x 4": "four"}.get(one["name"])
        least = bar[wanted] if bar and wanted else None
        fate = " (broken)" if least and median(ratios) < least else ""
        rate = f"{median(rates):,.0f} [{rates[0]:,.0f}, {rates[-1]:,.0f}]"
        ratio = f"{median(ratios):.2f} × [{ratios[0]:.2f}, {ratios[-1]:.2f}]{fate}"
        yield one["name"].replace(" x ", " × "), rate, ratio, f"{least:g} ×" if least else None


def said(pair: Mapping[str, Any], bar: Mapping[str, Any] | None) -> Iterator[str]:
    """Which ways were taken, which bar applies, and where the time goes if that was asked."""
    yield f"Of the plain loop's ways the fastest was taken ({pair['loop']}), and of ours ({pair['way']})."
    if bar:
        yield f"The bars are those of {bar['kind']}."
    if pair["profile"]:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for share, name in pair["profile"])
        yield f"Where the time of the last line goes: {shares}."


def losses_part(table: Path) -> str:
    """Each loss beside the same in public code; where nothing was measured it says how to measure."""
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
