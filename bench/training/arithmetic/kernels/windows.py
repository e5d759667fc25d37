"""Where a convolution finds its input: the windows of the output's pixels, and images with a border of zeros.

A place is where the window of an output pixel begins; a run is a stretch of a window that lies side by side in memory,
given by its offset. With them every padding, stride and dilation is the same code for a tile.
"""

from __future__ import annotations

from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled
from bench.training.arithmetic.kernels.vectors import copy

_PIXELS_AT_ONCE = 192  # small images are treated several at once, so that few tiles lack pixels


@compiled
def places_of(x: Any, y: Any, padding: Any, stride: int) -> Any:
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
                row, column = h * stride + max(-rows, 0), w * stride + max(-columns, 0)
                places[n, h, w] = ((n * height + row) * width + column) * channels
    return places, border


@compiled
def runs_of(x: Any, size: Any, border: Any, dilation: int) -> Any:
    """The runs of a window, and their length: they are the rows of a filter, or its pixels where it is dilated."""
    width, channels = x.shape[2] + 2 * border[1], x.shape[3]
    if dilation == 1:
        return numpy.arange(size[0]) * (width * channels), size[1] * channels
    offsets = numpy.empty((size[0], size[1]), numpy.int64)
    for r in range(size[0]):
        for s in range(size[1]):
            offsets[r, s] = (r * width + s) * dilation * channels
    return offsets.reshape(-1), channels


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
