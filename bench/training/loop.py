"""One run: a network trained on one device, an epoch at a time. Nothing here touches a file.

What a run computes depends on its architecture, seed, device and environment alone. The step is the documents': plain
SGD with momentum on the mean negative log-likelihood of a batch, every image once an epoch, the short last batch kept.
A recipe may have a schedule, which gives every epoch its learning rate, and an augmentation of each batch. The test set
is evaluated after every epoch.
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
COLLAPSE = 50  # images lost against the best epoch so far, from which an epoch is evaluated a second time


@dataclass(frozen=True)
class Epoch:
    """What came out of one epoch; all but the seconds is reproducible bit for bit.

    `correct` of `total` test images are classified correctly; losses are mean negative log-likelihoods, summed in
    float64. `smallest_variance` is the smallest running variance of any BatchNorm channel, None without BatchNorm.
    `correct_batch_statistics` counts the same weights with each batch normalised by its own statistics; it is measured
    when `correct` is more than 50 below the best epoch so far, else None.
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
    """All that training needs to go on after an epoch as if it had never stopped.

    `network` has weights and BatchNorm buffers, `optimizer` the momentum; `history` is every epoch so far.
    `predictions` are the digits the network sees in the test images, uint8 (total,).
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
    """Train to epoch `epochs`, from the beginning or from a state; yields the state after each epoch.

    The dataset must be on `device`. The last of a state's `history` is the epoch just finished. On the CPU the passes
    of `arithmetic.fuse` are used; without `fused` it is PyTorch's own operators everywhere, which is the reference.

    Raises:
        Diverged: the loss of an epoch is not finite.
    """
    trainee = prepare(architecture, seed, device, fused)
    history: tuple[Epoch, ...] = ()
    if start is not None:
        trainee.network.load_state_dict(start.network)
        trainee.optimizer.load_state_dict(_copied(start.optimizer))  # it would go on to change what it is given
        history = start.history
    batch_size = architecture.recipe.batch_size
    steps_per_epoch = -(-len(dataset.train_labels) // batch_size)
    rates = learning_rates(architecture.recipe, epochs)
    for number in range(len(history) + 1, epochs + 1):
        trainee.clock.step = (number - 1) * steps_per_epoch
        for group in trainee.optimizer.param_groups:
            group["lr"] = rates[number - 1]
        order = randomness.order(seed, number, len(dataset.train_labels)).to(device)
        started = _now(device)
        train_loss = train_on(trainee, dataset, order.split(batch_size))
        trained = _now(device)
        if not math.isfinite(train_loss):
            raise Diverged(f"the training loss of epoch {number} is {train_loss}")
        evaluation = evaluate(trainee.forward, dataset.test_images, dataset.test_labels)
        seconds = trained - started, _now(device) - trained
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
            _copied(trainee.network.state_dict()),
            _copied(trainee.optimizer.state_dict()),
            history,
            evaluation.predictions,
        )


@dataclass(frozen=True)
class Trainee:
    """A network in training: its module, what computes its forward pass, its optimizer and its count of steps.

    `seed` is the run's, from which everything is drawn that the network or the augmentation draws.
    """

    network: nn.Module
    forward: nn.Module
    optimizer: torch.optim.Optimizer
    clock: Clock
    seed: int
    augmentation: Augmentation | None


def prepare(architecture: Architecture, seed: int, device: str, fused: bool = True) -> Trainee:
    """A network with its initial weights, ready for its first step on a device."""
    network = randomness.build(architecture, seed).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    clock, recipe = Clock(), architecture.recipe
    seed_dropout(network, seed, clock, recipe.dropout)
    forward = fuse(network) if fused and device == "cpu" else network
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    augmentation = Augmentation(recipe.augmentation) if recipe.augmentation else None
    return Trainee(network, forward, optimizer, clock, seed, augmentation)


def train_on(trainee: Trainee, dataset: Dataset, batches: Sequence[Tensor]) -> float:
    """One step for each batch of indices (N,); the mean loss over the images as they were seen."""
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
    """One step of training on a batch; its mean loss, a scalar tensor on the device."""
    optimizer.zero_grad(set_to_none=True)
    loss = F.nll_loss(network(images.contiguous(memory_format=torch.channels_last)), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


@dataclass(frozen=True)
class Evaluation:
    """Images classified correctly, mean negative log-likelihood, and the digit seen in each image, uint8 (N,)."""

    correct: int
    loss: float
    predictions: Tensor


def evaluate(network: nn.Module, images: Tensor, labels: Tensor) -> Evaluation:
    """Evaluate a network on images (N, 1, 28, 28) with labels (N,), leaving it in evaluation mode."""
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
    """Correct test images with BatchNorm using each batch's statistics; the network's own are left as they were."""
    before = _copied(network.state_dict())
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


def _copied(state: Any) -> Any:
    """A state dictionary on the CPU that further training does not change."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state


def _now(device: str) -> float:
    """Seconds of a monotonic clock once the device has done all that was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
