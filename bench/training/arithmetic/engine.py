"""Runs a program: steps of training and evaluations, a few images at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.training.arithmetic.kernels import elementwise, loss
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import Chunk
from bench.training.arithmetic.program import Plan, Program, Stage, plan
from bench.training.arithmetic.state import Mode, State

Array = NDArray[Any]

CACHE = 1 << 21
"""Bytes that all values of a few images may take together; those in use at one time then fit a cache of 512 KiB.

It changes the speed and no bit.
"""

_EVALUATED = 100
"""Images of an evaluation whose losses are added up before they are added to the others."""


class Engine:
    """A program, its state, and the memory that its values take."""

    def __init__(self, program: Program, state: State) -> None:
        self.program = program
        self.state = state
        self._plan = plan(program, state.trainable)
        self._evaluation = plan(program, state.trainable, batch_statistics=False)
        self._arrays: dict[tuple[str, int], Array] = {}

    def step(self, images: Array, labels: Array, momentum: float, rate: float) -> float:
        """Take one step of training on images (N, 28, 28, 1) with labels (N,); the sum of their losses.

        Raises:
            UnusableInput: a batch normalisation has one value a channel.
        """
        state = self.state
        log_probabilities = self._forward(self._plan, images, "training")
        flat = log_probabilities.reshape(len(images), -1)
        last = len(self.program.operations)
        gradient = self._array("gradient", last, len(images))
        loss.likelihood_gradient(labels, gradient.reshape(flat.shape))
        self._backward(images)
        for name in sorted(state.trainable & state.gradients.keys()):
            elementwise.descend(
                state.parameters[name].reshape(-1),
                state.velocities[name].reshape(-1),
                state.gradients[name].reshape(-1),
                numpy.float32(momentum),
                numpy.float32(rate),
            )
        return float(loss.likelihood(flat, labels))

    def scores(self, images: Array, mode: Mode = "evaluation") -> Array:
        """The log-probabilities (N, 10) of images (N, 28, 28, 1). They change with the next step or evaluation.

        With `mode` "batch statistics" the images are one batch.
        """
        steps = self._evaluation if mode == "evaluation" else self._plan
        return self._forward(steps, images, mode).reshape(len(images), -1)

    def evaluate(self, images: Array, labels: Array, mode: Mode = "evaluation") -> tuple[float, Array]:
        """The mean loss of images (N, 28, 28, 1) and the predicted digits, uint8 (N,); `mode` as in `scores`."""
        digits = numpy.empty(len(images), numpy.uint8)
        flat = self.scores(images, mode)
        loss.predicted(flat, digits)
        total = 0.0
        for first in range(0, len(images), _EVALUATED):
            chunk = slice(first, first + _EVALUATED)
            total += float(loss.likelihood(flat[chunk], labels[chunk]))
        return total / len(images), digits

    def _forward(self, steps: Plan, images: Array, mode: Mode) -> Array:
        """The log-probabilities of a batch, kept until the next one."""
        state = self.state
        state.mode, state.images = mode, len(images)
        state.gradients.clear()
        for operation in self.program.operations:
            operation.begin(state)
        for stage in steps.stages:
            gathers = self._norm(stage.gathers)
            for chunk in self._chunks(stage, images):
                values = self._values(steps, stage, images, chunk)
                self._run(stage.forward, values, chunk)
                if gathers is not None:
                    gathers.gather(state, values[gathers.inputs[0]])
            if gathers is not None:
                gathers.finish(state)
        return self._array("value", len(self.program.operations), len(images))

    def _run(self, numbers: tuple[int, ...], values: dict[int, Array], chunk: slice) -> None:
        for i in numbers:
            operation = self.program.operations[i]
            inputs = [values[value] for value in operation.inputs]
            operation.forward(self.state, Chunk(chunk, inputs, values[i + 1], _NOTHING, ()))

    def _backward(self, images: Array) -> None:
        """Every gradient of a parameter, from that of the log-probabilities."""
        state, operations, steps = self.state, self.program.operations, self._plan
        for stage in reversed(steps.stages):
            gathers = self._norm(stage.gathers_gradient)
            for chunk in self._chunks(stage, images):
                values = self._values(steps, stage, images, chunk)
                gradients = self._gradients(steps, stage, len(images), chunk)
                self._run(stage.again, values, chunk)
                for i, wanted in stage.backward:
                    operation = operations[i]
                    inputs = [values[value] for value in operation.inputs] if operation.reads_inputs else ()
                    output = values[i + 1] if operation.reads_output else _NOTHING
                    targets = [
                        None if not is_wanted else gradients[value] if is_first else self._spare(value, place, chunk)
                        for place, (value, (is_wanted, is_first)) in enumerate(
                            zip(operation.inputs, wanted, strict=True)
                        )
                    ]
                    operation.backward(state, Chunk(chunk, inputs, output, gradients[i + 1], targets))
                    parts = zip(operation.inputs, targets, wanted, strict=True)
                    for value, target, (_, is_first) in reversed(list(parts)):
                        if target is not None and not is_first:
                            total = gradients[value].reshape(-1)
                            elementwise.add(total, target.reshape(-1), total)
                if gathers is not None:
                    begun = stage.gathers_gradient
                    assert begun is not None
                    gathers.gather_gradient(state, chunk, values[gathers.inputs[0]], gradients[begun + 1])
            if gathers is not None:
                gathers.finish_gradient(state)
        for operation in operations:
            operation.end(state)

    def _norm(self, index: int | None) -> BatchNorm | None:
        if index is None:
            return None
        operation = self.program.operations[index]
        assert isinstance(operation, BatchNorm)
        return operation

    def _chunks(self, stage: Stage, images: Array) -> Iterator[slice]:
        """The images of a batch, as many at a time as the cache holds with all their values."""
        size = max(1, CACHE // (4 * sum(math.prod(self.program.shapes[value]) for value in stage.values)))
        for first in range(0, len(images), size):
            yield slice(first, min(first + size, len(images)))

    def _values(self, steps: Plan, stage: Stage, images: Array, chunk: slice) -> dict[int, Array]:
        """The values of a chunk that a stage reads or writes."""
        count, whole = chunk.stop - chunk.start, len(images)
        found = {
            number: self._array("value", number, whole)[chunk]
            if number in steps.kept
            else self._array("scratch", number, count)
            for number in stage.values
        }
        found[0] = images[chunk]
        return found

    def _gradients(self, steps: Plan, stage: Stage, images: int, chunk: slice) -> dict[int, Array]:
        """The gradients of a chunk that a stage reads or writes."""
        count = chunk.stop - chunk.start
        return {
            number: self._array("gradient", number, images)[chunk]
            if number in steps.kept_gradients
            else self._array("scratch gradient", number, count)
            for number in stage.values
        }

    def _spare(self, number: int, place: int, chunk: slice) -> Array:
        """Memory for what the argument at `place` of an operation adds to the gradient of a value."""
        return self._array(f"part {place} of a gradient", number, chunk.stop - chunk.start)

    def _array(self, kind: str, number: int, images: int) -> Array:
        """Memory for a value or its gradient, for so many images."""
        found = self._arrays.get((kind, number))
        if found is None or len(found) < images:
            found = self._arrays[kind, number] = numpy.empty((images, *self.program.shapes[number]), numpy.float32)
        return found[:images]


_NOTHING: Array = numpy.empty(0, numpy.float32)
