"""Train several seeds of a network side by side on a GPU, in exact arithmetic. This module does not touch any file.

Every seed has the bits that it has alone, and on a CPU. A seed that diverges does not disturb the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import UnusableInput
from bench.network.specification import Architecture
from bench.training import data, exact, randomness
from bench.training.arithmetic.gpu import compiler
from bench.training.arithmetic.gpu.driver import Device
from bench.training.arithmetic.gpu.parts import NotOnGPU
from bench.training.arithmetic.gpu.plan import plan
from bench.training.arithmetic.gpu.runs import GPU, Runs
from bench.training.arithmetic.state import State as ArithmeticState
from bench.training.data import Dataset, Evaluation
from bench.training.loop import Diverged, Epoch, State, made_epoch
from bench.training.recipe import learning_rates

Array = NDArray[Any]


class Images(NamedTuple):
    """The data set as a GPU gets it: images uint8 (N, 28, 28) and labels (N,), of training and test."""

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array


def images_of(dataset: Dataset) -> Images:
    """Return the bytes of a data set that is in the memory of the CPU."""
    images = (data.pixels(one).numpy() for one in (dataset.train_images, dataset.test_images))
    labels = (one.numpy() for one in (dataset.train_labels, dataset.test_labels))
    return Images(next(images), next(labels), next(images), next(labels))


def this_gpu() -> GPU:
    """Return the GPU of this machine, with a stream for the thread that calls this. It compiles each source once.

    Raises:
        UnusableInput: there is none.
    """
    return GPU(Device(), cache(compiler.compiled))


def uncovered(architecture: Architecture) -> tuple[str, ...]:
    """Return what the kernels for a GPU lack to train a network that the exact arithmetic covers."""
    network, state = exact.begin(architecture, 1)
    shapes = {name: one.shape for name, one in state.parameters.items()}
    try:
        plan(exact.program_of(architecture, network), shapes, state.trainable)
    except NotOnGPU as error:
        return tuple(str(error).split("; "))
    return ()


def train(
    architecture: Architecture,
    seeds: Sequence[int],
    images: Images,
    epochs: int,
    starts: Sequence[State | None],
    gpu: GPU,
    sharing: Callable[[], int] | None = None,
) -> Iterator[tuple[State | Diverged, ...]]:
    """Train seeds up to epoch `epochs`, from the beginning or from states that all have as many epochs.

    All memory is taken before this function returns. The result then gives for each seed, epoch by epoch, its state or
    how it diverged. The seconds of an epoch are divided by the number of runs that share the GPU; `sharing` returns it,
    if there are others than these.

    Raises:
        OutOfMemory: the GPU cannot hold so many runs. Nothing has been trained then.
        UnusableInput: the exact arithmetic or the GPU does not have an operation of the network.
    """
    begun = [exact.begin(architecture, seed) for seed in seeds]
    for (network, state), start in zip(begun, starts, strict=True):
        if start is not None:
            exact.load(network, state, start.network, start.optimizer)
    runs = _runs(architecture, begun, gpu)
    try:
        runs.see(*images)
    except MemoryError:
        runs.close()
        raise
    histories = [() if start is None else start.history for start in starts]
    return _epochs(architecture, seeds, begun, histories, epochs, images, runs, sharing or (lambda: len(seeds)))


def _epochs(
    architecture: Architecture,
    seeds: Sequence[int],
    begun: Sequence[tuple[nn.Module, ArithmeticState]],
    histories: list[tuple[Epoch, ...]],
    epochs: int,
    images: Images,
    runs: Runs,
    sharing: Callable[[], int],
) -> Iterator[tuple[State | Diverged, ...]]:
    recipe, count = architecture.recipe, len(images.train_labels)
    first, rates = len(histories[0]), learning_rates(recipe, epochs)
    for _, state in begun:
        state.step = first * -(-count // recipe.batch_size)
    ended: dict[int, Diverged] = {}

    def result(i: int, loss: float, evaluation: Evaluation, seconds: tuple[float, float]) -> State | Diverged:
        """What seed number i has after an epoch."""
        network, state = begun[i]
        if i not in ended:
            try:
                epoch = made_epoch(histories[i], loss, evaluation, seconds, network, lambda: again(i))
            except Diverged as error:
                ended[i] = error
        if i in ended:
            return ended[i]
        histories[i] = (*histories[i], epoch)
        return State(*exact.saved(network, state), histories[i], evaluation.predictions)

    def again(i: int) -> int:
        """The test images that seed number i classifies correctly with the statistics of each batch."""
        return int(runs.evaluate("batch statistics")[1][i])

    try:
        with ThreadPoolExecutor() as pool:

            def orders(number: int) -> list[Future[Tensor]]:
                found = (randomness.seeds(recipe.vary, seed).order for seed in seeds)
                return [pool.submit(randomness.order, seed, number, count) for seed in found]

            following = orders(first + 1)
            for number in range(first + 1, epochs + 1):
                order = numpy.stack([one.result().numpy() for one in following])
                following = orders(number + 1) if number < epochs else []
                times = [time.perf_counter()]
                rate = exact.decimal(rates[number - 1])
                losses = runs.train(order, recipe.batch_size, recipe.momentum, rate) / count
                times.append(time.perf_counter())
                means, correct, digits = runs.evaluate()
                times.append(time.perf_counter())
                runs.fetch()
                seconds = (times[1] - times[0]) / sharing(), (times[2] - times[1]) / sharing()
                yield tuple(
                    result(
                        i,
                        float(losses[i]),
                        Evaluation(int(correct[i]), float(means[i]), torch.from_numpy(digits[i].copy())),
                        seconds,
                    )
                    for i in range(len(seeds))
                )
                if len(ended) == len(seeds):
                    return
    finally:
        runs.close()


def _runs(architecture: Architecture, begun: Sequence[tuple[nn.Module, ArithmeticState]], gpu: GPU) -> Runs:
    program = exact.program_of(architecture, begun[0][0])
    try:
        return Runs(gpu, program, [state for _, state in begun], architecture.recipe.batch_size)
    except NotOnGPU as error:
        problem = f"{architecture.name} has no exact arithmetic on a GPU: {error}"
        raise UnusableInput(f"{problem}: use --devices cpu, or --arithmetic native") from error
