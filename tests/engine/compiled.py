"""A training with compiled networks beside the eager one, in a process of its own: compiling meets no checks of types.

Prints JSON: why nothing can be compiled here, or what became of the weights.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from proof import advance
from torch import Tensor
from zoo import net
from zoo.data import stripes
from zoo.networks import finished

from kdcore.data.views import Plain
from kdcore.engine import Recipe, Run, compile_network
from kdcore.engine.machine import compiler_fault
from kdcore.losses.response.distillation import KD
from kdcore.schemes.offline import Distillation
from kdcore.types import Data


def begun(data: Data, how: bool) -> Run:
    """A training in double precision with batch norm, dropout and a teacher, both networks compiled or none."""
    student, teacher = (compile_network(network.double(), how) for network in (net(3), finished()))
    return Run("compiled", Distillation(student, teacher, KD()), data, Recipe(steps=5, batch_size=16), 3)


def weights(run: Run) -> dict[str, Tensor]:
    return {name: value.detach().double().clone() for name, value in run.scheme.state_dict().items()}


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, float]:
    return {name: (one[name] - other[name]).abs().max().item() for name in one}


def main() -> dict[str, object]:
    if fault := compiler_fault("cpu"):
        return {"fault": fault}
    images = stripes(32)
    data = replace(images, inputs=images.inputs.double(), views={"weak": Plain()})
    start = weights(begun(data, False))
    eager, compiled, repeated = (advance(begun(data, how)) for how in (False, True, True))
    killed, resumed = advance(begun(data, True), 3), begun(data, True)
    resumed.restore(killed.state())
    return {
        "moved": farthest(weights(eager), start),
        "difference": farthest(weights(compiled), weights(eager)),
        "repeated": farthest(weights(repeated), weights(compiled)),
        "resumed": farthest(weights(advance(resumed)), weights(compiled)),
        "untouched": eager.untouched["main/student"],
    }


if __name__ == "__main__":
    torch.Tensor.float = torch.Tensor.double  # losses are in single precision, whose rounding would hide all else
    print(json.dumps(main()))
