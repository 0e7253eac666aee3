"""Networks in parts: parameters that are trained in turn, and stages that are run one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.schemes._probe import evaluating
from kdcore.types import Outputs, Refusal


def reached(network: nn.Module, sample: Any, read: Callable[[Outputs], Tensor]) -> set[str]:
    """Names of the parameters that a part of a network's answer depends on, found by asking for its gradient."""
    weights = {name: weight.detach().requires_grad_() for name, weight in network.named_parameters()}
    with evaluating(network), torch.enable_grad():
        said = torch.func.functional_call(network, weights, (sample,))
        slopes = torch.autograd.grad(read(said).sum(), list(weights.values()), allow_unused=True)
    return {name for name, slope in zip(weights, slopes) if slope is not None}


class Portion(nn.Module):
    """Some of a network's parameters, for an update to train; train mode concerns the layers that own them alone.

    The rest of the network stays as it is, its batch norms' running statistics too. A portion stands for weights
    that its network holds, so a scheme keeps it in a tuple and does not register it.

    Args:
        network: that holds the parameters.
        names: of the parameters, as ``named_parameters`` gives them.
    """

    def __init__(self, network: nn.Module, names: Iterable[str]):
        super().__init__()
        known = dict(network.named_parameters())
        names = sorted(names, key=list(known).index)
        self.weights = nn.ParameterList(known[name] for name in names)
        self.owners = tuple(network.get_submodule(name.rpartition(".")[0]) for name in names)

    def train(self, mode: bool = True) -> Portion:
        for owner in self.owners:
            owner.training = mode
        return super().train(mode)


def _alike(one: Tensor, other: Tensor) -> bool:
    """The same up to the rounding in which compiled networks differ; where there are no values, the same size."""
    return one.shape == other.shape if one.is_meta else torch.allclose(one, other, rtol=1e-3, atol=1e-4)


class Staged:
    """A network that can be run stage by stage: normalise, a stem or none, stages, a top or none, a classifier.

    So are this project's networks with stages. Whether a network is of that form is found by running it both ways.

    Args:
        network: the network; its weights are used as they are.
        sample: a few inputs.

    Raises:
        Refusal: the network is of another form.
    """

    def __init__(self, network: nn.Module, sample: Tensor):
        self.network = network
        refusal = Refusal(
            f"{type(network).__name__} cannot be run stage by stage: it is no stem, stages and classifier"
        )
        if not all(hasattr(network, part) for part in ("normalise", "stages", "classifier")):
            raise refusal
        with evaluating(network), torch.no_grad():
            said = network(sample)
            try:
                logits = self.finish(self.through(self.begin(sample))).logits
                alike = _alike(logits, said.logits)
            except (TypeError, ValueError, RuntimeError):
                alike = False
            if not alike:
                raise refusal
            self.inside = self._shapes(sample)
        self.outside = [tuple(feature.shape[1:]) for feature in said.features]

    def __len__(self) -> int:
        return len(self.network.stages)

    def begin(self, images: Tensor) -> Tensor:
        """What the first stage reads."""
        x = self.network.normalise(images)
        stem = getattr(self.network, "stem", None)
        return x if stem is None else F.relu(stem(x))

    def stage(self, number: int, x: Tensor) -> Tensor:
        return self.network.stages[number](x)[1]

    def through(self, x: Tensor, start: int = 0) -> Tensor:
        """What the last stage says of what the stage `start` reads."""
        for number in range(start, len(self)):
            x = self.stage(number, x)
        return x

    def finish(self, x: Tensor) -> Outputs:
        """The answer to what the last stage says."""
        top = getattr(self.network, "top", None)
        embedding = (x if top is None else top(x)).mean((2, 3))
        return Outputs(self.network.classifier(embedding), embedding=embedding)

    def _shapes(self, sample: Tensor) -> list[tuple[int, ...]]:
        """Channels, height and width of what each stage reads."""
        shapes, x = [], self.begin(sample)
        for number in range(len(self)):
            shapes.append(tuple(x.shape[1:]))
            x = self.stage(number, x)
        return shapes
