"""Several ways to train in turn, round by round, and where the time of one of them goes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import torch
from measure import wait

Steps = Callable[[int], object]  # trains for so many steps
SHOWN = 12


def interleaved(
    contenders: Mapping[str, Steps], rounds: int, steps: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of so many steps of each in every round, another one first each time; whatever happens happens to all."""
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(_seconds(contenders[name], steps, device))
    return seconds


def _seconds(run: Steps, steps: int, device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    run(steps)
    wait(device)
    return time.perf_counter() - start


def shares(run: Steps, steps: int, device: torch.device) -> list[tuple[str, float]]:
    """What the time of so many steps went to, largest first: on a GPU its kernels, and how long it waited for one."""
    from torch.profiler import DeviceType, ProfilerActivity, profile

    kind = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    seconds = _seconds(run, steps, device)
    activities = [ProfilerActivity.CUDA] if kind == DeviceType.CUDA else [ProfilerActivity.CPU]
    with profile(activities=activities) as seen:
        run(steps)
        wait(device)
    spent: Counter[str] = Counter()
    for event in seen.key_averages():
        if event.device_type == kind:
            spent[event.key] += event.self_device_time_total if kind == DeviceType.CUDA else event.self_cpu_time_total
    whole = spent.total()
    if kind == DeviceType.CUDA:
        whole = max(whole, 1e6 * seconds)
        spent["no kernel running"] = whole - spent.total()
    return [(name[:90], time / whole) for name, time in spent.most_common(SHOWN)]
