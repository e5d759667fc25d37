"""What changes while a network trains in exact arithmetic: weights, buffers, gradients, and the place in the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

Array = NDArray[Any]
Mode = Literal["training", "evaluation", "batch statistics"]


@dataclass
class State:
    """The numbers of a network, and what its operations keep during a step.

    `parameters` (float32) and `buffers` share memory with the module's. `velocities` and `gradients` have an entry for
    each trainable parameter. `seed` is that of dropout. `mode` "batch statistics" evaluates with the statistics of each
    batch and moves nothing. `prepared` and `totals` belong to an operation each: what it made ready for this step, and
    its sums so far, float64.
    """

    parameters: dict[str, Array]
    buffers: dict[str, Array]
    trainable: frozenset[str]
    seed: int
    step: int = 0
    images: int = 0
    mode: Mode = "training"
    velocities: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    prepared: dict[Any, Any] = field(default_factory=dict)
    totals: dict[Any, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.trainable:
            self.velocities.setdefault(name, numpy.zeros_like(self.parameters[name]))
