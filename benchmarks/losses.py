"""Our losses beside other people's: time of a step, peak memory, and the bars that both have to hold.

    python benchmarks/losses.py --peers DIR [--json FILE]

DIR holds checkouts of RepDistiller, mdistiller, Knowledge-Distillation-Zoo or torchdistill, as many as one likes:
whatever is found there is compared. Forward and backward of every loss, at batches of 64 and 256, twenty interleaved
rounds in one process. The exit status is 1 when a bar breaks, and when DIR holds no peer. A whole run writes
``benchmarks/losses.csv``, which the book shows.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import Measured, measured, ratios
from peers import SOURCES, Peer, found
from table import LINES, Line

import kdcore

BATCHES, ROUNDS = (64, 256), 20
LEAST_RATIO = 0.95  # of the median, for every loss against every peer
SHARE_OF_GAIN = 0.5  # of the gain that was measured for a bare formula, where that is above four
OURS = "kdcore"
TABLE = Path(__file__).with_name("losses.csv")


def bar(line: Line, peer: str, size: int) -> float:
    """What the median ratio must reach: ours may be a little slower, and must keep half of a large gain."""
    gain = line.gains.get(peer)
    return max(LEAST_RATIO, SHARE_OF_GAIN * gain[size]) if gain else LEAST_RATIO


def judged(line: Line, batch: int, size: int, found: Mapping[str, Measured], peers: Iterable[Peer]) -> list[dict]:
    """A row for each peer of a line: numbers, bars, and whether both bars are held."""
    ours, rows = found[OURS], []
    for peer in peers:
        theirs = found[peer.name]
        middle, low, high = ratios(ours.seconds, theirs.seconds)
        wanted = bar(line, peer.name, size)
        rows.append({
            "loss": line.loss,
            "shape": line.shape,
            "batch": batch,
            "peer": peer.name,
            "commit": peer.commit,
            "milliseconds": 1e3 * min(ours.seconds),
            "peer_milliseconds": 1e3 * min(theirs.seconds),
            "ratio": middle,
            "lowest": low,
            "highest": high,
            "bar": wanted,
            "megabytes": ours.memory / 1e6,
            "peer_megabytes": theirs.memory / 1e6,
            "difference": abs(ours.value - theirs.value) / max(abs(theirs.value), 1e-12),
            "held": bool(middle >= wanted and ours.memory <= theirs.memory),
        })  # fmt: skip
    return rows


def compare(line: Line, batch: int, size: int, peers: Sequence[Peer], device: torch.device, rounds: int) -> list[dict]:
    """One line at one size, against the peers that have this loss."""
    able = [peer for peer in peers if peer.name in line.peers]
    if not able:
        return []
    given = line.given(batch, device)
    contenders = {OURS: line.ours(given)} | {peer.name: line.peers[peer.name](peer, given) for peer in able}
    return judged(line, batch, size, measured(contenders, given.leaves, rounds), able)


def machine(device: torch.device) -> dict[str, str]:
    """Where and with what it was measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    threads = torch.get_num_threads()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, kdcore {kdcore.__version__}"
    return {"machine": f"{name}, {threads} thread{'s' * (threads > 1)}", "versions": versions}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def sentence(row: Mapping[str, Any]) -> str:
    """One row in words, as it is told while the others are still measured."""
    fate = "held" if row["held"] else "BROKEN"
    return (
        f"{row['loss']:22} {row['shape']:26} {row['batch']:4} {row['peer']:13} "
        f"{row['ratio']:7.2f} x [{row['lowest']:.2f}, {row['highest']:.2f}] of {row['bar']:.2f}   "
        f"{row['megabytes']:9.2f} of {row['peer_megabytes']:.2f} MB   "
        f"differs by {row['difference']:.1g}   {fate}"
    )


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _short(value) for name, value in row.items()} for row in rows)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times our losses against other people's.")
    parser.add_argument("--peers", type=Path, required=True, metavar="DIR", help="holds their checkouts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers in full")
    parser.add_argument("--only", nargs="+", default=[], metavar="LOSS", help="some losses; writes no table")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parsed(arguments)
    peers, device = found(asked.peers), torch.device(asked.device)
    lines = [line for line in LINES if not asked.only or line.loss in asked.only]
    if not peers or not lines:
        wanted = f"{asked.peers} holds none of {', '.join(SOURCES.values())}" if lines else "no loss of that name"
        print(f"nothing to compare: {wanted}", file=sys.stderr)
        return 1
    where, rows = machine(device), []
    for line in lines:
        for size, batch in enumerate(BATCHES):
            for row in compare(line, batch, size, peers, device, asked.rounds):
                rows.append(row | where)
                print(sentence(row), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if not asked.only and rows:
        write_csv(rows, TABLE)
    broken = [row for row in rows if not row["held"]]
    print(f"{len(rows) - len(broken)} of {len(rows)} comparisons hold their bars, with {where['machine']}")
    return 1 if broken or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
