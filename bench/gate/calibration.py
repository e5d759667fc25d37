"""A fixed piece of work to measure steps against: ratios to it survive a change of machine far better than seconds.

It has what a step has, convolutions and passes over memory, in PyTorch's own operators. Nothing of the harness is in
it, so that a step made slower shows, and a machine that is slower or busier for a while does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


def workload() -> Callable[[], None]:
    """A function that does the work once: a convolution, a ReLU and a second convolution, forward and backward."""
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
    """The time of a step over that of the work just before and after it, so many times."""
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
    """How long a function takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
