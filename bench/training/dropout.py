"""Dropout that replaces PyTorch's. Its masks are a pure function of (seed, step, layer, call of it in the step)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.training import randomness


@dataclass
class Clock:
    """Count the steps of a run since its start, over all epochs, and the calls of each dropout layer in a step."""

    step: int = 0
    calls: Counter[int] = field(default_factory=Counter)

    def begin(self, step: int) -> None:
        """Begin a step."""
        self.step = step
        self.calls.clear()


class SeededDropout(nn.Module):
    """Dropout of values (N, C, H, W) or of whole channels. Every call in a step has a mask of its own."""

    def __init__(self, probability: float, whole_channels: bool, seed: int, layer: int, clock: Clock) -> None:
        super().__init__()
        self.probability = probability
        self.whole_channels = whole_channels
        self.seed = seed
        self.layer = layer
        self.clock = clock

    def forward(self, values: Tensor) -> Tensor:
        """Multiply the values by the mask of this call in training. Return them unchanged in evaluation."""
        if not self.training or self.probability == 0:
            return values
        shape = tuple(values.shape)
        if self.whole_channels:
            shape = (*shape[:2], *(1 for _ in shape[2:]))
        mask = torch.from_numpy(self._next_mask(shape))
        if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
            mask = mask.contiguous(memory_format=torch.channels_last)
        return values * mask.to(values.device)

    def _next_mask(self, shape: tuple[int, ...]) -> NDArray[numpy.float32]:
        """Return the mask of this call in logical order, and count the call."""
        stream = randomness.dropout_stream(self.layer, self.clock.calls[self.layer])
        self.clock.calls[self.layer] += 1
        return randomness.dropout_mask(self.seed, self.clock.step, stream, shape, self.probability)


def seed_dropout(network: nn.Module, seed: int, clock: Clock, probability: float | None = None) -> None:
    """Replace each Dropout and Dropout2d with a seeded one. Number the layers in their order of registration.

    A module that is registered twice becomes two layers.
    If `probability` is given, it replaces the probability of every layer.
    """
    layer = 0
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):  # named_children() leaves out what is registered twice
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                p = child.p if probability is None else probability
                setattr(parent, name, SeededDropout(p, isinstance(child, nn.Dropout2d), seed, layer, clock))
                layer += 1
