"""What a recipe fixes about the machine: threads, determinism, compilation, and the promise that follows."""

from __future__ import annotations

import logging
import os

import torch
from torch import nn

from kdcore.recipe import Recipe

log = logging.getLogger(__name__)
STEP_REVISION = 1  # raised in the commit that changes the numbers of a step
EAGER = "same bits alone, in company and after interruption, on one CPU model with the same versions"
GROUPED = "same bits when repeated or resumed with the same group on the same device and versions"


def prepare(recipe: Recipe, device: torch.device | str = "cpu") -> torch.device:
    """Set what the recipe fixes, never what the machine suggests: threads and deterministic algorithms."""
    device = torch.device(device)
    torch.set_num_threads(recipe.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # the same switch without the import of a compiler, three seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # it would write every empty tensor twice
    torch.backends.cudnn.benchmark = False
    return device


def promise(recipe: Recipe, device: torch.device | str) -> str:
    """The promise about equality under which a run with this recipe on this device is made."""
    return EAGER if torch.device(device).type == "cpu" and not recipe.compile else GROUPED


def compile_network(network: nn.Module) -> nn.Module:
    """Compile a network in place where a compiler is at hand; otherwise say so in one line and stay eager."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:  # the inductor has a zoo of errors for one fact: nothing here can compile
        log.warning("no working compiler (%s): the networks stay eager", str(error).splitlines()[0])
        return network
    network.compile()
    return network
