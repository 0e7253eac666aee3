"""Checkpoints that are whole or absent: written to a temporary, synced, renamed."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

import torch

FORMAT = "kdcore run 1"


class DamagedCheckpoint(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to something else."""


def save(state: dict[str, Any], path: Path) -> None:
    """Replace the checkpoint at `path` in one step; an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Take away a checkpoint, and what processes that were killed while they wrote it have left."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint, tensors and plain values only.

    Raises:
        DamagedCheckpoint: the file is truncated, foreign, or holds anything but tensors and plain values.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes happen to look like
        raise DamagedCheckpoint(f"{path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise DamagedCheckpoint(f"{path.name} is no checkpoint of a run")
    return state
