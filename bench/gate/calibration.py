"""A fixed workload to compare training steps with. Such ratios differ much less between machines than seconds do.

The workload has convolutions and passes over memory, like a step, in PyTorch's own operators. It uses no code of the
harness. So a slower step changes the ratio, but a slower or busier machine changes it little. Times are processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


def workload() -> Callable[[], None]:
    """Return a function that does the work once: convolution, ReLU and second convolution, forward and backward."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(32, 16, 28, 28, generator=generator).contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        layers = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
    layers = layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def work() -> None:
        result: Tensor = layers(images)
        result.sum().backward()

    return work


def ratios(step: Callable[[], object], rounds: int) -> list[float]:
    """Return `rounds` ratios: the time of a step over the mean time of the work just before and just after it."""
    work = workload()
    seconds(work)
    found = []
    before = seconds(work)
    for _ in range(rounds):
        taken = seconds(step)
        after = seconds(work)
        found.append(2 * taken / (before + after))
        before = after
    return found


def seconds(function: Callable[[], object]) -> float:
    """Return how many seconds of processor time a function takes: not the time that other programs take."""
    started = time.process_time()
    function()
    return time.process_time() - started
