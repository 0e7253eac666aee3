"""Any network as one of ours: its layers are named, never edited, and what they said comes back as `Outputs`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from kdcore.models._parts import Normalise
from kdcore.types import Outputs, Refusal


def wrap(
    network: nn.Module,
    *,
    layers: Sequence[str] = (),
    preactivations: Sequence[str] = (),
    embedding: str | None = None,
    normalise: nn.Module | str | tuple[Sequence[float], Sequence[float]] | None = None,
    **tokens: Any,
) -> Wrapped:
    """Let any network take part by naming its layers as ``named_modules`` does.

    A name stands for what a layer returns; ``name:input`` for what it is given, so ``relu:input`` is a
    pre-activation and ``fc:input`` an embedding. A layer called more than once counts with its last call.

    Args:
        network: whose answer is a tensor, or has ``logits`` (as a field or a key), or is a tuple that begins so.
        layers: whose answers are the `features`, shallow to deep.
        preactivations: the same before their last ReLU, one for every name in `layers`, or none at all.
        embedding: what the classifier reads; maps of one pixel are flattened.
        normalise: constants of a data set by name, a pair of mean and standard deviation, or a module; None hands
            inputs over as they are.
        tokens: what else is to be heard of a transformer: ``hidden``, ``tokens``, ``attention``, ``heads``, ``grid``,
            ``causal``, see `kdcore.models.token_wrapping.WrappedTokens`; the answer is then a `TokenOutputs`.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> said = wrap(net, layers=["1"], preactivations=["0"], embedding="4:input")(torch.zeros(5, 3, 8, 8))
        >>> said.features[0].shape, said.embedding.shape
        (torch.Size([5, 4, 6, 6]), torch.Size([5, 4]))
    """
    told = tuple(layers), tuple(preactivations), embedding, _normaliser(normalise)
    if not tokens:
        return Wrapped(network, *told)
    from kdcore.models.token_wrapping import WrappedTokens  # late, since it builds on this module

    return WrappedTokens(network, *told, **tokens)


def _normaliser(normalise: Any) -> nn.Module | None:
    if normalise is None or isinstance(normalise, nn.Module):
        return normalise
    return Normalise.named(normalise) if isinstance(normalise, str) else Normalise(*map(tuple, normalise))


class Wrapped(nn.Module):
    """A network whose named layers are listened to while it answers.

    The hooks stand only during a call and are found by name each time, so copies, saved weights and replaced layers
    behave as in the network itself. In-place activations are switched off during the call, since they would
    overwrite what a layer said; where the network overwrites it in another way, that is an error.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[str, ...],
        preactivations: tuple[str, ...],
        embedding: str | None,
        normalise: nn.Module | None,
    ):
        super().__init__()
        if preactivations and len(preactivations) != len(layers):
            raise Refusal(
                f"preactivations must name one layer for each of the {len(layers)} in layers, got {len(preactivations)}"
            )
        self.network, self.normalise = network, normalise
        self.layers, self.preactivations, self.embedding = layers, preactivations, embedding
        for name in self._taps():
            _check(name, network)

    def _taps(self) -> tuple[str, ...]:
        named = (*self.layers, *self.preactivations, *([self.embedding] if self.embedding else []))
        return tuple(dict.fromkeys(named))

    def forward(self, inputs: Any) -> Outputs:
        if self.normalise is not None:
            inputs = self.normalise(inputs)
        with self._listening() as heard:
            answer = self.network(**inputs) if isinstance(inputs, Mapping) else self.network(inputs)
        return self._outputs(inputs, answer, {name: _unharmed(name, heard) for name in self._taps()})

    def _outputs(self, inputs: Any, answer: Any, said: Mapping[str, Tensor]) -> Outputs:
        embedding = said[self.embedding] if self.embedding else None
        return Outputs(
            _logits(answer),
            tuple(said[name] for name in self.layers),
            tuple(said[name] for name in self.preactivations),
            embedding.flatten(1) if embedding is not None and embedding.ndim == 4 else embedding,
        )

    @contextmanager
    def _listening(self) -> Iterator[dict[str, tuple[Tensor, int]]]:
        heard: dict[str, tuple[Tensor, int]] = {}
        with ExitStack() as stack:
            for module in self.network.modules():
                if getattr(module, "inplace", False) is True:
                    module.inplace = False
                    stack.callback(setattr, module, "inplace", True)
            for name in self._taps():
                stack.callback(self._listen(name, heard).remove)
            yield heard

    def _listen(self, name: str, heard: dict[str, tuple[Tensor, int]]) -> Any:
        layer, _, end = name.partition(":")

        def keep(value: Any) -> None:
            tensor = value[0] if isinstance(value, tuple) else value
            heard[name] = tensor, 0 if tensor.is_inference() else tensor._version

        module = self.network.get_submodule(layer)
        if end:
            return module.register_forward_pre_hook(
                lambda _, given, named: keep(given or tuple(named.values())), with_kwargs=True
            )
        return module.register_forward_hook(lambda _, given, returned: keep(returned))


def _check(name: str, network: nn.Module) -> None:
    layer, colon, end = name.partition(":")
    known = [found for found, _ in network.named_modules() if found]
    if layer not in known:
        nearest = difflib.get_close_matches(layer, known, 1, 0.0)
        hint = f", the nearest name is {nearest[0]!r}" if nearest else ", the network has no layers"
        raise Refusal(f"no layer is called {layer!r}{hint}")
    if colon and end != "input":
        raise Refusal(f"a layer's name may end in ':input' alone, got {name!r}")


def _unharmed(name: str, heard: dict[str, tuple[Tensor, int]]) -> Tensor:
    if name not in heard:
        raise Refusal(f"layer {name!r} took no part in the network's answer, so it has nothing to match")
    tensor, version = heard[name]
    if not tensor.is_inference() and tensor._version != version:
        raise Refusal(
            f"the network overwrites {name!r} in place after it was heard: name the input of the layer that comes next"
        )
    return tensor


def _logits(answer: Any) -> Tensor:
    if isinstance(answer, Mapping) and "logits" in answer:
        answer = answer["logits"]
    answer = getattr(answer, "logits", answer)
    answer = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(answer, Tensor):
        raise TypeError(f"the network must return logits, a tuple or mapping with them, got {type(answer).__name__}")
    return answer
