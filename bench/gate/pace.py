"""The process that measures one training loop: `python -m bench.gate.pace NETWORK plain|ours DATA`.

It prints `ready`. Then it answers each line of standard input, a word and a number, with a line of JSON:

- `train SECONDS`: train for so many seconds; the answer has the images and the seconds.
- `peak SECONDS`: multiply large matrices; the answer has the multiply-accumulates and the seconds.
- `share STEPS`: the part of the time of so many steps that convolutions take.
- `ratios STEPS`: the times of so many steps, relative to the calibration.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bench.gate import calibration, plain
from bench.network.specification import Architecture
from bench.training import data, environment, loop, randomness
from models import ARCHITECTURES

WARM_UP = 4  # steps
PEAK_SIDE = 2048
_CONVOLUTIONS = (
    "_Winograd",
    "_WinogradBackward",
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::_slow_conv2d_forward",
)


def ours(architecture: Architecture, root: Path) -> Iterator[int]:
    """Train as the harness does. Yield the number of images of every step."""
    dataset = data.load(root)
    trainee = loop.prepare(architecture, 1, "cpu")
    for epoch in itertools.count(1):
        order = randomness.order(1, epoch, len(dataset.train_labels))
        for indices in order.split(architecture.recipe.batch_size):
            loop.train_on(trainee, dataset, [indices])
            yield len(indices)


def measure(steps: Iterator[int], seconds: float) -> dict[str, float]:
    """Take steps for so many seconds. Return the number of images, and the seconds that passed."""
    started, images = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        images += next(steps)
    return {"images": images, "seconds": elapsed}


def convolution_share(steps: Iterator[int], count: int) -> float:
    """Return the part of the time of so many steps that convolutions take, forward and backward."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(count):
            next(steps)
    times = {event.key: float(event.self_cpu_time_total) for event in profile.key_averages()}
    return sum(times.get(name, 0.0) for name in _CONVOLUTIONS) / sum(times.values())


def peak(seconds: float) -> dict[str, float]:
    """Multiply large float32 matrices. Return the multiply-accumulates, and the seconds that passed."""
    matrix = torch.rand(PEAK_SIDE, PEAK_SIDE)
    result = torch.empty_like(matrix)
    torch.mm(matrix, matrix, out=result)
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        torch.mm(matrix, matrix, out=result)
        count += 1
    return {"work": float(count * PEAK_SIDE**3), "seconds": elapsed}


def main() -> None:
    """Answer the lines of standard input until it ends."""
    name, kind, root = sys.argv[1:]
    if kind == "ours":
        environment.configure("cpu")
    loop = {"plain": plain.steps, "ours": ours}[kind]
    steps = loop(ARCHITECTURES[name], Path(root))
    for _ in range(WARM_UP):
        next(steps)
    answers: dict[str, Callable[[float], object]] = {
        "train": lambda seconds: measure(steps, seconds),
        "peak": peak,
        "share": lambda count: convolution_share(steps, int(count)),
        "ratios": lambda rounds: calibration.ratios(lambda: next(steps), int(rounds)),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        word, number = line.split()
        print(json.dumps(answers[word](float(number))), flush=True)


if __name__ == "__main__":
    main()
