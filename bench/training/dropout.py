"""Dropout whose masks are a pure function of (seed, step, layer), in place of PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.training import randomness


@dataclass
class Clock:
    """The number of steps taken since a run began, over all its epochs."""

    step: int = 0


class SeededDropout(nn.Module):
    """Dropout whose mask is a function of (seed, step, layer), for values (N, C, H, W) or for whole channels."""

    def __init__(self, probability: float, whole_channels: bool, seed: int, layer: int, clock: Clock) -> None:
        super().__init__()
        self.probability = probability
        self.whole_channels = whole_channels
        self.seed = seed
        self.layer = layer
        self.clock = clock

    def forward(self, values: Tensor) -> Tensor:
        """The values times the mask of this step while training, else the values."""
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
        """The mask of this step in logical order."""
        return randomness.dropout_mask(self.seed, self.clock.step, self.layer, shape, self.probability)


def seed_dropout(network: nn.Module, seed: int, clock: Clock, probability: float | None = None) -> None:
    """Replace each Dropout and Dropout2d, numbered in the order they were registered, by one with a seed.

    `probability` stands in place of every layer's own, if it is given.
    """
    layer = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                p = child.p if probability is None else probability
                setattr(parent, name, SeededDropout(p, isinstance(child, nn.Dropout2d), seed, layer, clock))
                layer += 1
