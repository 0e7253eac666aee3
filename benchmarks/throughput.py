"""Images per second of our engine beside a plain loop of the usual kind, and the bar that the ratio has to hold.

    python benchmarks/throughput.py [--device cpu] [--json FILE]

Both are timed in one process, in six interleaved rounds: median, lowest, highest. The plain loop is the honest one:
64 images a step, a `DataLoader` with PIL transforms and the faster of 0 and 2 workers, single precision (with what a
GPU does to it by default, pinned memory, algorithms tuned to the sizes), the teacher asked again for each method. Its
bare step, without data, stands beside it. Ours is one KD student, and four that share a batch and a teacher, eager or
compiled, whichever is faster where both are tried.

On a CPU two cores are used and a bar applies, by what its arithmetic can do; the exit status is 1 when it does not
hold. On a GPU there is a goal instead, and a profile of where the time goes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

if __name__ == "__main__":  # also where the package is not installed
    sys.path.append(str(Path(__file__).parents[1]))

import torch
from bars import Bar, bar_of, flags, two_cores
from contenders import BATCH, CIFAR10, CIFAR100, SAMPLES, Ours, Pair, Plain, finished, pictures, recipe_of
from timing import Steps, interleaved, shares

import kdcore
from kdcore.engine.machine import compiler_fault
from kdcore.experiments.provenance import processor

ROUNDS = 6
WORKERS = (0, 2)
STUDENTS = {"cpu": (1, 4), "cuda": (1, 4, 16)}
STEPS = {"cpu": 10, "cuda": 100}  # of a measurement: a second or two of the plain loop
WARM, TRIALS = 2, 3  # steps before anything is timed, and measurements by which a way is chosen
EPOCHS, SEEDS = 240, 3  # of the tables
OURS = "kdcore"


class Found(NamedTuple):
    """What one contender did: images a second, and how many times the plain loop's that was, round by round."""

    name: str
    students: int
    rates: list[float]
    ratios: list[float]


def chosen(contenders: Mapping[str, Steps], steps: int, device: torch.device) -> tuple[str, dict[str, float]]:
    """The fastest of several ways to do the same, and the images a second of each; one that fails is told and left."""
    rates = {}
    for name, run in contenders.items():
        try:
            run(WARM)
            seconds = interleaved({name: run}, TRIALS, steps, device)[name]
        except Exception as error:  # what cannot be compiled or replayed here says so in many ways
            print(f"  {name}: not here ({(str(error) or type(error).__name__).splitlines()[0]})", flush=True)
            continue
        rates[name] = BATCH * steps / median(seconds)
        print(f"  {name}: {rates[name]:.0f} images/s in a first trial", flush=True)
    return max(rates, key=rates.__getitem__), rates


def measured(
    pair: Pair, device: torch.device, threads: int, asked: argparse.Namespace, bar: Bar | None
) -> dict[str, Any]:
    """Everything about one pair: which ways were taken, the rounds, the ratios, and where the time goes if asked."""
    data = pictures(pair, device, asked.samples)
    print(f"{pair.teacher} to {pair.student} on {data.name}, {BATCH} images a step", flush=True)
    teacher, students = finished(pair, data), STUDENTS[device.type]
    loops = {f"{workers} workers": Plain(pair, data, teacher, workers, threads).run for workers in WORKERS}
    loop, trials = chosen(loops, asked.steps, device)
    precision = bar.precision if bar else "bfloat16"
    recipes = {name: recipe_of(precision, threads, how) for name, how in manners(bar, device).items()}
    alone = {name: Ours(pair, data, teacher, recipe, 1).run for name, recipe in recipes.items()}
    way, found = chosen(alone, asked.steps, device)
    runs = {"plain loop": loops[loop], "bare step": Plain(pair, data, teacher, None, threads).run}
    runs |= {f"{OURS} x {count}": Ours(pair, data, teacher, recipes[way], count).run for count in students}
    for run in runs.values():
        run(WARM)
    seconds = interleaved(runs, asked.rounds, asked.steps, device)
    return {
        "pair": pair._asdict(),
        "images": data.name,
        "loop": loop,
        "way": f"{way}, {precision}",
        "trials": trials | found,
        "found": [compared(name, seconds, asked.steps)._asdict() for name in runs],
        "profile": shares(runs[f"{OURS} x {students[-1]}"], asked.steps, device) if asked.profile else [],
    }


def manners(bar: Bar | None, device: torch.device) -> dict[str, bool | str]:
    """In which ways our step is tried: name, and what the recipe's `compile` says; a GPU has no bar."""
    ways: dict[str, bool | str] = {"eager": False}
    if (bar is None or bar.compiled) and not compiler_fault(device.type):
        ways["compiled"] = True
        if device.type == "cuda":
            ways["compiled and replayed"] = "graphs"
    return ways


def compared(name: str, seconds: Mapping[str, list[float]], steps: int) -> Found:
    """Rates of one contender, students counted each, and its ratios to the plain loop of the same round."""
    students = int(name.rpartition(" x ")[2]) if " x " in name else 1
    rates = [students * BATCH * steps / second for second in seconds[name]]
    beside = [rate * second / (BATCH * steps) for rate, second in zip(rates, seconds["plain loop"], strict=True)]
    return Found(name, students, rates, beside)


def report(told: Mapping[str, Any]) -> str:
    """A pair's numbers as lines."""
    lines = [f"plain loop with {told['loop']}, {OURS} {told['way']}"]
    for one in told["found"]:
        rates, ratios = sorted(one["rates"]), sorted(one["ratios"])
        lines.append(
            f"{one['name']:12} {median(rates):8.0f} images/s [{rates[0]:.0f}, {rates[-1]:.0f}]   "
            f"{median(ratios):6.2f} x [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        )
    if told["profile"]:
        lines += ["where the time of the last goes:", *(f"  {share:6.1%}  {name}" for name, share in told["profile"])]
    return "\n".join(lines)


def ratio_of(told: Mapping[str, Any], students: int) -> float:
    return median(next(one["ratios"] for one in told["found"] if one["name"] == f"{OURS} x {students}"))


def verdict(bar: Bar, one: float, four: float) -> tuple[bool, str]:
    """Whether a bar holds, and that in words.

    Example:
        >>> verdict(Bar("any", 1.5, 2.0, "float32", False), 1.6, 1.9)[0]
        False
    """
    held = one >= bar.one and four >= bar.four
    fate = "holds" if held else "DOES NOT HOLD"
    return held, (
        f"the bar of {bar.kind} {fate}: {one:.2f} x of {bar.one:g} x for one student, "
        f"{four:.2f} x of {bar.four:g} x each for four that share a teacher"
    )


def towards(told: Mapping[str, Any]) -> str:
    """How far a GPU is on the way to its goal, and what that means for the whole table: an estimate."""
    pair, best = told["pair"], told["found"][-1]
    minutes = pair["rows"] * SEEDS * EPOCHS * SAMPLES / median(best["rates"]) / 60
    return (
        f"goal on one H200-class GPU: {pair['goal']:g} x, measured with {best['students']} students: "
        f"{median(best['ratios']):.1f} x; {pair['rows']} rows of {pair['table']}, {SEEDS} seeds, {EPOCHS} epochs would "
        f"take {minutes:.0f} minutes if every row cost what KD does"
    )


def machine(device: torch.device, threads: int) -> dict[str, str]:
    """Where and with what it is measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, kdcore {kdcore.__version__}"
    return {"machine": f"{name}, {threads} thread{'s' * (threads > 1)}", "versions": versions}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Images per second of our engine beside a plain loop's.")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers in full")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, help="of one measurement")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="how many images to make up where none are at hand"
    )
    parser.add_argument("--profile", action="store_true", help="where the time goes, on a CPU too")
    asked = parser.parse_args(arguments)
    kind = torch.device(asked.device).type
    if kind not in STEPS:
        parser.error(f"--device must be cpu or cuda, got {asked.device}")
    if kind == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {asked.device} is not there: this machine has cpu")
    asked.steps, asked.profile = asked.steps or STEPS[kind], asked.profile or kind == "cuda"
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parsed(arguments)
    device = torch.device(asked.device)
    found: dict[str, Any] = {"device": asked.device, "rounds": asked.rounds, "steps": asked.steps, "pairs": []}

    def tell(told: dict[str, Any], words: str) -> None:
        """One pair at a time, so that what was measured stays where time runs out."""
        found["pairs"].append(told)
        print(f"{found['machine']}; {found['versions']}\n{report(told)}\n{words}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    if device.type == "cuda":
        found |= machine(device, 1)
        for pair in (CIFAR10, CIFAR100):
            told = measured(pair, device, 1, asked, None)
            tell(told, towards(told))
        return 0
    bar = bar_of(flags())
    with two_cores() as cores:
        found |= machine(device, cores)
        told = measured(CIFAR10, device, cores, asked, bar)
    held, words = verdict(bar, *(ratio_of(told, count) for count in STUDENTS["cpu"]))
    found |= {"bar": bar._asdict(), "held": held}
    tell(told, words)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
