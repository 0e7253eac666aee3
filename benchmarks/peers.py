"""Public repositories that compute some of our losses: found in a folder, read as they are, never copied.

Each is a plain checkout, in the folder itself or one below it. Files are loaded as parts of packages whose
``__init__`` is left out, since some of these import what is not there.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# Each by a file that only it has.
MARKS = {
    "RepDistiller": "distiller_zoo/NST.py",
    "mdistiller": "mdistiller/distillers/DKD.py",
    "KD-Zoo": "kd_losses/st.py",
    "torchdistill": "torchdistill/losses/mid_level.py",
}
SOURCES = {
    "RepDistiller": "https://github.com/HobbitLong/RepDistiller",
    "mdistiller": "https://github.com/megvii-research/mdistiller",
    "KD-Zoo": "https://github.com/AberHu/Knowledge-Distillation-Zoo",
    "torchdistill": "https://github.com/yoshitomo-matsubara/torchdistill",
}


class Peer(NamedTuple):
    """A repository that was found."""

    name: str
    folder: Path

    @property
    def commit(self) -> str:
        """As git knows it; else what a file ``COMMIT`` in the folder says."""
        if (self.folder / ".git").exists():
            command = ["git", "-C", str(self.folder), "rev-parse", "HEAD"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        note = self.folder / "COMMIT"
        return note.read_text(encoding="utf-8").strip() if note.is_file() else "unknown"

    def module(self, dotted: str) -> ModuleType:
        """One of its files, by its path with dots, together with what that file imports beside it."""
        root = f"peer_{self.name.replace('-', '_').lower()}"
        parts = dotted.split(".")[:-1]
        for depth in range(len(parts) + 1):
            name = ".".join([root, *parts[:depth]])
            if name not in sys.modules:
                package = ModuleType(name)
                package.__path__ = [str(self.folder.joinpath(*parts[:depth]))]
                sys.modules[name] = package
        return importlib.import_module(f"{root}.{dotted}")


def found(folder: Path) -> list[Peer]:
    """All of them under a folder, in the order of their names; none where the folder is not there."""
    if not folder.is_dir():
        return []
    places = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    known = {name: place for place in reversed(places) for name, mark in MARKS.items() if (place / mark).is_file()}
    return [Peer(name, known[name]) for name in sorted(known)]
