"""Filters as the convolutions read them, and back.

A filter (K, C, R, S) is a matrix with a row for each (r, s, c) and a column for each output channel, filled up with
zeros to a multiple of LANES columns. It is packed by blocks of 2 * LANES columns, and a last one of LANES columns if
that is all that is left: block after block, row after row. It begins at a cache line, so that no vector lies in two.
"""

from __future__ import annotations

from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled
from bench.training.arithmetic.kernels.vectors import LANES

_BLOCK = 2 * LANES
_LINE = 16  # float32 values in 64 bytes


def room_for_filter(outputs: int, inputs: int, height: int, width: int) -> Any:
    """Zeros for a filter of this shape in its packed form."""
    return aligned(inputs * height * width * filled_up(outputs))


def room_for_bias(outputs: int) -> Any:
    """Zeros for a bias, as long as the packed filter has columns; the caller writes the first ones."""
    return aligned(filled_up(outputs))


def filled_up(channels: int) -> int:
    return -(-channels // LANES) * LANES


def aligned(count: int) -> Any:
    memory = numpy.zeros(count + _LINE, numpy.float32)
    first = -(memory.ctypes.data // memory.itemsize) % _LINE
    return memory[first : first + count]


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
    """Write the float64 rows of `filter_gradient` into an array like the filter, rounded to float32."""
    outputs, inputs, height, width = weight.shape
    for k in range(outputs):
        for c in range(inputs):
            for r in range(height):
                for s in range(width):
                    weight[k, c, r, s] = numpy.float32(rows[(r * width + s) * inputs + c, k])
