"""What happens inside a network between its layers, found by watching it answer; no layer has to be named.

A network is asked through `forward`, past a compiled version of itself, whose insides cannot be watched.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from kdcore.types import Outputs

SUMS = (torch.add, Tensor.add, Tensor.__add__, Tensor.add_, Tensor.__iadd__)


class Watching(TorchFunctionMode):
    """Keeps what every operation was given and returned, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, tuple, Any]] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen.append((func, args, result))
        return result


class Reached(Exception):
    """The operation that was waited for has been carried out."""


class Keeping(TorchFunctionMode):
    """Keeps what operations return, and stops after the n-th."""

    def __init__(self, call: int):
        super().__init__()
        self.call, self.kept = call, []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.kept.append(func(*args, **(kwargs or {})))
        if len(self.kept) > self.call:
            raise Reached
        return self.kept[-1]


class Resuming(TorchFunctionMode):
    """Answers the first operations with what they returned before, the last of these times a mask of channels."""

    def __init__(self, kept: list[Any], mask: Tensor):
        super().__init__()
        *self.before, last = kept
        self.masked = last * mask.to(last.dtype)
        self.number = -1

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.number += 1
        if self.number < len(self.before):
            return self.before[self.number]
        return self.masked if self.number == len(self.before) else func(*args, **(kwargs or {}))


@torch.no_grad()
def call_of(network: nn.Module, inputs: Any, stage: int) -> int:
    """Which operation of the network makes a stage's map: its number in the order of the calls.

    It has to be the map that the network goes on with; a copy that it only shows has no part in its answer.
    """
    with Watching() as watching:
        said: Outputs = network.forward(inputs)
    wanted = said.features[stage]
    for number, (_, _, result) in enumerate(watching.seen):
        if result is wanted:
            return number
    raise ValueError(f"no operation of {type(network).__name__} returns the map of its stage {stage}")


class Masked:
    """A network's answers to the same inputs when an operation's result is multiplied by a mask.

    What comes before that operation is carried out once, and again only if something later wrote over it in place.
    """

    def __init__(self, network: nn.Module, inputs: Any, call: int):
        self.network, self.inputs, self.call = network, inputs, call
        self._keep()

    @torch.no_grad()
    def __call__(self, mask: Tensor) -> Outputs:
        """The answer with ``mask``, a 0 or 1 for each channel."""
        if self.versions != self._versions():
            self._keep()
        with Resuming(self.kept, mask.view(1, -1, 1, 1)):
            return self.network.forward(self.inputs)

    @torch.no_grad()
    def _keep(self) -> None:
        self.kept = []  # what was kept goes first, so that it is not there twice
        keeping = Keeping(self.call)
        with suppress(Reached), keeping:
            self.network.forward(self.inputs)
        self.kept = keeping.kept
        self.versions = self._versions()

    def _versions(self) -> list[int]:
        """How often each tensor that was kept has been written to."""
        return [value._version for value in pytree.tree_leaves(self.kept) if isinstance(value, Tensor)]


@torch.no_grad()
def norms_before(network: nn.Module, inputs: Any) -> list[nn.Module | None]:
    """The batch norm that each stage's pre-activation comes from; None where there is none.

    It is the one that returned it or, where the pre-activation is a sum with a shortcut, the one that returned the
    first term. A norm that was folded into its convolution counts, if what stands in its place kept its numbers.
    """
    said_by: dict[int, nn.Module] = {}
    kept: list[Any] = []  # so that no identity is used twice

    def hear(module: nn.Module, _: Any, said: Any) -> None:
        said_by[id(said)] = module
        kept.append(said)

    with ExitStack() as stack:
        for module in network.modules():
            if _is_norm(module):
                stack.callback(module.register_forward_hook(hear).remove)
        with Watching() as watching:
            said: Outputs = network.forward(inputs)
    terms = {id(result): args for func, args, result in watching.seen if func in SUMS}
    return [_source(before, said_by, terms) for before in said.preactivations]


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d | nn.Identity) and getattr(module, "bias", None) is not None


def _source(value: Any, said_by: dict[int, nn.Module], terms: dict[int, tuple]) -> nn.Module | None:
    if id(value) in said_by:
        return said_by[id(value)]
    found = (_source(term, said_by, terms) for term in terms.get(id(value), ()) if term is not value)
    return next((norm for norm in found if norm is not None), None)
