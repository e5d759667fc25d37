"""Dropout that replaces PyTorch's. Its masks are a pure function of (seed, step, layer)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.training import randomness


@dataclass
class Clock:
    """Count the steps of a run since its start, over all epochs."""

    step: int = 0


class SeededDropout(nn.Module):
    """Dropout of values (N, C, H, W) or of whole channels. Its mask is a function of (seed, step, layer)."""

    def __init__(self, probability: float, whole_channels: bool, seed: int, layer: int, clock: Clock) -> None:
        super().__init__()
        self.probability = probability
        self.whole_channels = whole_channels
        self.seed = seed
        self.layer = layer
        self.clock = clock

    def forward(self, values: Tensor) -> Tensor:
        """Multiply the values by the mask of this step in training. Return them unchanged in evaluation."""
        if not self.training or self.probability == 0:
            return values
        shape = tuple(values.shape)
        if self.whole_channels:
            shape = (*shape[:2], *(1 for _ in shape[2:]))
        mask = torch.from_numpy(self.mask(shape))
        if values.dim() == 4:
            mask = mask.contiguous(memory_format=torch.channels_last)
        return values * mask.to(values.device)

    def mask(self, shape: tuple[int, ...]) -> NDArray[numpy.float32]:
        """Return the mask of this step in logical order."""
        return randomness.dropout_mask(self.seed, self.clock.step, self.layer, shape, self.probability)


def seed_dropout(network: nn.Module, seed: int, clock: Clock, probability: float | None = None) -> None:
    """Replace each Dropout and Dropout2d with a seeded one. Number the layers in their order of registration.

    If `probability` is given, it replaces the probability of every layer.
    """
    layer = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                p = child.p if probability is None else probability
                setattr(parent, name, SeededDropout(p, isinstance(child, nn.Dropout2d), seed, layer, clock))
                layer += 1
