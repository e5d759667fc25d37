"""Runs a program: steps of training and evaluations, a few images at a time."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from bench.training.arithmetic.kernels import elementwise, loss
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.program import Plan, Program, plan
from bench.training.arithmetic.state import Mode, State
from bench.training.arithmetic.work import Layout, Memory, lay_out

Array = NDArray[Any]

LOSS_CHUNK = 100
"""Images of an evaluation whose losses are added up before they are added to the others."""

STATISTICS_BATCH = 250
"""Test images of a batch whose own statistics normalise it, when an epoch has collapsed."""


class Engine:
    """A program, its state, and the memory that its values take."""

    def __init__(self, program: Program, state: State) -> None:
        self.program = program
        self.state = state
        self._plan = plan(program, state.trainable)
        self._evaluation = plan(program, state.trainable, batch_statistics=False)
        self._memory = Memory(program)
        self._layouts: dict[tuple[bool, int], Layout] = {}

    def step(self, images: Array, labels: Array, momentum: float, rate: float) -> float:
        """Take one step of training on images (N, 28, 28, 1) with labels (N,); the sum of their losses.

        Raises:
            UnusableInput: a batch normalisation has one value a channel.
        """
        state = self.state
        layout = self._layout(self._plan, len(images))
        flat = self._forward(layout, images, "training")
        loss.likelihood_gradient(labels, layout.gradient.reshape(flat.shape))
        self._backward(layout)
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
        plan = self._evaluation if mode == "evaluation" else self._plan
        return self._forward(self._layout(plan, len(images)), images, mode)

    def evaluate(self, images: Array, labels: Array, mode: Mode = "evaluation") -> tuple[float, Array]:
        """The mean loss of images (N, 28, 28, 1) and the predicted digits, uint8 (N,); `mode` as in `scores`."""
        digits = numpy.empty(len(images), numpy.uint8)
        flat = self.scores(images, mode)
        loss.predicted(flat, digits)
        total = 0.0
        for first in range(0, len(images), LOSS_CHUNK):
            chunk = slice(first, first + LOSS_CHUNK)
            total += float(loss.likelihood(flat[chunk], labels[chunk]))
        return total / len(images), digits

    def _forward(self, layout: Layout, images: Array, mode: Mode) -> Array:
        """The log-probabilities (images, 10) of a batch, kept until the next one."""
        state = self.state
        state.mode, state.images = mode, len(images)
        state.gradients.clear()
        layout.images[:] = images
        for operation in self.program.operations:
            operation.begin(state)
        for stage, works in layout.stages:
            gathers = self._norm(stage.gathers)
            for work in works:
                for operation, chunk in work.forward:
                    operation.forward(state, chunk)
                if gathers is not None and work.gathers is not None:
                    gathers.gather(state, work.gathers)
            if gathers is not None:
                gathers.finish(state)
        return layout.output.reshape(len(images), -1)

    def _backward(self, layout: Layout) -> None:
        """Every gradient of a parameter, from that of the log-probabilities."""
        state = self.state
        for stage, works in reversed(layout.stages):
            gathers = self._norm(stage.gathers_gradient)
            for work in works:
                for operation, chunk in work.again:
                    operation.forward(state, chunk)
                for (operation, chunk), sums in work.backward:
                    operation.backward(state, chunk)
                    for total, part in sums:
                        elementwise.add(total, part, total)
                if gathers is not None and work.gathers_gradient is not None:
                    gathers.gather_gradient(state, work.gathers_gradient)
            if gathers is not None:
                gathers.finish_gradient(state)
        for operation in self.program.operations:
            operation.end(state)

    def _layout(self, plan: Plan, batch: int) -> Layout:
        """The layout for a batch of so many images, made for the first such batch."""
        key = (plan is self._plan, batch)
        if key not in self._layouts:
            self._layouts[key] = lay_out(self.program, plan, batch, self._memory)
        return self._layouts[key]

    def _norm(self, index: int | None) -> BatchNorm | None:
        if index is None:
            return None
        operation = self.program.operations[index]
        assert isinstance(operation, BatchNorm)
        return operation
