"""Vision transformers for small images, with a class token and, for DeiT, a distillation token."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.models._parts import Architecture, Normalise
from kdcore.models.transformer import Heads, Layer
from kdcore.tokens import TokenOutputs
from kdcore.types import Refusal

Fusion = Literal["probabilities", "logits"]
Start = Literal["deit", "fan-in"]


class VisionTransformer(nn.Module):
    """Square patches as tokens, learned positions, pre-norm layers; the class token's last state is classified.

    `features` are the patches' states after each layer, laid out as maps; `embedding` is the class token after the
    last norm. With a distillation token, `logits` is the class token's answer in train mode, so that the labels
    reach it alone, and in eval mode what both heads say together. A distillation token that nothing teaches stays
    near its beginning and gives near-uniform answers, which change little.

    Args:
        classes: number of classes.
        size: height and width of the images.
        patch: height and width of a patch, a divisor of the size.
        width: size of the hidden states.
        layers: number of layers.
        heads: number of attention heads, a divisor of the width.
        distilled: whether there is a distillation token with a classifier of its own.
        fusion: what both heads say together: the mean of their ``probabilities``, as DeiT is described, or of their
            ``logits``, as its released code has it.
        start: how weights begin. ``deit``: weights, tokens and positions from a normal of 0.02, as DeiT's code has it
            for widths from 192 on. ``fan-in``: each weight's variance one over the number of inputs, tokens and
            positions of 0.5; a width of some ten needs it, or all tokens begin alike and learn slowly.
        normalisation: which data set's constants the network carries.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: int,
        patch: int,
        width: int,
        layers: int,
        heads: int,
        distilled: bool = False,
        fusion: Fusion = "probabilities",
        start: Start = "deit",
        normalisation: str = "cifar10",
    ):
        super().__init__()
        if size % patch:
            raise Refusal(f"patch must divide the size, got patches of {patch} for images of {size}")
        if width % heads:
            raise Refusal(f"heads must divide the width, got {heads} heads for a width of {width}")
        self.size, self.grid, self.fusion = size, (size // patch, size // patch), fusion
        self.normalise = Normalise.named(normalisation)
        self.patches = nn.Conv2d(len(self.normalise.mean), width, patch, patch)
        self.special = nn.Parameter(torch.zeros(1, 2 if distilled else 1, width))
        self.positions = nn.Parameter(torch.zeros(1, self.special.shape[1] + self.grid[0] * self.grid[1], width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)
        self.distillation_classifier = nn.Linear(width, classes) if distilled else None
        self._initialise(start)

    def _initialise(self, start: Start) -> None:
        """From normals that are cut at two units; biases are zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                std = 0.02 if start == "deit" else module.weight[0].numel() ** -0.5
                nn.init.trunc_normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)
        for parameter in (self.special, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02 if start == "deit" else 0.5)

    def forward(self, images: Tensor) -> TokenOutputs:
        images = self.normalise(images)
        if tuple(images.shape[2:]) != (self.size, self.size):
            raise ValueError(f"images must be {self.size} x {self.size}, got {images.shape[2]} x {images.shape[3]}")
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.special.expand(len(x), -1, -1).to(x.dtype), x], 1) + self.positions
        hidden, heads = [x], []
        for layer in self.layers:
            x, made = layer(x, causal=False)
            hidden.append(x)
            heads.append(made)
        tokens = self.norm(x)
        said = self.classifier(tokens[:, 0])
        taught = None if self.distillation_classifier is None else self.distillation_classifier(tokens[:, 1])
        return TokenOutputs(
            said if taught is None or self.training else self._together(said, taught),
            tuple(self._map(state) for state in hidden[1:]),
            embedding=tokens[:, 0],
            hidden=tuple(hidden),
            tokens=tokens,
            **{name: tuple(getattr(made, name) for made in heads) for name in Heads._fields},
            grid=self.grid,
            class_logits=None if taught is None else said,
            distillation_logits=taught,
        )

    def _map(self, state: Tensor) -> Float[Tensor, "batch width rows columns"]:
        return state[:, self.special.shape[1] :].transpose(1, 2).unflatten(2, self.grid)

    def _together(self, said: Tensor, taught: Tensor) -> Tensor:
        """The mean of both answers; of probabilities as their logarithm, which is a score again."""
        if self.fusion == "logits":
            return (said + taught) / 2
        return torch.logaddexp(said.log_softmax(1), taught.log_softmax(1)) - math.log(2)


TINY = {"size": 32, "patch": 4, "width": 192, "layers": 12, "heads": 3}
MICRO = {"size": 32, "patch": 4, "width": 96, "layers": 6, "heads": 3}
DIGITS = {"size": 8, "patch": 2, "heads": 4, "start": "fan-in", "normalisation": "digits"}

ARCHITECTURES = (
    Architecture("vit-tiny-32", VisionTransformer, TINY, "DeiT-Ti's width, depth and heads on 64 patches"),
    Architecture("deit-tiny-32", VisionTransformer, {**TINY, "distilled": True}, "the same with a distillation token"),
    Architecture("vit-micro-32", VisionTransformer, MICRO, "half as wide and deep"),
    Architecture("deit-micro-32", VisionTransformer, {**MICRO, "distilled": True}, "the same with both tokens"),
    Architecture(
        "digits-vit-teacher", VisionTransformer, {**DIGITS, "width": 32, "layers": 4}, "16 patches, four layers of 32"
    ),
    Architecture(
        "digits-vit-student", VisionTransformer, {**DIGITS, "width": 24, "layers": 2}, "16 patches, two layers of 24"
    ),
    Architecture(
        "digits-deit-student",
        VisionTransformer,
        {**DIGITS, "width": 24, "layers": 2, "distilled": True},
        "the same with both tokens",
    ),
)
