"""Filters and images as the convolutions read them, and the gradients of filters back.

A filter (K, C, R, S) is a matrix with a row for each (r, s, c) and a column for each output channel, filled up with
zeros to a multiple of LANES columns. It is packed by blocks of 2 * LANES columns, and a last one of LANES columns if
that is all that is left: block after block, row after row. It begins at a cache line, so that no vector lies in two.

The images get a border of zeros. A place is where the window of an output pixel begins. A run is a stretch of a window
that lies side by side in memory, given by its offset: a row of the filter. With them every padding is the same code
for a tile.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled
from bench.training.arithmetic.kernels.vectors import LANES, copy

_BLOCK = 2 * LANES
_LINE = 16  # float32 values in 64 bytes
_PIXELS_AT_ONCE = 192  # small images are treated several at once, so that few tiles lack pixels


def room_for_filter(outputs: int, inputs: int, height: int, width: int) -> Any:
    """Zeros for a filter of this shape in its packed form."""
    return _zeros(inputs * height * width * filled_up(outputs))


def room_for_bias(outputs: int) -> Any:
    """Zeros for a bias, as long as the packed filter has columns; the caller writes the first ones."""
    return _zeros(filled_up(outputs))


def _zeros(count: int) -> Any:
    memory = aligned(count)
    memory[:] = 0
    return memory


def filled_up(channels: int) -> int:
    return -(-channels // LANES) * LANES


def aligned(*shape: int) -> Any:
    """Memory for float32 values that begins at a cache line: vectors then do not lie in two."""
    count = math.prod(shape)
    memory = numpy.empty(count + _LINE, numpy.float32)
    first = -(memory.ctypes.data // memory.itemsize) % _LINE
    return memory[first : first + count].reshape(shape)


@compiled
def pack(weight: Any, packed: Any) -> None:
    """Pack the filter for the forward pass; columns without a channel stay as they are."""
    outputs, inputs, height, width = weight.shape
    rows = inputs * height * width
    for k in range(outputs):
        first, step = _column(k, len(packed) // rows, rows)
        for c in range(inputs):
            for r in range(height):
                for s in range(width):
                    packed[first + ((r * width + s) * inputs + c) * step] = weight[k, c, r, s]


@compiled
def pack_flipped(weight: Any, packed: Any) -> None:
    """Pack the filter for the gradient of the input: flipped, with inputs and outputs exchanged."""
    outputs, inputs, height, width = weight.shape
    rows = outputs * height * width
    for c in range(inputs):
        first, step = _column(c, len(packed) // rows, rows)
        for k in range(outputs):
            for r in range(height):
                for s in range(width):
                    packed[first + ((r * width + s) * outputs + k) * step] = weight[k, c, height - 1 - r, width - 1 - s]


@compiled
def _column(channel: int, columns: int, rows: int) -> Any:
    """Where the column of a channel begins, and how far apart its values are."""
    block = channel // _BLOCK * _BLOCK
    step = min(_BLOCK, columns - block)
    return block * rows + channel - block, step


@compiled
def unpack_gradient(rows: Any, weight: Any) -> None:
    """Write the float64 rows of `add_filter_gradient` into an array like the filter, rounded to float32."""
    outputs, inputs, height, width = weight.shape
    for k in range(outputs):
        for c in range(inputs):
            for r in range(height):
                for s in range(width):
                    weight[k, c, r, s] = numpy.float32(rows[(r * width + s) * inputs + c, k])


@compiled
def places_of(x: Any, y: Any, padding: Any) -> Any:
    """The places in as many images as are treated at once, and the border (rows, columns) that these images need.

    A negative padding leaves out the edge of x, and needs no border.
    """
    rows, columns = padding
    border = max(rows, 0), max(columns, 0)
    images = max(1, min(len(x), _PIXELS_AT_ONCE // (y.shape[1] * y.shape[2])))
    height, width, channels = x.shape[1] + 2 * border[0], x.shape[2] + 2 * border[1], x.shape[3]
    places = numpy.empty((images, y.shape[1], y.shape[2]), numpy.int64)
    for n in range(images):
        for h in range(y.shape[1]):
            for w in range(y.shape[2]):
                row, column = h + max(-rows, 0), w + max(-columns, 0)
                places[n, h, w] = ((n * height + row) * width + column) * channels
    return places, border


@compiled
def runs_of(x: Any, size: Any, border: Any) -> Any:
    """The runs of a window, which are the rows of a filter, and their length."""
    width, channels = x.shape[2] + 2 * border[1], x.shape[3]
    return numpy.arange(size[0]) * (width * channels), size[1] * channels


@compiled
def frames_for(x: Any, images: int, border: Any, slack: int) -> Any:
    """Zeros for so many images with their border, in one dimension, with `slack` values behind them."""
    size = (x.shape[1] + 2 * border[0]) * (x.shape[2] + 2 * border[1]) * x.shape[3]
    return numpy.zeros(images * size + slack, numpy.float32)


@compiled
def write_into_frames(x: Any, border: Any, frames: Any) -> None:
    """Write the images into their frames; the borders stay as they are."""
    height, length = x.shape[1], x.shape[2] * x.shape[3]
    step = length + 2 * border[1] * x.shape[3]
    source = x.reshape(-1)
    for n in range(len(x)):
        written = (n * (height + 2 * border[0]) + border[0]) * step + border[1] * x.shape[3]
        for h in range(height):
            copy(frames, written + h * step, source, (n * height + h) * length, length)
