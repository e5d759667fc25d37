"""Train one network on one device, epoch by epoch. This module does not touch any file.

The results of a run depend only on its architecture, seed, device and environment. The step is that of the documents:
plain SGD with momentum on the mean negative log-likelihood of a batch. An epoch uses every image once and keeps the
short last batch. A recipe can have a schedule, which gives every epoch its learning rate, and an augmentation of each
batch. The test set is evaluated after every epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.network.specification import Architecture, Arithmetic, largest_fall
from bench.training import randomness
from bench.training.data import Dataset, Evaluation
from bench.training.exact import ExactTrainer
from bench.training.native import NativeTrainer
from bench.training.recipe import learning_rates


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch. All of them except the seconds are reproducible bit for bit.

    `correct` of `total` test images are classified correctly. The losses are mean negative log-likelihoods, summed in
    float64. `smallest_variance` is the smallest running variance of any BatchNorm channel, or None without BatchNorm.
    `correct_batch_statistics` counts the correct images with the same weights when BatchNorm uses the statistics of
    each batch. It is measured when the epoch has collapsed. Otherwise it is None.
    """

    epoch: int
    correct: int
    total: int
    test_loss: float
    train_loss: float
    train_seconds: float
    eval_seconds: float
    smallest_variance: float | None
    correct_batch_statistics: int | None


@dataclass(frozen=True)
class State:
    """Everything that training needs to continue after an epoch as if it had never stopped.

    `network` has the weights and BatchNorm buffers. `optimizer` has the momentum. `history` has every epoch so far.
    `predictions` has the digit that the network predicts for each test image, uint8 (total,).
    """

    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    history: tuple[Epoch, ...]
    predictions: Tensor


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


def train(
    architecture: Architecture,
    seed: int,
    device: str,
    dataset: Dataset,
    epochs: int,
    start: State | None = None,
    arithmetic: Arithmetic = "exact",
) -> Iterator[State]:
    """Train up to epoch `epochs`, from the beginning or from a state. Yield the state after each epoch.

    The dataset must be on `device`. The last entry of a state's `history` is the epoch that has just finished.

    Raises:
        Diverged: the loss of an epoch is not finite.
        UnusableInput: the exact arithmetic does not have an operation of the network.
    """
    trainer = ExactTrainer(architecture, seed) if arithmetic == "exact" else NativeTrainer(architecture, seed, device)
    history: tuple[Epoch, ...] = ()
    if start is not None:
        trainer.load(start.network, start.optimizer)
        history = start.history
    steps_per_epoch = -(-len(dataset.train_labels) // architecture.recipe.batch_size)
    rates = learning_rates(architecture.recipe, epochs)
    order_seed = randomness.seeds(architecture.recipe.vary, seed).order
    for number in range(len(history) + 1, epochs + 1):
        order = randomness.order(order_seed, number, len(dataset.train_labels))
        started = _seconds(device)
        train_loss = trainer.train(dataset, order, (number - 1) * steps_per_epoch, rates[number - 1])
        trained = _seconds(device)
        evaluation = trainer.evaluate(dataset)
        seconds = trained - started, _seconds(device) - trained
        again = partial(trainer.correct_with_batch_statistics, dataset)
        epoch = made_epoch(history, train_loss, evaluation, seconds, trainer.network, again)
        history = (*history, epoch)
        yield State(*trainer.saved(), history, evaluation.predictions)


def made_epoch(
    history: Sequence[Epoch],
    train_loss: float,
    evaluation: Evaluation,
    seconds: tuple[float, float],
    network: nn.Module,
    correct_with_batch_statistics: Callable[[], int],
) -> Epoch:
    """Return the epoch that follows `history`. An epoch that has collapsed is evaluated once more.

    Raises:
        Diverged: a loss is not finite.
    """
    number, total = len(history) + 1, len(evaluation.predictions)
    for kind, loss in (("training", train_loss), ("test", evaluation.loss)):
        if not math.isfinite(loss):
            raise Diverged(f"the {kind} loss of epoch {number} is {loss}")
    best = max((epoch.correct for epoch in history), default=0)
    collapsed = evaluation.correct < best - largest_fall(total)
    return Epoch(
        epoch=number,
        correct=evaluation.correct,
        total=total,
        test_loss=evaluation.loss,
        train_loss=train_loss,
        train_seconds=seconds[0],
        eval_seconds=seconds[1],
        smallest_variance=_smallest_variance(network),
        correct_batch_statistics=correct_with_batch_statistics() if collapsed else None,
    )


def _smallest_variance(network: nn.Module) -> float | None:
    variances = [
        float(module.running_var.min())
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None
    ]
    return min(variances, default=None)


def _seconds(device: str) -> float:
    """Wait until the device has finished its work, then return the seconds of a monotonic clock."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
