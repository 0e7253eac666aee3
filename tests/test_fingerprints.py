"""An alarm: numbers of a loss, a scheme, a network or the step that move although their revision did not.

A fingerprint is no proof of right, it notices change. After a change that is meant, raise the revision of what it
changes and run ``python -m tests.test_fingerprints``.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.catalogue import entries, load
from kdcore.engine import STEP_REVISION, Recipe, Run, setting_of
from kdcore.experiments.revisions import current
from kdcore.models import architecture, build, names
from kdcore.models.digits import DigitNetwork
from kdcore.models.transformer import Transformer
from kdcore.models.vit import VisionTransformer
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Method, Outputs, Refusal, Scheme, Stage, Task, Term, Update

ROOT = Path(__file__).parents[1]
COMMITTED = Path(__file__).with_name("fingerprints.json")
STEPS, DIGITS = 20, 8
RECIPE = Recipe(steps=STEPS, batch_size=8, learning_rate=0.02, schedule="cosine", clip=5.0)


@contextmanager
def everything_in_double() -> Iterator[None]:
    """Also what a training computes in single precision: eight digits hold on every machine only in double."""
    single = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = single
        torch.set_default_dtype(torch.float32)


# ---------------------------------------------------------------- worlds that need nothing but torch


def plain(inputs: Tensor, random: torch.Generator) -> Tensor:
    return inputs


def noisy(inputs: Tensor, random: torch.Generator) -> Tensor:
    return (inputs + 0.1 * torch.randn(inputs.shape, generator=random)).clamp(0, 1)


def sines(*shape: int, speed: float) -> Tensor:
    return torch.sin(speed * torch.arange(math.prod(shape), dtype=torch.float64).view(shape) + 1)


class Net(nn.Module):
    """Two stages with batch norm, dropout before the classifier."""

    def __init__(self, width: int, classes: int = 4):
        super().__init__()
        sizes = [1, width, 2 * width]
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in sizes[1:])
        self.dropout, self.classifier = nn.Dropout(0.1), nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Outputs:
        features, before, x = [], [], images
        for stage, norm in zip(self.stages, self.norms):
            before.append(norm(stage(x)))
            x = F.relu(before[-1])
            features.append(x)
        embedding = self.dropout(x.mean((2, 3)))
        return Outputs(self.classifier(embedding), tuple(features), tuple(before), embedding)


class Speaker(nn.Module):
    """Says the next token after each."""

    def __init__(self, width: int, classes: int = 7):
        super().__init__()
        self.tokens, self.scores = nn.Embedding(classes, width), nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Outputs:
        hidden = torch.tanh(self.tokens(tokens).cumsum(1))
        return Outputs(self.scores(hidden), (hidden,), (), hidden)


class Next(Task):
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return F.cross_entropy(outputs.logits.flatten(0, 1), batch.targets.flatten())


def images(count: int = 32) -> Data:
    inputs = 0.5 + 0.5 * sines(count, 1, 8, 8, speed=0.37)
    views = {"weak": noisy, "strong": lambda x, random: noisy(noisy(x, random), random), "plain": plain}
    return Data(inputs, torch.arange(count) * 3 % 4, Task(), views, classes=4, name="images")


def words(count: int = 32) -> Data:
    tokens = (torch.arange(count)[:, None] + torch.arange(7) ** 2) % 7
    return Data(tokens[:, :-1], tokens[:, 1:], Next(), {"weak": plain, "plain": plain}, classes=7, name="words")


def sequences() -> Data:
    from kdcore.schemes.offline.structure import hidden_chain

    return hidden_chain(16, 24, 4, length=6)


@dataclass
class Bench:
    """What a scheme asks for, here with small networks in double precision."""

    data: Data
    kind: type[nn.Module]
    recipe: Recipe = RECIPE
    seed: int = 0

    def __post_init__(self) -> None:
        self.teacher = seeded(lambda: self.kind(5), 0, "init", "teacher").eval().requires_grad_(False)

    def network(self, role: str = "student", name: str | None = None) -> nn.Module:
        return seeded(lambda: self.kind(3), self.seed, "init", role)

    @property
    def setting(self) -> Any:
        return setting_of(self.network(), self.teacher, self.data)

    def method(self, key: str, **settings: Any) -> Method:
        entry = load(key)
        return seeded(lambda: entry.make.build(self.setting, **entry.settings | settings), self.seed, "init", key)


def reader(width: int) -> nn.Module:
    """A transformer, so that its layers and heads can be compared."""
    return Transformer(7, width=2 * width, layers=width - 1, heads=2, length=8)


def in_stages(width: int) -> nn.Module:
    return DigitNetwork(4, width=width, depth=1)


def patches(width: int) -> nn.Module:
    """A transformer on patches; the student's has a token for the teacher's answer."""
    sizes = {"size": 8, "patch": 2, "width": 2 * width, "layers": 2, "heads": 2}
    return VisionTransformer(4, **sizes, distilled=width == 3, normalisation="digits")


def alike(width: int) -> nn.Module:
    """Teacher and student of the same sizes."""
    return Net(4)


# A key that asks for other data than images or, where it refuses these, words.
WORLDS: dict[str, Callable[[], Bench]] = {"structure-compilation": lambda: Bench(sequences(), Speaker)}
STAGED = ("interactive-kd", "knowledge-projection", "rocket-launching")  # run their networks stage by stage
STAGED += ("one", "cl-ilr", "okddip", "okddip-released")
WORLDS |= {key: lambda: Bench(images(), in_stages) for key in STAGED}
ALIKE = ("mhgd", "kdsvd", "fsp", "fsp-joint")  # compare channels one by one, so both networks need the same
WORLDS |= {key: lambda: Bench(images(), alike) for key in ALIKE}


def benches(key: str) -> list[Bench]:
    if key in WORLDS:
        return [WORLDS[key]()]
    pictures = Bench(images(), Net), Bench(images(), patches)
    return [*pictures, Bench(words(), Speaker), Bench(words(), reader)]


# ---------------------------------------------------------------- fingerprints


def trained(scheme: Scheme, bench: Bench) -> list[float]:
    """The sum of all terms at every step of a training of `STEPS` steps a stage."""
    run = Run("fingerprint", scheme, bench.data, bench.recipe, bench.seed)
    while run.active:
        run.advance()
    return [sum(entry["terms"].values()) for entry in run.curve]


def of_entry(key: str) -> list[float]:
    """A method beside the labels, a scheme as it builds itself, a plain function on closed-form scores."""
    entry = load(key)
    if not isinstance(entry.make, type):
        value = entry.make(4 * sines(6, 5, speed=0.7), **entry.settings)
        return value.flatten()[:STEPS].tolist()
    refused = []
    for bench in benches(key):
        try:
            if issubclass(entry.make, Method):
                scheme = Distillation(bench.network(), bench.teacher, bench.method(key))
            else:
                scheme = seeded(lambda: entry.make.build(bench, **entry.settings), 0, "init", key)  # noqa: B023
        except Refusal as error:
            refused.append(str(error))
        else:
            return trained(scheme, bench)
    raise LookupError(f"{key} refuses every world, so one of its own belongs into WORLDS: {'; '.join(refused)}")


def of_network(name: str) -> list[float]:
    """Loss before and after one step: everything forward and backward goes through."""
    network, labels = build(name, 10), torch.arange(2) * 3
    if name.startswith("text"):
        inputs, labels = torch.arange(12).view(2, 6) % 10, labels[:, None].expand(2, 6).flatten()
    else:
        inputs = 0.5 + 0.5 * sines(2, *((1, 8, 8) if name.startswith("digits") else (3, 32, 32)), speed=0.37)
    losses = []
    for _ in range(2):
        loss = F.cross_entropy(network(inputs).logits.flatten(0, -2), labels)
        # a token for a teacher's answer is no part of the class scores while its network trains
        slopes = torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True, allow_unused=True)
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes):
                parameter -= 0.01 * slope
        losses.append(loss.item())
    return losses


class Step(Scheme):
    """All that a step does: stages, updates in turn, recipes of their own, weights in time, averaging between."""

    def __init__(self, bench: Bench):
        super().__init__()
        self.one, self.other, self.outside = bench.network("one"), bench.network("other"), (bench.teacher,)

    def _terms(self, me: nn.Module, batch: Batch) -> dict[str, Term]:
        mine, theirs = batch.outputs(me), batch.outputs(*self.outside, "strong")
        gap = F.mse_loss(mine.view("strong").logits, theirs.logits)
        return {"task": Term(batch.task.loss(mine, batch), 0.5), "gap": Term(gap, lambda progress: 1 - progress)}

    @torch.no_grad()
    def _average(self, data: Data, clock: Clock) -> None:
        for one, other in zip(self.one.parameters(), self.other.parameters()):
            one.lerp_(other, 0.1)

    def stages(self) -> list[Stage]:
        adam = Recipe(optimizer="adamw", learning_rate=0.01, schedule="one-cycle", clip=1.0)
        sgd = Recipe(steps=STEPS, batch_size=4, learning_rate=0.05, nesterov=True, milestones=(0.5,))
        one = Update("one", [self.one], lambda batch: self._terms(self.one, batch))
        other = Update("other", [self.other], lambda batch: self._terms(self.other, batch), adam, every=2)
        return [Stage("first", [one], share=0.5), Stage("second", [one, other], recipe=sgd, between=self._average)]


def of_step() -> list[float]:
    bench = Bench(images(), Net)
    return trained(seeded(lambda: Step(bench), 0, "init", "step"), bench)


def parts() -> dict[str, tuple[int, Callable[[], list[float]]]]:
    """Everything that has a fingerprint: its name, its revision and how it is taken."""
    found: dict[str, tuple[int, Callable[[], list[float]]]] = {"step": (STEP_REVISION, of_step)}
    for entry in entries():
        if entry.kind in ("loss", "scheme", "fusion"):
            found[entry.key] = current()[entry.key], lambda key=entry.key: of_entry(key)
    return found | {f"network {name}": (architecture(name).revision, lambda n=name: of_network(n)) for name in names()}


def taken(name: str) -> list[float]:
    with everything_in_double():
        return [float(f"{value:.{DIGITS - 1}e}") for value in parts()[name][1]()]


def verdict(name: str, revision: int, losses: list[float], was: dict[str, Any] | None) -> str | None:
    """What is wrong with a part, None where nothing is."""
    if was is None:
        return f"{name} has no fingerprint yet: run python -m tests.test_fingerprints"
    same = len(losses) == len(was["losses"]) and losses == pytest.approx(was["losses"], rel=10 ** (1 - DIGITS))
    if revision == was["revision"]:
        return None if same else f"the numbers of {name} moved and its revision, {revision}, did not"
    return f"the revision of {name} is {revision} now: run python -m tests.test_fingerprints"


@cache
def committed() -> dict[str, dict[str, Any]]:
    return json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}


HEAVY = {f"network {name}" for name in names() if any(word in name for word in ("110", "56", "44", "x4", "-40", "13"))}
LISTED = [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in parts()]


class TestFingerprint:
    @pytest.mark.parametrize("name", LISTED)
    def test_moves_only_with_its_revision(self, name):
        assert verdict(name, parts()[name][0], taken(name), committed().get(name)) is None

    def test_belongs_to_something(self):
        assert set(committed()) <= set(parts())


class TestAlarm:
    @pytest.mark.parametrize("name", ["step", "kd", "dml", "network digits-student"])
    def test_a_number_that_moved_by_a_millionth_is_noticed(self, name):
        was = committed()[name]
        moved = [*was["losses"][:-1], was["losses"][-1] * (1 + 1e-6)]
        assert "moved and its revision" in verdict(name, was["revision"], moved, was)
        assert verdict(name, was["revision"], was["losses"], was) is None

    def test_a_raised_revision_asks_for_a_new_one(self):
        was = committed()["kd"]
        assert "is 99 now" in verdict("kd", 99, was["losses"], was)

    def test_something_new_asks_for_its_first(self):
        assert "no fingerprint yet" in verdict("new", 1, [1.0], None)

    def test_a_changed_constant_in_a_loss_is_noticed(self, monkeypatch):
        from kdcore.losses.response import distillation

        good = distillation.kd_loss
        monkeypatch.setattr(distillation, "kd_loss", lambda *given, **more: 1.000001 * good(*given, **more))
        assert "moved" in verdict("kd", committed()["kd"]["revision"], taken("kd"), committed()["kd"])

    def test_a_changed_step_is_noticed(self, monkeypatch):
        monkeypatch.setattr(Recipe, "rate", lambda self, progress: 0.999999 * self.learning_rate)
        was = committed()["step"]
        assert "moved" in verdict("step", was["revision"], taken("step"), was)


def regenerate(anyway: bool) -> int:
    """Write the file anew; refuse where numbers moved without a revision, unless told to."""
    torch.set_num_threads(1)
    found, moved = {}, []
    for name, (revision, _) in parts().items():
        losses = taken(name)
        wrong = verdict(name, revision, losses, committed().get(name))
        if wrong and "moved" in wrong:
            moved.append(wrong)
        found[name] = {"revision": revision, "losses": losses} if wrong else committed()[name]
    if moved and not anyway:
        print(*moved, "nothing was written (--anyway writes it all the same)", sep="\n", file=sys.stderr)
        return 1
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    COMMITTED.write_text(f"{{\n{lines}\n}}\n")
    print(f"{len(found)} fingerprints in {COMMITTED.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(regenerate("--anyway" in sys.argv[1:]))
