"""The process that measures one training loop: `python -m bench.gate.pace NETWORK plain|attentive|ours DATA`.

It prints `ready`. Then it answers each line of standard input, a word and a number, with a line of JSON:

- `train SECONDS`: train for so many seconds; the answer has the images and the seconds.
- `peak SECONDS`: the fused multiply-adds in a second of processor time, measured for so many seconds.
- `share STEPS`: take so many steps of ours; the answer has the images, and the processor time: all, and convolutions.
- `ratios STEPS`: the times of so many steps, relative to the calibration.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.gate import attentive, calibration, peak, plain
from bench.network.specification import Architecture
from bench.training import data, environment, randomness
from bench.training.arithmetic import convolution
from bench.training.exact import ExactTrainer
from models import ARCHITECTURES

WARM_UP = 4  # steps
_PASSES = ("forward", "input_gradient", "add_filter_gradient")


def ours(architecture: Architecture, root: Path) -> Iterator[int]:
    """Train as the harness does. Yield the number of images of every step."""
    dataset, recipe = data.load(root), architecture.recipe
    trainer, step = ExactTrainer(architecture, 1), 0
    for epoch in itertools.count(1):
        order = randomness.order(1, epoch, len(dataset.train_labels))
        for indices in order.split(recipe.batch_size):
            trainer.train(dataset, indices, step, recipe.learning_rate)
            step += 1
            yield len(indices)


def measure(steps: Iterator[int], seconds: float) -> dict[str, float]:
    """Take steps for so many seconds. Return the number of images, and the seconds that passed."""
    started, images = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        images += next(steps)
    return {"images": images, "seconds": elapsed}


def convolution_share(steps: Iterator[int], count: int) -> dict[str, float]:
    """Take so many steps. Return their images, and the processor time in seconds: all, and that of convolutions."""
    with _convolutions_timed() as times:
        started = time.thread_time()
        images = sum(next(steps) for _ in range(count))
        elapsed = time.thread_time() - started
    return {"images": images, "seconds": elapsed, "convolutions": sum(times)}


@contextmanager
def _convolutions_timed() -> Iterator[list[float]]:
    """Append the processor time of each pass of a convolution to a list, as long as the context lasts."""
    times: list[float] = []

    def timed(function: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            started = time.thread_time()
            function(*arguments)
            times.append(time.thread_time() - started)

        return run

    functions = {name: getattr(convolution, name) for name in _PASSES}
    try:
        for name, function in functions.items():
            setattr(convolution, name, timed(function))
        yield times
    finally:
        for name, function in functions.items():
            setattr(convolution, name, function)


def main() -> None:
    """Answer the lines of standard input until it ends."""
    name, kind, root = sys.argv[1:]
    if kind == "ours":
        environment.configure("cpu")
    loop = {"plain": plain.steps, "attentive": attentive.steps, "ours": ours}[kind]
    steps = loop(ARCHITECTURES[name], Path(root))
    for _ in range(WARM_UP):
        next(steps)
    answers: dict[str, Callable[[float], object]] = {
        "train": lambda seconds: measure(steps, seconds),
        "peak": peak.peak,
        "share": lambda count: convolution_share(steps, int(count)),
        "ratios": lambda rounds: calibration.ratios(lambda: next(steps), int(rounds)),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        word, number = line.split()
        print(json.dumps(answers[word](float(number))), flush=True)


if __name__ == "__main__":
    main()
