"""The operations of a network as the exact arithmetic has them: each with its pass forward and its gradients.

An operation computes one value from others. A value is a float32 array (images, height, width, channels), contiguous;
(images, features) of PyTorch is (images, 1, 1, features) here. Every operation works on a chunk of the images of a
batch and adds to the gradients of its parameters image by image, so that the size of a chunk changes no bit.
`docs/arithmetic.md` defines what each computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy
from numpy.typing import NDArray

from bench.training import randomness
from bench.training.arithmetic import convolution
from bench.training.arithmetic.kernels import elementwise, loss, masks, normalisation, pooling
from bench.training.arithmetic.state import State

Array = NDArray[Any]
NOTHING: Array = numpy.empty(0, numpy.float32)
NO_ARRAYS = (NOTHING, NOTHING, NOTHING)
Pair = tuple[int, int]


@dataclass(slots=True)
class Chunk:
    """Some images of a batch on their way through one operation: arrays of these images alone.

    `gradient` is that of the output, `gradients` are those of the inputs; None is a gradient that nobody wants. `ahead`
    is what the next images need: three flat arrays that a convolution asks the memory for while it computes.
    """

    images: slice
    inputs: Sequence[Array]
    output: Array
    gradient: Array
    gradients: Sequence[Array | None]
    ahead: Sequence[Array] = NO_ARRAYS


@dataclass(frozen=True, eq=False)
class Operation:
    """An operation on the values `inputs`, which are numbers of values.

    `is_cheap`: computing it again costs less than keeping its result. `reads_inputs` and `reads_output` say what
    `backward` needs.
    """

    inputs: tuple[int, ...]

    is_cheap: ClassVar[bool] = True
    reads_inputs: ClassVar[bool] = True
    reads_output: ClassVar[bool] = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return ()

    def begin(self, state: State) -> None:
        """Prepare a step, or an evaluation, from the parameters as they are now."""

    def forward(self, state: State, chunk: Chunk) -> None:
        """Write the output for the images of a chunk."""
        raise NotImplementedError

    def backward(self, state: State, chunk: Chunk) -> None:
        """Write the gradient of each input that is wanted, and add to those of the parameters."""
        raise NotImplementedError

    def end(self, state: State) -> None:
        """Finish the gradients of the parameters once every image is added."""


@dataclass(frozen=True, eq=False)
class Convolution(Operation):
    """A convolution, or a fully connected layer as one of 1 x 1."""

    weight: str
    bias: str | None
    size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    is_cheap: ClassVar[bool] = False

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @cached_property
    def _geometry(self) -> convolution.Geometry:
        return convolution.Geometry(self.size, self.stride, self.padding, self.dilation, self.groups)

    def begin(self, state: State) -> None:
        weight = state.parameters[self.weight]
        bias = state.parameters[self.bias] if self.bias is not None else None
        if self not in state.prepared:
            state.prepared[self] = convolution.room(weight.reshape(*weight.shape[:2], *self.size), bias is not None)
        convolution.pack(state.prepared[self], bias)
        state.totals[self] = convolution.zeros(state.prepared[self].weight)

    def forward(self, state: State, chunk: Chunk) -> None:
        convolution.forward(chunk.inputs[0], state.prepared[self], self._geometry, chunk.output, chunk.ahead[0])

    def backward(self, state: State, chunk: Chunk) -> None:
        if self.weight in state.trainable:
            convolution.add_filter_gradient(
                chunk.inputs[0], chunk.gradient, self._geometry, state.totals[self], *chunk.ahead[:2]
            )
        if self.bias is not None and self.bias in state.trainable:
            rows = chunk.gradient.reshape(len(chunk.gradient), chunk.gradient.shape[1], -1)
            normalisation.add_sums(rows, state.totals.setdefault(self.bias, numpy.zeros(rows.shape[2])))
        if chunk.gradients[0] is not None:
            convolution.input_gradient(
                chunk.gradient, state.prepared[self], self._geometry, chunk.gradients[0], chunk.ahead[2]
            )

    def end(self, state: State) -> None:
        if self.weight in state.trainable:
            shape = state.parameters[self.weight].shape
            found = convolution.unpack(state.totals[self], shape[0], shape[1], self._geometry)
            state.gradients[self.weight] = found.reshape(shape)
        if self.bias is not None and self.bias in state.trainable:
            total = numpy.empty(len(state.parameters[self.bias]))
            normalisation.channel_sums(state.totals.pop(self.bias), len(total), total)
            state.gradients[self.bias] = total.astype(numpy.float32)


@dataclass(frozen=True, eq=False)
class Activation(Operation):
    """ReLU, leaky ReLU with a slope, or ReLU6."""

    kind: str
    slope: float = 0.0

    def forward(self, state: State, chunk: Chunk) -> None:
        x, y = chunk.inputs[0].reshape(-1), chunk.output.reshape(-1)
        if self.kind == "relu":
            elementwise.relu(x, y)
        elif self.kind == "relu6":
            elementwise.relu6(x, y)
        else:
            elementwise.leaky_relu(x, numpy.float32(self.slope), y)

    def backward(self, state: State, chunk: Chunk) -> None:
        assert chunk.gradients[0] is not None
        x, dy, dx = chunk.inputs[0].reshape(-1), chunk.gradient.reshape(-1), chunk.gradients[0].reshape(-1)
        if self.kind == "relu":
            elementwise.relu_gradient(x, dy, dx)
        elif self.kind == "relu6":
            elementwise.relu6_gradient(x, dy, dx)
        else:
            elementwise.leaky_relu_gradient(x, dy, numpy.float32(self.slope), dx)


@dataclass(frozen=True, eq=False)
class Dropout(Operation):
    """Dropout of single values or of whole channels; outside of training it is no operation at all.

    `shape` is PyTorch's shape of an image's values, whose order the mask follows.
    """

    probability: float
    whole_channels: bool
    layer: int
    shape: tuple[int, ...]

    reads_inputs: ClassVar[bool] = False

    def begin(self, state: State) -> None:
        state.prepared[self] = self.mask(state)

    def mask(self, state: State) -> tuple[Array, numpy.float32]:
        """The mask of this step for all images, and the factor of what it keeps.

        For whole channels the mask has the factors, float32 (images, channels). For single values it has 1 where the
        value stays, uint8 (images, pixels, channels).
        """
        images, channels, pixels = state.images, self.shape[0], math.prod(self.shape[1:])
        factor = randomness.kept_factor(self.probability) if state.mode == "training" else numpy.float32(1)
        if state.mode != "training":
            if self.whole_channels:
                return numpy.ones((images, channels), numpy.float32), factor
            return numpy.ones((images, pixels, channels), numpy.uint8), factor
        if self.whole_channels:
            shape = (images, channels)
            return randomness.dropout_mask(state.seed, state.step, self.layer, shape, self.probability), factor
        size = images * channels * pixels
        mask = numpy.empty(size + masks.ROOM, numpy.uint8)
        stream = (numpy.uint64(number) for number in (state.seed, randomness.Purpose.DROPOUT, state.step, self.layer))
        masks.keep(*stream, randomness.keep_threshold(self.probability), images, channels, pixels, mask)
        return mask[:size].reshape(images, pixels, channels), factor

    def forward(self, state: State, chunk: Chunk) -> None:
        whole, factor = state.prepared[self]
        mask = whole[chunk.images]
        if self.whole_channels:
            shape = (len(chunk.output), -1, chunk.output.shape[3])
            elementwise.drop_channels(chunk.inputs[0].reshape(shape), mask, chunk.output.reshape(shape))
        else:
            elementwise.drop_values(chunk.inputs[0].reshape(-1), mask.reshape(-1), factor, chunk.output.reshape(-1))

    def backward(self, state: State, chunk: Chunk) -> None:
        assert chunk.gradients[0] is not None
        self.forward(state, Chunk(chunk.images, [chunk.gradient], chunk.gradients[0], NOTHING, ()))


@dataclass(frozen=True, eq=False)
class Addition(Operation):
    """The sum of two values of one shape."""

    reads_inputs: ClassVar[bool] = False

    def forward(self, state: State, chunk: Chunk) -> None:
        elementwise.add(chunk.inputs[0].reshape(-1), chunk.inputs[1].reshape(-1), chunk.output.reshape(-1))

    def backward(self, state: State, chunk: Chunk) -> None:
        for one in chunk.gradients:
            if one is not None:
                one[:] = chunk.gradient


@dataclass(frozen=True, eq=False)
class Concatenation(Operation):
    """Values side by side along their channels; `widths` are their numbers of channels."""

    widths: tuple[int, ...]

    reads_inputs: ClassVar[bool] = False

    def forward(self, state: State, chunk: Chunk) -> None:
        numpy.concatenate(chunk.inputs, axis=3, out=chunk.output)

    def backward(self, state: State, chunk: Chunk) -> None:
        begin = 0
        for one, width in zip(chunk.gradients, self.widths, strict=True):
            if one is not None:
                one[:] = chunk.gradient[..., begin : begin + width]
            begin += width


@dataclass(frozen=True, eq=False)
class Reshape(Operation):
    """The same values in another shape, in PyTorch's logical order."""

    reads_inputs: ClassVar[bool] = False

    def forward(self, state: State, chunk: Chunk) -> None:
        _copy_in_logical_order(chunk.inputs[0], chunk.output)

    def backward(self, state: State, chunk: Chunk) -> None:
        assert chunk.gradients[0] is not None
        _copy_in_logical_order(chunk.gradient, chunk.gradients[0])


def _copy_in_logical_order(source: Array, target: Array) -> None:
    images, height, width, channels = target.shape
    logical = source.transpose(0, 3, 1, 2).reshape(images, channels, height, width)
    target[:] = logical.transpose(0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class MaxPool(Operation):
    """The largest value of each window."""

    size: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def forward(self, state: State, chunk: Chunk) -> None:
        pooling.max_pool(chunk.inputs[0], self.size, self.stride, self.padding, self.dilation, chunk.output)

    def backward(self, state: State, chunk: Chunk) -> None:
        pooling.max_pool_gradient(
            chunk.inputs[0], chunk.gradient, self.size, self.stride, self.padding, self.dilation, chunk.gradients[0]
        )


@dataclass(frozen=True, eq=False)
class AveragePool(Operation):
    """The mean of each window: the window of output row i has the rows from rows[i][0] up to rows[i][1].

    `divisors` has a number for each output row and column.
    """

    rows: tuple[Pair, ...]
    columns: tuple[Pair, ...]
    divisors: tuple[tuple[int, ...], ...]

    reads_inputs: ClassVar[bool] = False

    @cached_property
    def _windows(self) -> tuple[Array, Array, Array]:
        return numpy.array(self.rows), numpy.array(self.columns), numpy.array(self.divisors, numpy.float32)

    def forward(self, state: State, chunk: Chunk) -> None:
        pooling.average_pool(chunk.inputs[0], *self._windows, chunk.output)

    def backward(self, state: State, chunk: Chunk) -> None:
        pooling.average_pool_gradient(chunk.gradient, *self._windows, chunk.gradients[0])


@dataclass(frozen=True, eq=False)
class LogSoftmax(Operation):
    """Log-probabilities of the scores of each image."""

    is_cheap: ClassVar[bool] = False
    reads_inputs: ClassVar[bool] = False
    reads_output: ClassVar[bool] = True

    def forward(self, state: State, chunk: Chunk) -> None:
        loss.log_softmax(chunk.inputs[0].reshape(len(chunk.output), -1), chunk.output.reshape(len(chunk.output), -1))

    def backward(self, state: State, chunk: Chunk) -> None:
        assert chunk.gradients[0] is not None
        shape = (len(chunk.output), -1)
        y, dy = chunk.output.reshape(shape), chunk.gradient.reshape(shape)
        loss.log_softmax_gradient(y, dy, chunk.gradients[0].reshape(shape))
