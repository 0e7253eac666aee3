"""Data sets by name: tensors on a device, ways to look at them, splits; public checkpoints; the files behind both.

Loads no torch; what a name stands for is imported when it is loaded.
"""

from kdcore.data.problems import DataProblem, UnknownName
from kdcore.data.registry import ASSETS, Asset, asset, check, get, listing, load, names, verify

__all__ = [
    "ASSETS",
    "Asset",
    "DataProblem",
    "UnknownName",
    "asset",
    "check",
    "get",
    "listing",
    "load",
    "names",
    "verify",
]
