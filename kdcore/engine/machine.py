"""What a recipe fixes about the machine: threads, determinism, compilation, and the promise that follows."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn

from kdcore.recipe import Recipe

log = logging.getLogger(__name__)
STEP_REVISION = 1  # raised in the commit that changes the numbers of a step
EAGER = "same bits alone, in company and after interruption, on one CPU model with the same versions"
GROUPED = "same bits when repeated or resumed with the same group on the same device and versions"
RECOMPILES = 64  # versions of one network's code: sizes of a batch, modes, networks of one class
_faults: dict[str, str] = {}  # by kind of device, what `compiler_fault` has found


def prepare(recipe: Recipe, device: torch.device | str = "cpu") -> torch.device:
    """Set what the recipe fixes, never what the machine suggests: threads and deterministic algorithms."""
    device = torch.device(device)
    torch.set_num_threads(recipe.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # the same switch without the import of a compiler, three seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # it would write every empty tensor twice
    torch.backends.cudnn.benchmark = False
    return device


def arithmetic(precision: str, device: torch.device | str) -> AbstractContextManager:
    """The precision in which networks are asked; parameters stay in single precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def free_bytes(device: torch.device | str) -> int | None:
    """Memory that is free on a device; None where it does not say."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def promise(recipe: Recipe, device: torch.device | str) -> str:
    """The promise about equality under which a run with this recipe on this device is made."""
    return EAGER if torch.device(device).type == "cpu" and not recipe.compile else GROUPED


def compile_network(network: nn.Module, how: bool | str = True, device: torch.device | str = "cpu") -> nn.Module:
    """Compile a network in place as a recipe says; where nothing can compile, say so in one line and stay eager.

    A parameter that no loss reaches has no gradient in an eager network and one of zeros in a compiled one: weight
    decay then moves it, and it is not among those that a record calls untouched. Nothing that is answered changes.

    Args:
        network: it keeps its names and its class, so that it is saved and read as before.
        how: False for not at all, True for its kernels, ``graphs`` to replay them as CUDA graphs too, which saves
            what launching them costs; on another device that is the same as True.
        device: where it runs.
    """
    kind = torch.device(device).type
    if not how or compiler_fault(kind):
        return network
    torch._dynamo.config.recompile_limit = RECOMPILES
    torch._inductor.config.fallback_random = True  # dropout draws the numbers that it draws in eager mode
    replayed = how == "graphs" and kind == "cuda"
    network.compile(dynamic=False, mode="reduce-overhead" if replayed else None)
    return network


def compiler_fault(kind: str) -> str:
    """Why nothing can be compiled for this kind of device, empty where it can: one addition is tried, and once."""
    if kind not in _faults:
        _faults[kind] = _tried(kind)
        if _faults[kind]:
            log.warning("no working compiler (%s): the networks stay eager", _faults[kind])
    return _faults[kind]


def _tried(kind: str) -> str:
    try:
        if kind == "cpu":
            from torch._inductor.cpp_builder import get_cpp_compiler

            get_cpp_compiler()  # at once, where compiling takes seconds
        with warnings.catch_warnings(action="ignore"):  # of torch about itself
            torch.compile(_addition)(torch.ones(2, device=kind))
    except Exception as error:  # the inductor has a zoo of errors for one fact: nothing here can compile
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def _addition(values: torch.Tensor) -> torch.Tensor:
    return values + 1


def begin_step(recipes: Iterable[Recipe], device: torch.device | str) -> None:
    """Tell CUDA graphs that answers of the step before are no longer needed; within a step all of them stay whole."""
    if torch.device(device).type == "cuda" and any(recipe.compile == "graphs" for recipe in recipes):
        torch.compiler.cudagraph_mark_step_begin()
