"""Training in exact arithmetic: the same bits on every processor. `docs/arithmetic.md` defines it."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import Tensor, nn

from bench.errors import UnusableInput
from bench.network.specification import Architecture
from bench.training import randomness
from bench.training.arithmetic.builder import NotCovered
from bench.training.arithmetic.engine import STATISTICS_BATCH, Engine
from bench.training.arithmetic.merging import merged
from bench.training.arithmetic.program import Program
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.data import Dataset, Evaluation
from bench.training.dropout import Clock, seed_dropout

_AUGMENTATION = "an augmentation"


def uncovered(architecture: Architecture) -> tuple[str, ...]:
    """What stands in the way of training a network in exact arithmetic; nothing if it can be."""
    reasons = (_AUGMENTATION,) if architecture.recipe.augmentation else ()
    network = randomness.build(architecture, 1)
    seed_dropout(network, 1, Clock(), architecture.recipe.dropout)
    try:
        trace(network)
    except NotCovered as error:
        return (*reasons, *str(error).splitlines())
    return reasons


def begin(architecture: Architecture, seed: int) -> tuple[nn.Module, State]:
    """Build a network with its initial weights, and the state of a run that shares memory with it."""
    seeds = randomness.seeds(architecture.recipe.vary, seed)
    network = randomness.build(architecture, seeds.weights)
    seed_dropout(network, seeds.dropout, Clock(), architecture.recipe.dropout)
    parameters = dict(network.named_parameters())
    for one in parameters.values():
        one.data = one.data.contiguous()  # a step changes weights in the order of their memory
    state = State(
        {name: one.detach().numpy() for name, one in parameters.items()},
        {name: one.numpy() for name, one in network.named_buffers()},
        frozenset(name for name, one in parameters.items() if one.requires_grad),
        seeds.dropout,
    )
    return network, state


def program_of(architecture: Architecture, network: nn.Module) -> Program:
    """Trace a network that `begin` has built.

    Raises:
        UnusableInput: the exact arithmetic does not have an operation of the network, or an augmentation.
    """
    try:
        if architecture.recipe.augmentation:
            raise NotCovered(_AUGMENTATION)
        return trace(network)
    except NotCovered as error:
        missing = "; ".join(str(error).splitlines())
        raise UnusableInput(
            f"{architecture.name} has no exact arithmetic: {missing}: use --arithmetic native"
        ) from error


def decimal(rate: float) -> float:
    """Return the learning rate of an epoch without the last digits, which may come from a library's cosine."""
    return float(f"{rate:.12g}")


def saved(network: nn.Module, state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return copies of weights and buffers, and of the velocities."""
    copies = {name: one.detach().clone() for name, one in network.state_dict().items()}
    return copies, {name: torch.from_numpy(one.copy()) for name, one in state.velocities.items()}


def load(network: nn.Module, state: State, weights: dict[str, Tensor], velocities: dict[str, Any]) -> None:
    """Go on from what `saved` returned."""
    network.load_state_dict(weights)  # in place, so that the state sees it
    for name, one in velocities.items():
        state.velocities[name][:] = one.numpy()


class ExactTrainer:
    """A network in training, on the CPU."""

    def __init__(self, architecture: Architecture, seed: int) -> None:
        """Build the network with its initial weights.

        Raises:
            UnusableInput: the exact arithmetic does not have an operation of the network, or an augmentation.
        """
        self._recipe = architecture.recipe
        self.network, state = begin(architecture, seed)
        self.engine = Engine(merged(program_of(architecture, self.network)), state)

    def train(self, dataset: Dataset, order: Tensor, first_step: int, rate: float) -> float:
        """Take one step for each batch of `order`, which has indices of training images (N,).

        Return the mean of each image's loss in its own step. `first_step` counts the steps of the epochs before.
        """
        images, labels, state = _channels_last(dataset.train_images), dataset.train_labels.numpy(), self.engine.state
        total = 0.0
        for number, batch in enumerate(order.split(self._recipe.batch_size)):
            state.step = first_step + number
            chosen = batch.numpy()
            total += self.engine.step(images[chosen], labels[chosen], self._recipe.momentum, decimal(rate))
        return total / len(order)

    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Evaluate the network on the test images."""
        labels = dataset.test_labels.numpy()
        loss, digits = self.engine.evaluate(_channels_last(dataset.test_images), labels)
        return Evaluation(int((digits == labels).sum()), loss, torch.from_numpy(digits))

    def correct_with_batch_statistics(self, dataset: Dataset) -> int:
        """The test images classified correctly if each batch is normalised by its own statistics."""
        images, labels = _channels_last(dataset.test_images), dataset.test_labels.numpy()
        correct = 0
        for first in range(0, len(labels), STATISTICS_BATCH):
            batch = slice(first, first + STATISTICS_BATCH)
            _, digits = self.engine.evaluate(images[batch], labels[batch], "batch statistics")
            correct += int((digits == labels[batch]).sum())
        return correct

    def saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of weights and buffers, and of the velocities."""
        return saved(self.network, self.engine.state)

    def load(self, network: dict[str, Tensor], optimizer: dict[str, Any]) -> None:
        """Go on from what `saved` gave."""
        load(self.network, self.engine.state, network, optimizer)


def _channels_last(images: Tensor) -> Any:
    """Images (N, 1, 28, 28) as an array (N, 28, 28, 1), over the same memory."""
    return numpy.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
