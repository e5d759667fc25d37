"""Train one network on one device, epoch by epoch. This module does not touch any file.

The results of a run depend only on its architecture, seed, device and environment. The step is that of the documents:
plain SGD with momentum on the mean negative log-likelihood of a batch. An epoch uses every image once and keeps the
short last batch. A recipe can have a schedule, which gives every epoch its learning rate, and an augmentation of each
batch. The test set is evaluated after every epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.network.specification import Architecture
from bench.training import randomness
from bench.training.arithmetic.fuse import fuse
from bench.training.data import Dataset
from bench.training.dropout import Clock, seed_dropout
from bench.training.randomness import Purpose
from bench.training.recipe import Augmentation, learning_rates

EVALUATION_BATCH = 250
COLLAPSE = 50  # images; an epoch that is further than this below the best epoch so far is evaluated a second time


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch. All of them except the seconds are reproducible bit for bit.

    `correct` of `total` test images are classified correctly. The losses are mean negative log-likelihoods, summed in
    float64. `smallest_variance` is the smallest running variance of any BatchNorm channel, or None without BatchNorm.
    `correct_batch_statistics` counts the correct images with the same weights when BatchNorm uses the statistics of
    each batch. It is measured when `correct` is more than 50 below the best epoch so far. Otherwise it is None.
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
    fused: bool = True,
) -> Iterator[State]:
    """Train up to epoch `epochs`, from the beginning or from a state. Yield the state after each epoch.

    The dataset must be on `device`. The last entry of a state's `history` is the epoch that has just finished. On the
    CPU, training uses the passes of `arithmetic.fuse`. Without `fused`, and on other devices, it uses PyTorch's own
    operators, which are the reference.

    Raises:
        Diverged: the loss of an epoch is not finite.
    """
    trainee = prepare(architecture, seed, device, fused)
    history: tuple[Epoch, ...] = ()
    if start is not None:
        trainee.network.load_state_dict(start.network)
        trainee.optimizer.load_state_dict(_copy(start.optimizer))  # the optimizer changes the tensors that it gets
        history = start.history
    batch_size = architecture.recipe.batch_size
    steps_per_epoch = -(-len(dataset.train_labels) // batch_size)
    rates = learning_rates(architecture.recipe, epochs)
    for number in range(len(history) + 1, epochs + 1):
        trainee.clock.step = (number - 1) * steps_per_epoch
        for group in trainee.optimizer.param_groups:
            group["lr"] = rates[number - 1]
        order = randomness.order(seed, number, len(dataset.train_labels)).to(device)
        started = _seconds(device)
        train_loss = train_on(trainee, dataset, order.split(batch_size))
        trained = _seconds(device)
        if not math.isfinite(train_loss):
            raise Diverged(f"the training loss of epoch {number} is {train_loss}")
        evaluation = evaluate(trainee.forward, dataset.test_images, dataset.test_labels)
        seconds = trained - started, _seconds(device) - trained
        if not math.isfinite(evaluation.loss):
            raise Diverged(f"the test loss of epoch {number} is {evaluation.loss}")
        best = max((epoch.correct for epoch in history), default=0)
        collapsed = evaluation.correct < best - COLLAPSE
        epoch = Epoch(
            epoch=number,
            correct=evaluation.correct,
            total=len(dataset.test_labels),
            test_loss=evaluation.loss,
            train_loss=train_loss,
            train_seconds=seconds[0],
            eval_seconds=seconds[1],
            smallest_variance=_smallest_variance(trainee.network),
            correct_batch_statistics=_evaluate_with_batch_statistics(trainee.network, dataset) if collapsed else None,
        )
        history = (*history, epoch)
        yield State(
            _copy(trainee.network.state_dict()),
            _copy(trainee.optimizer.state_dict()),
            history,
            evaluation.predictions,
        )


@dataclass(frozen=True)
class Trainee:
    """A network in training, with its optimizer and its count of steps.

    `network` is the module that has the weights. `forward` is the module that computes the forward pass. All random
    numbers of the network and of the augmentation come from `seed`, the seed of the run.
    """

    network: nn.Module
    forward: nn.Module
    optimizer: torch.optim.Optimizer
    clock: Clock
    seed: int
    augmentation: Augmentation | None


def prepare(architecture: Architecture, seed: int, device: str, fused: bool = True) -> Trainee:
    """Build a network with its initial weights, ready for its first step on a device."""
    network = randomness.build(architecture, seed).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    clock, recipe = Clock(), architecture.recipe
    seed_dropout(network, seed, clock, recipe.dropout)
    forward = fuse(network) if fused and device == "cpu" else network
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    augmentation = Augmentation(recipe.augmentation) if recipe.augmentation else None
    return Trainee(network, forward, optimizer, clock, seed, augmentation)


def train_on(trainee: Trainee, dataset: Dataset, batches: Sequence[Tensor]) -> float:
    """Take one step for each batch of indices (N,). Return the mean of each image's loss in its own step."""
    trainee.forward.train()
    losses = []
    with randomness.generators_restored():
        for indices in batches:
            images, labels = dataset.train_images[indices], dataset.train_labels[indices]
            if trainee.augmentation is not None:
                randomness.seed_generators(trainee.seed, Purpose.AUGMENTATION, trainee.clock.step)
                images = trainee.augmentation(images)
            randomness.seed_generators(trainee.seed, Purpose.NETWORK, trainee.clock.step)
            losses.append(step(trainee.forward, trainee.optimizer, images, labels))
            trainee.clock.step += 1
    sizes = torch.tensor([len(indices) for indices in batches], dtype=torch.float64)
    return float((torch.stack(losses).cpu().double() * sizes).sum() / sizes.sum())


def step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    """Take one training step on a batch. Return its mean loss, a scalar tensor on the device."""
    optimizer.zero_grad(set_to_none=True)
    loss = F.nll_loss(network(images.contiguous(memory_format=torch.channels_last)), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


@dataclass(frozen=True)
class Evaluation:
    """The number of correct images, the mean negative log-likelihood and the predicted digits, uint8 (N,)."""

    correct: int
    loss: float
    predictions: Tensor


def evaluate(network: nn.Module, images: Tensor, labels: Tensor) -> Evaluation:
    """Evaluate a network on images (N, 1, 28, 28) with labels (N,). Leave the network in evaluation mode."""
    network.eval()
    predictions, loss = [], 0.0
    with torch.no_grad():
        for batch, wanted in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            scores = network(batch.contiguous(memory_format=torch.channels_last))
            predictions.append(scores.argmax(dim=1))
            loss -= float(scores.gather(1, wanted.unsqueeze(1)).cpu().double().sum())
    seen = torch.cat(predictions)
    return Evaluation(int((seen == labels).sum()), loss / len(labels), seen.to("cpu", torch.uint8))


def _evaluate_with_batch_statistics(network: nn.Module, dataset: Dataset) -> int:
    """Count the correct test images when BatchNorm uses the statistics of each batch. The network does not change."""
    before = _copy(network.state_dict())
    normalisations = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    predictions = []
    for module in normalisations:
        module.train()
    with torch.no_grad():
        for batch in dataset.test_images.split(EVALUATION_BATCH):
            predictions.append(network(batch.contiguous(memory_format=torch.channels_last)).argmax(dim=1))
    network.load_state_dict(before)
    return int((torch.cat(predictions) == dataset.test_labels).sum())


def _smallest_variance(network: nn.Module) -> float | None:
    variances = [
        float(module.running_var.min())
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None
    ]
    return min(variances, default=None)


def _copy(state: Any) -> Any:
    """Return a copy of a state dictionary on the CPU, so that further training does not change it."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copy(value) for value in state]
    return state


def _seconds(device: str) -> float:
    """Wait until the device has finished its work, then return the seconds of a monotonic clock."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
