"""Networks with the same lower layers: all of them read what the first one says at the stage where they are cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdcore.schemes.progressive._parts import Staged
from kdcore.types import Outputs, Refusal

LAYERS_OF_THE_WHOLE = ("normalise", "stem")  # besides the stages below the cut


@dataclass
class BranchOutputs(Outputs):
    """What several networks say at once.

    Attributes:
        logits: the mean of all logits.
        each: every network's logits.
        embeddings: every network's, as its classifier reads it.
        shared: the map that all of them read.
    """

    each: tuple[Tensor, ...] = ()
    embeddings: tuple[Tensor, ...] = ()
    shared: Tensor | None = None


class Branches(nn.Module):
    """Networks of one form whose lower layers are the first one's; asked together, these layers answer once.

    Every network stays whole, so each can be delivered, judged and saved on its own. A scheme registers the networks
    and keeps this in a tuple, so that their weights bear one name.

    Args:
        networks: two or more of one architecture, made of a stem or none, stages, a classifier; the layers below the
            cut of all but the first are given up.
        sample: a few inputs, on which the form is tried.
        cut: number of stages that are shared, at least 1. Default: all but the last.
        rescaled: divide the gradient that enters the shared layers by the number of networks.

    Raises:
        Refusal: fewer than two networks, one network twice, no stage left to cut at, or a network of another form.
    """

    def __init__(self, *networks: nn.Module, sample: Tensor, cut: int | None = None, rescaled: bool = False):
        super().__init__()
        if len({id(network) for network in networks}) < max(2, len(networks)):
            raise Refusal(f"branches need at least 2 different networks, got {len(networks)}")
        parts = [Staged(network, sample) for network in networks]
        depths = {len(part) for part in parts}
        cut = len(parts[0]) - 1 if cut is None else cut
        if len(depths) > 1 or not 1 <= cut < max(depths):
            stages = " and ".join(map(str, sorted(depths)))
            raise Refusal(f"networks of {stages} stages can be cut after stage 1 to {max(depths) - 1}, got {cut}")
        for other in networks[1:]:
            _give_up_lower_layers(other, networks[0], cut)
        self.networks, self.cut, self.rescaled = nn.ModuleList(networks), cut, rescaled
        self._parts, self.channels = tuple(parts), parts[0].inside[cut][0]

    def __len__(self) -> int:
        return len(self.networks)

    def forward(self, images: Tensor) -> BranchOutputs:
        x = self._parts[0].begin(images)
        for number in range(self.cut):
            x = self._parts[0].stage(number, x)
        read = self._slowed(x)
        said = [part.finish(part.through(read, self.cut)) for part in self._parts]
        each = tuple(one.logits for one in said)
        mean = torch.stack(each).mean(0)
        return BranchOutputs(mean, each=each, embeddings=tuple(one.embedding for one in said), shared=x)

    def _slowed(self, x: Tensor) -> Tensor:
        if not (self.rescaled and x.requires_grad):
            return x
        read = x.view_as(x)  # what hangs on x itself, a gate, keeps its whole gradient
        read.register_hook(lambda slope: slope / len(self))
        return read


class Together(nn.Module):
    """Networks that share nothing, asked together; the answer has the form of `Branches`.

    Args:
        networks: at least one.
    """

    def __init__(self, *networks: nn.Module):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def __len__(self) -> int:
        return len(self.networks)

    def forward(self, inputs: Tensor) -> BranchOutputs:
        said = [network(inputs) for network in self.networks]
        each = tuple(one.logits for one in said)
        return BranchOutputs(torch.stack(each).mean(0), each=each, embeddings=tuple(one.embedding for one in said))


def _give_up_lower_layers(network: nn.Module, first: nn.Module, cut: int) -> None:
    for name in LAYERS_OF_THE_WHOLE:
        if hasattr(first, name):
            setattr(network, name, getattr(first, name))
    for number in range(cut):
        network.stages[number] = first.stages[number]


def ramp(share: float) -> Callable[[float], float]:
    """A weight that rises from exp(-5) to 1 over the first `share` of the training, and stays there; 0 for no rise.

    Example:
        >>> rise = ramp(0.5)
        >>> [round(rise(progress), 3) for progress in (0.0, 0.25, 0.5, 1.0)], ramp(0.0)(0.0)
        ([0.007, 0.287, 1.0, 1.0], 1.0)
    """
    return lambda progress: 1.0 if progress >= share else math.exp(-5 * (1 - progress / share) ** 2)
