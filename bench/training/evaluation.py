"""What an evaluation of the test images gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """Images classified correctly, mean negative log-likelihood, and the digit seen in each image, uint8 (N,)."""

    correct: int
    loss: float
    predictions: Tensor
