"""A step laid out: for each stage and each few images, the operations with the memory that they read and write.

A network and the size of a batch decide all of this, so it is made once and used in every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bench.training.arithmetic.kernels.packing import aligned
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import NO_ARRAYS, NOTHING, Chunk, Convolution, Operation
from bench.training.arithmetic.program import Plan, Program, Stage

Array = NDArray[Any]
Call = tuple[Operation, Chunk]

CACHE = 1 << 21
"""Bytes that all values of a few images may take together; those in use at one time then fit a cache of 512 KiB.

It changes the speed and no bit.
"""


@dataclass(frozen=True)
class Work:
    """What a few images of a batch go through in a stage.

    `gathers` and `gathers_gradient` are for the normalisations behind the stage and before it. After each call of
    `backward`, its parts are added to their totals: pairs of (total, part).
    """

    images: slice
    forward: tuple[Call, ...]
    gathers: Chunk | None
    again: tuple[Call, ...]
    backward: tuple[tuple[Call, tuple[tuple[Array, Array], ...]], ...]
    gathers_gradient: Chunk | None


@dataclass(frozen=True)
class Layout:
    """The work of each stage for a batch, and the memory of its images, of its log-probabilities and their gradient."""

    images: Array
    output: Array
    gradient: Array
    stages: tuple[tuple[Stage, tuple[Work, ...]], ...]


class Memory:
    """The memory that the values of a program and their gradients take."""

    def __init__(self, program: Program) -> None:
        self._shapes = program.shapes
        self._arrays: dict[tuple[str, int], Array] = {}

    def take(self, kind: str, number: int, images: int) -> Array:
        """Memory of this kind for a value, float32 (images, height, width, channels)."""
        found = self._arrays.get((kind, number))
        if found is None or len(found) < images:
            found = self._arrays[kind, number] = aligned(images, *self._shapes[number])
        return found[:images]


def lay_out(program: Program, plan: Plan, batch: int, memory: Memory) -> Layout:
    """The layout of a plan for a batch of so many images."""
    last = len(program.operations)
    return Layout(
        memory.take("value", 0, batch),
        memory.take("value", last, batch),
        memory.take("gradient", last, batch),
        tuple((stage, tuple(_works(program, plan, stage, batch, memory))) for stage in plan.stages),
    )


def _works(program: Program, plan: Plan, stage: Stage, batch: int, memory: Memory) -> Iterator[Work]:
    """The work of a stage, with as many images at a time as the cache holds with all their values."""
    size = max(1, CACHE // (4 * sum(math.prod(program.shapes[value]) for value in stage.values)))
    parts = [
        _Images(program.operations, plan, memory, batch, slice(first, min(first + size, batch)))
        for first in range(0, batch, size)
    ]
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        yield part.work(stage, following)


@dataclass(frozen=True)
class _Images:
    """Some images of a batch, and where their values and gradients are."""

    operations: tuple[Operation, ...]
    plan: Plan
    memory: Memory
    batch: int
    images: slice

    def _value(self, number: int) -> Array:
        if number in self.plan.kept:
            return self.memory.take("value", number, self.batch)[self.images]
        return self._scratch("scratch", number)

    def _gradient(self, number: int) -> Array:
        if number in self.plan.kept_gradients:
            return self.memory.take("gradient", number, self.batch)[self.images]
        return self._scratch("scratch gradient", number)

    def _scratch(self, kind: str, number: int) -> Array:
        return self.memory.take(kind, number, self.images.stop - self.images.start)

    def _chunk(self, i: int, output: Array, gradient: Array, gradients: Sequence[Array | None]) -> Chunk:
        inputs = [self._value(number) for number in self.operations[i].inputs]
        return Chunk(self.images, inputs, output, gradient, gradients)

    def _calls(self, numbers: Sequence[int]) -> tuple[Call, ...]:
        return tuple((self.operations[i], self._chunk(i, self._value(i + 1), NOTHING, ())) for i in numbers)

    def _backward(self, i: int, wanted: Sequence[tuple[bool, bool]]) -> tuple[Call, tuple[tuple[Array, Array], ...]]:
        """An operation's call, and the sums that follow it. `wanted` is that of `Stage.backward`."""
        inputs = self.operations[i].inputs
        targets = [
            None if not is_wanted else self._gradient(number) if is_first else self._scratch(f"part {place}", number)
            for place, (number, (is_wanted, is_first)) in enumerate(zip(inputs, wanted, strict=True))
        ]
        sums = [
            (self._gradient(number).reshape(-1), target.reshape(-1))
            for number, target, (_, is_first) in zip(inputs, targets, wanted, strict=True)
            if target is not None and not is_first
        ]
        chunk = self._chunk(i, self._value(i + 1), self._gradient(i + 1), targets)
        return (self.operations[i], chunk), tuple(reversed(sums))

    def work(self, stage: Stage, following: _Images | None) -> Work:
        """What these images go through in a stage, while convolutions ask the memory for what the `following` read."""
        begun = stage.gathers_gradient
        made = Work(
            self.images,
            self._calls(stage.forward),
            None if stage.gathers is None else self._chunk(stage.gathers, NOTHING, NOTHING, ()),
            self._calls(stage.again),
            tuple(self._backward(i, wanted) for i, wanted in stage.backward),
            None if begun is None else self._chunk(begun, NOTHING, self._gradient(begun + 1), ()),
        )
        if following is not None:
            _ask_ahead(made.forward, following._read_forward(stage))
            _ask_ahead([call for call, _ in made.backward], following._read_backward(stage))
        return made

    def _read_forward(self, stage: Stage) -> Sequence[Array]:
        """What the first operation of a stage reads, which the stage before has kept."""
        return [self._value(number).reshape(-1) for i in stage.forward[:1] for number in self.operations[i].inputs[:1]]

    def _read_backward(self, stage: Stage) -> Sequence[Array]:
        """What the normalisations behind a stage and before it read, which the whole batch keeps."""
        read = []
        if stage.backward and isinstance(self.operations[i := stage.backward[0][0]], BatchNorm):
            read += [self._value(self.operations[i].inputs[0]), self._gradient(i + 1)]
        if stage.gathers_gradient is not None:
            read.append(self._value(self.operations[stage.gathers_gradient].inputs[0]))
        return [one.reshape(-1) for one in read]


def _ask_ahead(calls: Sequence[Call], arrays: Sequence[Array]) -> None:
    for operation, chunk in calls:
        if isinstance(operation, Convolution):
            chunk.ahead = (*arrays, *NO_ARRAYS)[:3]
            return
