"""Training by PyTorch's operators, on any device: the native arithmetic.

Its bits depend on the release of PyTorch, the processor or GPU, and more; see `environment`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.network.specification import Architecture
from bench.training import randomness
from bench.training.data import Dataset, Evaluation
from bench.training.dropout import Clock, seed_dropout
from bench.training.randomness import Purpose
from bench.training.recipe import Augmentation

EVALUATION_BATCH = 250

_TRIED = 4  # images to compare two memory formats on


class NativeTrainer:
    """A network in training, with its optimizer and its count of steps.

    All random numbers of the network and of the augmentation come from `seed`, the seed of the run, and from what the
    recipe varies.
    """

    def __init__(self, architecture: Architecture, seed: int, device: str) -> None:
        """Build the network with its initial weights, ready for its first step on a device."""
        recipe = architecture.recipe
        self._seeds = randomness.seeds(recipe.vary, seed)
        self.memory_format = memory_format(architecture)
        self.network: nn.Module = randomness.build(architecture, self._seeds.weights).to(device)
        if self.memory_format == torch.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.clock = Clock()
        seed_dropout(self.network, self._seeds.dropout, self.clock, recipe.dropout)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
        self._batch_size = recipe.batch_size
        self.augmentation = Augmentation(recipe.augmentation) if recipe.augmentation else None

    def train(self, dataset: Dataset, order: Tensor, first_step: int, rate: float) -> float:
        """Take one step for each batch of `order`, which has indices of training images (N,).

        Return the mean of each image's loss in its own step. `first_step` counts the steps of the epochs before.
        """
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses, batches = [], order.to(dataset.train_images.device).split(self._batch_size)
        with randomness.generators_restored():
            for step, indices in enumerate(batches, start=first_step):
                self.clock.begin(step)
                images, labels = dataset.train_images[indices], dataset.train_labels[indices]
                if self.augmentation is not None:
                    randomness.seed_generators(self._seeds.order, Purpose.AUGMENTATION, step)
                    images = self.augmentation(images)
                randomness.seed_generators(self._seeds.dropout, Purpose.NETWORK, step)
                losses.append(self.step(images, labels))
        sizes = torch.tensor([len(indices) for indices in batches], dtype=torch.float64)
        return float((torch.stack(losses).cpu().double() * sizes).sum() / sizes.sum())

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one training step on a batch. Return its mean loss, a scalar tensor on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.nll_loss(self.network(images.contiguous(memory_format=self.memory_format)), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Evaluate the network on the test images. Leave it in evaluation mode."""
        self.network.eval()
        predictions, loss = [], 0.0
        with torch.no_grad():
            batches = dataset.test_images.split(EVALUATION_BATCH), dataset.test_labels.split(EVALUATION_BATCH)
            for batch, wanted in zip(*batches, strict=True):
                scores = self.network(self._copied(batch))
                predictions.append(scores.argmax(dim=1))
                loss -= float(scores.gather(1, wanted.unsqueeze(1)).cpu().double().sum())
        seen = torch.cat(predictions)
        correct = int((seen == dataset.test_labels).sum())
        return Evaluation(correct, loss / len(dataset.test_labels), seen.to("cpu", torch.uint8))

    def correct_with_batch_statistics(self, dataset: Dataset) -> int:
        """Count the correct test images when BatchNorm uses the statistics of each batch. Nothing else changes."""
        before = copied(self.network.state_dict())
        self.network.eval()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        predictions = []
        with torch.no_grad():
            for batch in dataset.test_images.split(EVALUATION_BATCH):
                predictions.append(self.network(self._copied(batch)).argmax(dim=1))
        self.network.load_state_dict(before)
        return int((torch.cat(predictions) == dataset.test_labels).sum())

    def _copied(self, images: Tensor) -> Tensor:
        """Return images of a data set as a network gets them, which may change them in place."""
        return images.clone(memory_format=self.memory_format)

    def saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return copies of weights and buffers, and of the optimizer's state."""
        return copied(self.network.state_dict()), copied(self.optimizer.state_dict())

    def load(self, network: dict[str, Tensor], optimizer: dict[str, Any]) -> None:
        """Continue from what `saved` returned."""
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict(copied(optimizer))  # the optimizer changes the tensors that it gets


def memory_format(architecture: Architecture) -> torch.memory_format:
    """Return channels last, which is faster, if a network computes the same in it. Return PyTorch's own format if not.

    A network can depend on the order of its values in memory. For example, `view` joins only axes that are neighbours
    there, and a random mask is drawn in that order. Weights that share memory would get a memory of their own.
    """
    try:
        one, other = (_results(architecture, each) for each in (torch.channels_last, torch.contiguous_format))
    except Exception:  # a network fails in any way in a format that it does not expect
        return torch.contiguous_format
    pairs = zip(one, other, strict=True)
    is_same = all(torch.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True) for a, b in pairs)
    return torch.channels_last if is_same else torch.contiguous_format


def _results(architecture: Architecture, form: torch.memory_format) -> list[Tensor]:
    """Return scores, gradients and buffers of a network in a memory format, in float64, where rounding is small."""
    images = torch.rand(_TRIED, 1, 28, 28, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    images = images.contiguous(memory_format=form)
    network = randomness.build(architecture, 1).to(memory_format=form)  # type: ignore[call-overload]
    with torch.no_grad():
        for one in network.parameters():
            one.add_(0.01)  # as a step changes them: with them it changes all that shares their memory
    network = network.double()
    seed_dropout(network, 1, Clock(), architecture.recipe.dropout)
    with randomness.generators_restored():
        randomness.seed_generators(1, Purpose.NETWORK, 0)
        trained = network.train()(images)
        F.nll_loss(trained, torch.arange(_TRIED)).backward()
        evaluated = network.eval()(images)
    gradients = [one.grad for one in network.parameters() if one.grad is not None]
    return [trained, evaluated, *gradients, *(one.double() for one in network.buffers())]


def copied(state: Any) -> Any:
    """Return a copy of a state dictionary on the CPU, so that further training does not change it."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [copied(value) for value in state]
    return state
