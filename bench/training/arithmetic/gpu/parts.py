"""A program as a GPU runs it: parts that write values to memory, and what each does to the values that it reads.

A part is a convolution, a normalisation of each image, a pool, a change of shape, or the log-probabilities. Everything
else works on single values. It is not stored: the next part does it while it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.training.arithmetic.norms import BatchNorm, GroupNorm, LayerNorm
from bench.training.arithmetic.operations import (
    Activation,
    AveragePool,
    Convolution,
    Dropout,
    LogSoftmax,
    MaxPool,
    Operation,
    Reshape,
)
from bench.training.arithmetic.program import Program, Shape

_LARGEST_WINDOW = 256
"""A chosen position of a max-pool is a byte."""


class NotOnGPU(Exception):
    """The kernels for a GPU do not have an operation of the network; the message names it."""


@dataclass(frozen=True)
class Part:
    """An operation that writes values of the shape `after`, and the operations on single values before it.

    `before` is the shape of the values in memory that it reads. Shapes are (height, width, channels).
    """

    operation: Operation
    chain: tuple[Operation, ...]
    before: Shape
    after: Shape

    @property
    def norm(self) -> BatchNorm | None:
        """The batch normalisation of the chain."""
        return next((one for one in self.chain if isinstance(one, BatchNorm)), None)

    @property
    def dropout(self) -> Dropout | None:
        """The dropout of the chain."""
        return next((one for one in self.chain if isinstance(one, Dropout)), None)


def parts(program: Program) -> tuple[Part, ...]:
    """The parts of a program, in order; each reads what the one before has written, the first one the images.

    Raises:
        NotOnGPU: the kernels do not have an operation of the program.
    """
    found: list[Part] = []
    chain: list[Operation] = []
    before = program.shapes[0]
    for i, operation in enumerate(program.operations):
        if operation.inputs != (i,):
            raise NotOnGPU("a value that several operations use")
        after = program.shapes[i + 1]
        if isinstance(operation, Activation | BatchNorm | Dropout):
            chain.append(operation)
        elif not (isinstance(operation, Reshape) and before[:2] == after[:2] == (1, 1)):
            found.append(Part(operation, tuple(chain), before, after))
            chain, before = [], after
    reasons = dict.fromkeys(reason for number, part in enumerate(found) for reason in _reasons(number, part))
    if reasons:
        raise NotOnGPU("; ".join(reasons))
    return tuple(found)


def _reasons(number: int, part: Part) -> Iterator[str]:
    """What the kernels do not have of a part."""
    operation = part.operation
    if isinstance(operation, MaxPool):
        if operation.size[0] * operation.size[1] > _LARGEST_WINDOW:
            yield "a max-pool with large windows"
    elif not isinstance(operation, AveragePool | Convolution | GroupNorm | LayerNorm | LogSoftmax | Reshape):
        yield type(operation).__name__
    for kind in (BatchNorm, Dropout):
        if sum(isinstance(one, kind) for one in part.chain) > 1:
            yield f"two operations {kind.__name__} between two layers"
    if part.norm is not None and part.norm.momentum is None:
        yield "a BatchNorm with a cumulative average"
    if part.norm is not None and number == 0:
        yield "a BatchNorm of the images"
