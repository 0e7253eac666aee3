"""Whether a device computes what it should, before hours are spent on it. Needs no data set and no network.

    python -m kdcore.experiments.fitness --device cuda --json fitness.json

Three questions: do the losses have the values that a CPU finds in double precision, do runs in company end as they do
alone, and does an interrupted run end as an undisturbed one. The exit status is 1 when an answer is no.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdcore import catalogue
from kdcore.engine import setting_of
from kdcore.entry import Refusal
from kdcore.experiments.bench import entry_of, network_named
from kdcore.experiments.hashing import same_run
from kdcore.experiments.provenance import surroundings
from kdcore.experiments.requests import Request
from kdcore.experiments.running import carry_out
from kdcore.experiments.store import Record, Store
from kdcore.experiments.types import Experiment, Profile, Row
from kdcore.randomness import seeded
from kdcore.types import Batch, Clock, Data, Method, Task

NETWORKS = ("resnet8", "resnet14")
EXACT, CLOSE = 1e-3, 0.05  # relative: of a loss in single precision, and of a run's numbers on a GPU, which adds freely
STEPS = 8


def plain(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    return images


def pictures(device: torch.device | str = "cpu", count: int = 96) -> Data:
    """Images from a closed formula, ten classes."""
    numbers = torch.arange(count * 3 * 16 * 16, dtype=torch.float64).view(count, 3, 16, 16)
    images = (0.5 + 0.5 * torch.sin(0.37 * numbers + 1)).to(torch.get_default_dtype()).to(device)
    labels = (torch.arange(count) * 3 % 10).to(device)
    views = dict.fromkeys(("weak", "plain", "strong"), plain)
    test = Data(images[:32], labels[:32], Task(), views, classes=10, name="pictures", digest="closed formula 1")
    return replace(test, inputs=images, targets=labels, splits={"test": test})


# ---------------------------------------------------------------- losses


@contextmanager
def arithmetic(dtype: torch.dtype) -> Iterator[None]:
    """Everything in one precision, also what a loss computes in single precision where it is given half."""
    single, tf32 = torch.Tensor.float, torch.backends.cudnn.allow_tf32
    torch.set_default_dtype(dtype)
    torch.backends.cudnn.allow_tf32 = False
    if dtype == torch.float64:
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.float = single  # type: ignore[method-assign]
        torch.backends.cudnn.allow_tf32 = tf32
        torch.set_default_dtype(torch.float32)


def values(key: str, device: str, dtype: torch.dtype, draw: int = 0) -> dict[str, float]:
    """A method's terms on closed-form images, and how steep their sum is for the student.

    Raises:
        Refusal: the method asks for other networks or other data.
    """
    student, teacher = (network_named(name, 10, 0, role) for name, role in zip(NETWORKS, ("student", "teacher")))
    entry, setting = entry_of(key), setting_of(student, teacher, pictures())
    method = seeded(lambda: entry.make.build(setting, **entry.settings), 0, "init", key)
    parts = [part.to(device, dtype) for part in (student, teacher.eval().requires_grad_(False), method)]
    with arithmetic(dtype):
        return _values(*parts, Batch(pictures(device), torch.arange(32, device=device), draw, Clock(1, 10, 3)))


def _values(student: nn.Module, teacher: nn.Module, method: Method, batch: Batch) -> dict[str, float]:
    terms = method.losses(batch.outputs(student), batch.outputs(teacher), batch)
    total = torch.stack([term.weight_at(0.1) * term.value for term in terms.values()]).sum()
    slopes = torch.autograd.grad(total, list(student.parameters()), allow_unused=True)
    steep = sum(slope.double().square().sum().item() for slope in slopes if slope is not None)
    return {name: term.value.item() for name, term in terms.items()} | {"gradient": math.sqrt(steep)}


@dataclass(frozen=True)
class Losses:
    """How far the device's losses are from double precision, relative to their size.

    Attributes:
        gaps: by method.
        drawing: methods that draw numbers of their own, which a GPU draws differently.
        others: methods that ask for other networks or data, with what they say.
    """

    gaps: dict[str, float]
    drawing: tuple[str, ...]
    others: dict[str, str]

    @property
    def wrong(self) -> dict[str, float]:
        return {key: gap for key, gap in self.gaps.items() if not gap <= EXACT}


def losses(device: str, keys: Iterable[str]) -> Losses:
    """Compare methods of the catalogue on a device with the CPU in double precision."""
    gaps, drawing, others = {}, [], {}
    for key in keys:
        try:
            right = values(key, "cpu", torch.float64)
            if gap(right, values(key, "cpu", torch.float64, draw=1)) > 0:
                drawing.append(key)
                continue
            gaps[key] = gap(right, values(key, device, torch.float32))
        except (Refusal, ValueError, TypeError) as refusal:
            others[key] = str(refusal).splitlines()[0]
    return Losses(gaps, tuple(drawing), others)


def methods() -> list[str]:
    """Keys of all losses that are methods."""
    keys = [entry.key for entry in catalogue.entries() if entry.kind == "loss"]
    made = {key: entry_of(key).make for key in keys}
    return [key for key in keys if isinstance(made[key], type) and issubclass(made[key], Method)]


def gap(right: Any, other: Any) -> float:
    """The largest difference between two trees of numbers, relative to the larger of 1 and the right one."""
    if isinstance(right, Mapping):
        if right.keys() != other.keys():
            return math.inf
        return max((gap(right[name], other[name]) for name in right), default=0.0)
    if isinstance(right, list | tuple):
        return max((gap(*pair) for pair in zip(right, other, strict=True)), default=0.0)
    if isinstance(right, int | float) and not isinstance(right, bool):
        far = abs(right - other) / max(abs(right), 1.0)
        return far if math.isfinite(far) else math.inf
    return 0.0 if right == other else math.inf


# ---------------------------------------------------------------- runs


def experiment() -> Experiment:
    """A teacher and three who learn from it, each in another way."""
    taught = {"teacher": {"experiment": "fitness", "row": "teacher", "seed": 0}}
    rows = [Row("teacher", settings={"student": NETWORKS[1]}, keep=True), Row("student")]
    rows += [Row(key, settings={"methods": [[key, {}]], **taught}) for key in ("kd", "at", "rkd")]
    base = {"data": "kdcore.experiments.fitness:pictures", "student": NETWORKS[0], "teacher": None}
    recipe = {"steps": STEPS, "batch_size": 32, "learning_rate": 0.05}
    return Experiment("fitness", "Fitness of a device", tuple(rows), (0,), {"smoke": Profile(recipe, base)})


LEARNERS = ("student", "kd", "at", "rkd")


def made(folder: Path, device: str, rows: Sequence[str] = LEARNERS, after: int | None = None) -> list[Record]:
    """Runs in a store, whose making is interrupted `after` so many looks at the clock and then taken up again."""
    request = Request.of(experiment(), "smoke", device, methods=rows)
    if after is not None:
        left = iter(range(after))
        carry_out(request, Store(folder), told_to_stop=lambda: next(left, None) is None)
    found = carry_out(request, Store(folder))
    if found.status:
        raise Refusal(f"the runs of the check failed: {'; '.join(found.lacking)}")
    return found.records


@dataclass(frozen=True)
class Likeness:
    """Whether runs are the same to the bit, and how far their numbers are apart if not."""

    bits: bool
    apart: float

    def holds(self, device: str) -> bool:
        return self.bits or (not device.startswith("cpu") and self.apart <= CLOSE)


def likeness(one: Sequence[Record], two: Sequence[Record]) -> Likeness:
    numbers = lambda record: {"last": record["last"], "curve": record["curve"]}
    apart = max(gap(numbers(a), numbers(b)) for a, b in zip(one, two, strict=True))
    return Likeness(all(same_run(a, b) for a, b in zip(one, two, strict=True)), apart)


def runs(device: str) -> dict[str, Likeness]:
    """Lockstep against alone, interrupted against undisturbed, and the same again."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        together = made(place / "together", device)
        alone = [made(place / "alone", device, [row])[0] for row in LEARNERS]
        resumed = made(place / "resumed", device, after=2 * STEPS)
        again = made(place / "again", device)
    return {
        "in lockstep as alone": likeness(together, alone),
        "resumed as undisturbed": likeness(together, resumed),
        "the same again": likeness(together, again),
    }


# ---------------------------------------------------------------- the answer


def answer(device: str, keys: Sequence[str] | None = None) -> dict[str, Any]:
    """All that was found, as plain data; `fit` says whether it is as it should be."""
    compared, likenesses = losses(device, keys or methods()), runs(device)
    return {
        "fit": not compared.wrong and all(each.holds(device) for each in likenesses.values()),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "losses": {"gaps": compared.gaps, "drawing": compared.drawing, "others": compared.others},
        "runs": {name: {"bits": each.bits, "apart": each.apart} for name, each in likenesses.items()},
        "surroundings": surroundings(),
    }


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """What was found, in a few lines."""
    gaps = found["losses"]["gaps"]
    wrong = [key for key, value in gaps.items() if not value <= EXACT]
    worst = max(gaps, key=gaps.__getitem__)
    compared = f"{len(gaps)} losses compared with double precision"
    yield f"{found['device']}: {compared}, the worst, {worst}, off by {gaps[worst]:.1e}"
    yield f"not compared: {len(found['losses']['drawing'])} that draw, {len(found['losses']['others'])} of other worlds"
    for name, each in found["runs"].items():
        yield f"{name}: {'same bits' if each['bits'] else 'apart by {:.1e}'.format(each['apart'])}"
    yield "fit" if found["fit"] else f"NOT FIT{': ' + ', '.join(wrong) if wrong else ''}"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kdcore.experiments.fitness", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--methods", default="", help="keys separated by commas; all by default")
    asked = parser.parse_args(words)
    found = answer(asked.device, [key for key in asked.methods.split(",") if key])
    print(*told(found), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if found["fit"] else 1


if __name__ == "__main__":
    sys.exit(main())
