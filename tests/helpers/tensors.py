"""Tensors for the tests of the arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor


def relative(found: Tensor, expected: Tensor) -> float:
    """The distance of a tensor from an exact one, as a share of the exact one."""
    return float((found.double() - expected).norm() / expected.norm())


def normal(shape: tuple[int, ...], seed: int) -> Tensor:
    """Normal values of a shape (N, C, H, W), in channels-last order."""
    values = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed))
    return values.to(memory_format=torch.channels_last)
