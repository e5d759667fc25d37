"""The normalisations of a network as operations: batch, group and layer normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy
from numpy.typing import NDArray

from bench.errors import UnusableInput
from bench.training.arithmetic.kernels import image_normalisation, normalisation
from bench.training.arithmetic.operations import Chunk, Dropout, Operation
from bench.training.arithmetic.state import State

Array = NDArray[Any]


class _Statistics:
    """The numbers of a batch normalisation in one step; what ends in `columns` is repeated along a row, as float32."""

    def __init__(self, columns: int) -> None:
        self.sums = numpy.zeros((4, columns))
        self.mask: Array = numpy.zeros((1, 1), numpy.float32)
        self.factor = numpy.float32(1)
        self.scale = self.inverse = numpy.empty(0)
        nothing = numpy.empty(0, numpy.float32)
        self.centre_columns = self.mean_columns = self.scale_columns = self.shift_columns = nothing
        self.slope_columns = self.offset_columns = nothing


@dataclass(frozen=True, eq=False)
class BatchNorm(Operation):
    """Batch normalisation: in training it needs the sums over all images before it can pass on a single one.

    A ReLU before it, and a ReLU, a dropout and a ReLU behind it, can be part of it: one pass then does all.
    `shape` is (height, width, channels). `weight`, `bias`, `mean`, `variance` and `count` are names of parameters and
    buffers, or None. `momentum` None is the cumulative average.
    """

    shape: tuple[int, int, int]
    weight: str | None
    bias: str | None
    mean: str | None
    variance: str | None
    count: str | None
    momentum: float | None
    epsilon: float
    relu_before: bool = False
    relu_first: bool = False
    dropout: Dropout | None = None
    relu_last: bool = False

    @cached_property
    def _passes(self) -> normalisation.Passes:
        dropping: normalisation.Dropping = "nothing"
        if self.dropout is not None:
            dropping = "channels" if self.dropout.whole_channels else "values"
        return normalisation.passes(self.relu_before, self.relu_first, dropping, self.relu_last)

    @property
    def parameters(self) -> tuple[str, ...]:
        return _names(self.weight, self.bias)

    def begin(self, state: State) -> None:
        _, width, channels = self.shape
        found = state.prepared[self] = _Statistics(width * channels)
        if self.dropout is not None:
            mask, found.factor = self.dropout.mask(state)
            tiled = numpy.tile(mask, (1, width)) if self.dropout.whole_channels else mask
            found.mask = tiled if self.dropout.whole_channels else tiled.reshape(state.images, -1, width * channels)
        if state.mode == "evaluation":
            assert self.mean is not None
            assert self.variance is not None
            mean, variance = state.buffers[self.mean], state.buffers[self.variance]
            self._prepare(state, mean.astype(numpy.float64), variance.astype(numpy.float64))
        else:
            centre = state.buffers[self.mean] if self.mean is not None else numpy.zeros(channels)
            found.centre_columns = normalisation.repeated(centre, width)

    def gather(self, state: State, chunk: Chunk) -> None:
        """Take some images into the statistics of the batch."""
        found = state.prepared[self]
        self._passes.add_moments(_rows(chunk.inputs[0]), found.centre_columns, found.sums[0], found.sums[1])

    def finish(self, state: State) -> None:
        """Make the statistics of the batch, and move the running ones.

        Raises:
            UnusableInput: the batch has one value a channel, which has no variance.
        """
        height, width, channels = self.shape
        found, count = state.prepared[self], state.images * height * width
        if count < 2:
            raise UnusableInput("batch normalisation needs more than one value a channel: use larger batches")
        sums = numpy.empty((2, channels))
        for row in range(2):
            normalisation.channel_sums(found.sums[row], channels, sums[row])
        mean, variance = numpy.empty(channels), numpy.empty(channels)
        normalisation.batch_statistics(sums[0], sums[1], found.centre_columns[:channels], float(count), mean, variance)
        if state.mode == "training":
            self._move_running(state, mean, variance, count)
        self._prepare(state, mean, variance)

    def _move_running(self, state: State, mean: Array, variance: Array, count: int) -> None:
        if self.count is not None:
            state.buffers[self.count] += 1
        if self.mean is None or self.variance is None:
            return
        momentum = self.momentum
        if momentum is None:
            assert self.count is not None
            momentum = 1 / float(state.buffers[self.count])
        normalisation.move_running(state.buffers[self.mean], momentum, mean, 1.0, 1.0)
        normalisation.move_running(state.buffers[self.variance], momentum, variance, float(count), float(count - 1))

    def _prepare(self, state: State, mean: Array, variance: Array) -> None:
        found, width, channels = state.prepared[self], self.shape[1], self.shape[2]
        found.inverse, found.scale, shift = (numpy.empty(channels) for _ in range(3))
        weight = state.parameters[self.weight] if self.weight else numpy.ones(channels, numpy.float32)
        bias = state.parameters[self.bias] if self.bias else numpy.zeros(channels, numpy.float32)
        normalisation.affine(mean, variance, self.epsilon, weight, bias, found.inverse, found.scale, shift)
        found.scale_columns = normalisation.repeated(found.scale, width)
        found.shift_columns = normalisation.repeated(shift, width)
        found.mean_columns = normalisation.repeated(mean, width)

    def forward(self, state: State, chunk: Chunk) -> None:
        found = state.prepared[self]
        x = _rows(chunk.inputs[0])
        self._passes.apply(
            x, found.scale_columns, found.shift_columns, found.mask[chunk.images], found.factor, _rows(chunk.output)
        )

    def gather_gradient(self, state: State, chunk: Chunk) -> None:
        """Take some images into the sums of the gradient."""
        found = state.prepared[self]
        columns = found.scale_columns, found.shift_columns, found.mean_columns
        self._passes.add_gradient_sums(
            _rows(chunk.inputs[0]),
            _rows(chunk.gradient),
            *columns,
            found.mask[chunk.images],
            found.factor,
            *found.sums[2:],
        )

    def finish_gradient(self, state: State) -> None:
        """Make the gradients of the parameters, and what passes the gradient of single values on."""
        height, width, channels = self.shape
        found = state.prepared[self]
        g1, g2, slope, offset = (numpy.empty(channels) for _ in range(4))
        normalisation.channel_sums(found.sums[2], channels, g1)
        normalisation.channel_sums(found.sums[3], channels, g2)
        count = float(state.images * height * width)
        normalisation.slopes(found.scale, found.inverse, g1, g2, count, slope, offset)
        found.slope_columns = normalisation.repeated(slope, width)
        found.offset_columns = normalisation.repeated(offset, width)
        _end(state, self.weight, self.bias, numpy.stack([g2 * found.inverse, g1]))

    def backward(self, state: State, chunk: Chunk) -> None:
        found = state.prepared[self]
        if chunk.gradients[0] is None:
            return
        columns = found.scale_columns, found.shift_columns, found.mean_columns
        more = found.slope_columns, found.offset_columns
        x = _rows(chunk.inputs[0])
        self._passes.gradient(
            x, _rows(chunk.gradient), *columns, *more, found.mask[chunk.images], found.factor, _rows(chunk.gradients[0])
        )


@dataclass(frozen=True, eq=False)
class GroupNorm(Operation):
    """Normalisation of each group of channels of each image; `weight` and `bias` are names of parameters, or None."""

    weight: str | None
    bias: str | None
    channels: int
    groups: int
    epsilon: float

    @property
    def parameters(self) -> tuple[str, ...]:
        return _names(self.weight, self.bias)

    def begin(self, state: State) -> None:
        weight = state.parameters[self.weight] if self.weight else numpy.ones(self.channels, numpy.float32)
        bias = state.parameters[self.bias] if self.bias else numpy.zeros(self.channels, numpy.float32)
        state.prepared[self] = weight, bias
        state.totals[self] = numpy.zeros((2, self.channels))

    def forward(self, state: State, chunk: Chunk) -> None:
        weight, bias = state.prepared[self]
        image_normalisation.group_norm(chunk.inputs[0], self.groups, self.epsilon, weight, bias, chunk.output)

    def backward(self, state: State, chunk: Chunk) -> None:
        x, dx = chunk.inputs[0], chunk.gradients[0]
        image_normalisation.group_norm_gradient(
            x,
            chunk.gradient,
            self.groups,
            self.epsilon,
            state.prepared[self][0],
            *state.totals[self],
            numpy.empty_like(x) if dx is None else dx,
        )

    def end(self, state: State) -> None:
        _end(state, self.weight, self.bias, state.totals[self])


@dataclass(frozen=True, eq=False)
class LayerNorm(Operation):
    """Normalisation of each image as a whole, with a weight and a bias for each of its values.

    `shape` is (height, width, channels); `weight` and `bias` are names of parameters, or None.
    """

    weight: str | None
    bias: str | None
    shape: tuple[int, int, int]
    epsilon: float

    @property
    def parameters(self) -> tuple[str, ...]:
        return _names(self.weight, self.bias)

    def begin(self, state: State) -> None:
        height, width, channels = self.shape

        def channels_last(name: str | None, otherwise: float) -> Array:
            if name is None:
                return numpy.full(self.shape, otherwise, numpy.float32)
            values = state.parameters[name].reshape(channels, height, width)
            return numpy.ascontiguousarray(values.transpose(1, 2, 0))

        state.prepared[self] = channels_last(self.weight, 1), channels_last(self.bias, 0)
        state.totals[self] = numpy.zeros((2, *self.shape))

    def forward(self, state: State, chunk: Chunk) -> None:
        image_normalisation.layer_norm(chunk.inputs[0], self.epsilon, *state.prepared[self], chunk.output)

    def backward(self, state: State, chunk: Chunk) -> None:
        x, dx = chunk.inputs[0], chunk.gradients[0]
        image_normalisation.layer_norm_gradient(
            x,
            chunk.gradient,
            self.epsilon,
            state.prepared[self][0],
            *state.totals[self],
            numpy.empty_like(x) if dx is None else dx,
        )

    def end(self, state: State) -> None:
        _end(state, self.weight, self.bias, state.totals[self].transpose(0, 3, 1, 2))


def _names(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


def _end(state: State, weight: str | None, bias: str | None, totals: Array) -> None:
    """The gradients of weight and bias from their sums (2, ...), in PyTorch's logical order."""
    for name, total in ((weight, totals[0]), (bias, totals[1])):
        if name is not None and name in state.trainable:
            state.gradients[name] = total.astype(numpy.float32).reshape(state.parameters[name].shape)


def _rows(values: Array) -> Array:
    """(images, height, width, channels) as (images, rows, columns)."""
    return values.reshape(len(values), values.shape[1], -1)
