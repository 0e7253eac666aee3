"""What every loss costs: no wait for the device, one graph, and a number of operations that size does not change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import kdcore.losses
from kdcore.types import Batch

ROOT = Path(__file__).parents[2]
# Operations of public code, forward and backward, counted by `Count` on the inputs of tests/reference: DistillKL of
# RepDistiller, dkd_loss of mdistiller, kd_loss of logit-standardization-KD, kd_loss_normal of NormKD, Attention of
# RepDistiller on one stage; SP, PKT and one pair of FSP of RepDistiller, CC of Knowledge-Distillation-Zoo, HardDarkRank
# of the RKD authors, DIST of its authors. None of them checks its input or reduces in three ways.
PEERS = {"kd_loss": 17, "dkd_loss": 63, "logit_std_loss": 47, "normkd_loss": 38, "at_loss": 37}
PEERS |= {"sp_loss": 36, "pkt_loss": 65, "fsp_loss": 19, "cc_loss": 61, "darkrank_loss": 83, "dist_loss": 80}
RELEASED = {"at_loss": {"form": "mean-square"}, "pkt_loss": {"form": "mean"}}  # the form that the code named has


class Count(TorchDispatchMode):
    """Every operation that reaches the device; views and detaches launch nothing."""

    FREE = ("view", "detach", "alias", "expand", "t.default", "transpose", "unsqueeze", "squeeze", "slice", "select")

    def __init__(self):
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))

    @property
    def launched(self) -> int:
        return sum(count for name, count in self.seen.items() if not any(free in name for free in self.FREE))


def operations(made) -> Count:
    with Count() as counter:
        made.total().backward()
    return counter


# Run where the import hook is not: its checks are Python that no graph can hold.
EXPLAIN = """
import json, sys, torch, kdcore.losses
shapes, found, kinds = json.load(sys.stdin), {}, {"int": torch.long, "bool": torch.bool}
for name, tensors in shapes.items():
    torch._dynamo.reset()
    given = {key: torch.rand(shape) if kind == "float" else torch.zeros(shape, dtype=kinds[kind])
             for key, (kind, shape) in tensors.items()}
    explained = torch._dynamo.explain(getattr(kdcore.losses, name))(**given)
    found[name] = [explained.graph_count, explained.graph_break_count]
print(json.dumps(found))
"""


class TestEveryLossIsCheap:
    @pytest.mark.slow
    def test_all_are_one_graph_each(self, shapes_of):
        names = [name for name in kdcore.losses.__all__ if name.endswith("_loss")]
        asked = {name: shapes_of(getattr(kdcore.losses, name)) for name in names}
        answer = subprocess.run(
            [sys.executable, "-c", EXPLAIN],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert answer.returncode == 0, answer.stderr[-2000:]
        assert json.loads(answer.stdout.splitlines()[-1]) == {name: [1, 0] for name in names}

    def test_never_waits_for_the_device(self, loss, arguments):
        """Tensors without values: whatever reads one on the host fails."""
        given = arguments(loss, device="meta")
        for name, value in given.items():
            value.requires_grad_(value.is_floating_point() and "teacher" not in name)
        value = loss(**given)
        value.backward()
        assert value.device.type == "meta"

    def test_size_does_not_change_the_number_of_operations(self, loss, arguments):
        counts = []
        for sizes in ({"batch": 2, "classes": 3}, {"batch": 64, "classes": 20}):
            with Count() as counter:
                loss(**arguments(loss, **sizes))
            counts.append(counter.launched)
        assert counts[0] == counts[1]

    @pytest.mark.parametrize(("name", "theirs"), PEERS.items())
    def test_launches_about_as_many_operations_as_the_best_public_code(self, name, theirs, arguments):
        loss = getattr(kdcore.losses, name)
        given = arguments(loss)
        next(iter(given.values())).requires_grad_()
        with Count() as counter:
            loss(**given, **RELEASED.get(name, {})).backward()
        assert counter.launched <= 1.15 * theirs


def without_generator(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda *shape, generator=None, **options: draw(*shape, **options)


class TestEveryMethodIsCheap:
    def test_never_waits_for_the_device(self, method, world, monkeypatch):
        monkeypatch.setattr(Batch, "generator", lambda batch, stream: torch.Generator())
        monkeypatch.setattr(torch, "rand", without_generator(torch.rand))  # no device, no generator
        made = world(method, device="meta")
        made.total().backward()
        assert all(term.value.device.type == "meta" for term in made.terms().values())

    def test_size_does_not_change_the_number_of_operations(self, method, world):
        small, large = (operations(world(method, size=size, classes=classes)) for size, classes in ((3, 4), (64, 20)))
        assert small.launched == large.launched
