"""What the proofs compare: every bit that a run is made of."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import torch
from torch import Tensor

from kdcore.engine import Run


def bits(value: Any) -> str:
    """A fingerprint of tensors and plain values, however they are nested."""
    found = hashlib.sha256()

    def read(part: Any) -> None:
        if isinstance(part, Tensor):
            found.update(f"{part.dtype} {tuple(part.shape)}".encode())
            found.update(part.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(part, dict):
            for key in part:
                found.update(repr(key).encode())
                read(part[key])
        elif isinstance(part, list | tuple):
            for item in part:
                read(item)
        else:
            found.update(repr(part).encode())

    read(value)
    return found.hexdigest()


def digest(run: Run) -> str:
    """Weights, buffers, optimisers, sums of the log, curve, untouched parameters and failure; not how often resumed."""
    state = {name: value for name, value in run.state().items() if name != "resumed"}
    return bits([state, run.failed])


def advance(run: Run, steps: int | None = None) -> Run:
    """Go on alone, without company and without `fit`."""
    while run.active and steps != 0:
        run.advance()
        steps = None if steps is None else steps - 1
    return run


def saved(run: Run) -> dict[str, Any]:
    """The state as a new process would read it."""
    file = io.BytesIO()
    torch.save(run.state(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)
