"""Convolutions with a stride of 1 in exact arithmetic, on one core: forward, gradients of the input and of the filter.

Arrays are contiguous float32 in channels-last order: x (N, H, W, C), y and its gradient dy (N, OH, OW, K). A filter is
(K, C, R, S), and comes here as `packing` lays it out. The bits are defined by the order of the sums:

- forward: from +0, a chain of fused multiply-adds over r, s, c ascending; then the bias. Outside of the image is +0.
- gradient of the input: the forward pass over dy, with the filter flipped and transposed, and a padding of
  R - 1 - padding. For other strides, for dilation and groups see `grouped`.
- gradient of the filter: for each image a chain from +0 over its pixels, row by row; then the images in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled
from bench.training.arithmetic.kernels.packing import frames_for, places_of, runs_of, write_into_frames
from bench.training.arithmetic.kernels.tiles import filter_tile, forward_tile
from bench.training.arithmetic.kernels.vectors import LANES, REGISTERS, copy

# Rows of a tile: chains enough to hide the latency of a multiply-add, within the number of registers.
ROWS, FEW_ROWS = 12, 8
ROWS_OF_TWO, FEW_ROWS_OF_TWO = (6, 4) if REGISTERS == 16 else (12, 8)
SHORT = 3


def _forward_pass(tile_rows: int, vectors: int) -> Callable[..., None]:
    """A function that computes `vectors` * LANES channels of the output, from `column` on."""

    @compiled
    def compute(
        x: Any, places: Any, pixels: int, runs: Any, length: int, weights: Any, first_weight: int, bias: Any, y: Any,
        channels: int, column: int, next_x: Any,
    ) -> None:  # fmt: skip
        share = -(-len(next_x) // pixels) if column == 0 else 0
        for first in range(0, pixels, tile_rows):
            forward_tile(
                tile_rows, vectors, x, places, first, pixels - 1, runs, len(runs), length, weights, first_weight,
                len(bias), bias, y, channels, column, next_x, first * share, tile_rows * share,
            )  # fmt: skip

    return compute


def _filter_pass(many: int, few: int, vectors: int) -> Callable[..., None]:
    """A function that adds the part of some images to `vectors` * LANES columns of a filter's gradient."""

    @compiled
    def add(
        x: Any, x_image: int, dy: Any, dy_image: int, images: int, runs: Any, column: int, geometry: Any, total: Any,
        next_x: Any, next_dy: Any,
    ) -> None:  # fmt: skip
        length = geometry[6]
        for run in range(len(runs)):
            first = 0
            while first < length:
                left = length - first
                # Small tiles for the end, where one or two of them compute fewer rows than a large one.
                large = left > 2 * few or few < left <= many <= 2 * few
                rows = many if large else few
                start, row = _share(run * length + first, rows, len(total), geometry[0], len(next_x))
                for n in range(images):
                    row = row if n == 0 else 0
                    if large:
                        filter_tile(
                            1, many, vectors, x, n * x_image, dy, n * dy_image, runs, run, first, column, geometry,
                            total, next_x, next_dy, start, row,
                        )  # fmt: skip
                    else:
                        filter_tile(
                            1, few, vectors, x, n * x_image, dy, n * dy_image, runs, run, first, column, geometry,
                            total, next_x, next_dy, start, row,
                        )  # fmt: skip
                first += rows

    return add


@compiled
def _filter_short(
    x: Any, x_image: int, dy: Any, dy_image: int, images: int, runs: Any, column: int, geometry: Any, total: Any
) -> None:
    """The same for runs of few values, several at once: of an image with one channel, for instance."""
    for run in range(0, len(runs), SHORT):
        for n in range(images):
            filter_tile(
                SHORT, SHORT, 1, x, n * x_image, dy, n * dy_image, runs, run, 0, column, geometry, total, x, dy, 0, 0
            )  # fmt: skip


@compiled
def _share(first: int, count: int, rows: int, height: int, values: int) -> Any:
    """Of the values that the next image needs: where those begin that a tile asks for, and how many a row of pixels."""
    return values * first // rows, values * count // (rows * height)


_forward_one = _forward_pass(ROWS, 1)
_forward_two = _forward_pass(ROWS_OF_TWO, 2)
_filter_one = _filter_pass(ROWS, FEW_ROWS, 1)
_filter_two = _filter_pass(ROWS_OF_TWO, FEW_ROWS_OF_TWO, 2)


@compiled
def forward(x: Any, weights: Any, bias: Any, size: Any, padding: Any, y: Any, ahead: Any) -> None:
    """Write the convolution of x into y.

    size: (R, S) of the filter; padding: (rows, columns), a negative one leaves out the edge; weights: see `packing`;
    bias: as many values as the weights have columns, or none at all.
    """
    places, border = places_of(x, y, padding)
    runs, length = runs_of(x, size, border)
    channels, pixels, rows = y.shape[3], y.shape[1] * y.shape[2], len(runs) * length
    images, columns = len(places), len(weights) // rows
    places = places.reshape(-1)
    framed = max(border) > 0
    frames = frames_for(x, images if framed else 0, border, 0)
    for first in range(0, len(x), images):
        some = x[first : first + images]
        count = len(some) * pixels
        source = some.reshape(-1)
        if framed:
            write_into_frames(some, border, frames)
            source = frames
        target = y[first : first + images].reshape(-1)
        next_x = ahead[first * len(ahead) // len(x) : (first + images) * len(ahead) // len(x)]
        column = 0
        while column < columns:
            start = column * rows
            if columns - column >= 2 * LANES:
                _forward_two(
                    source, places, count, runs, length, weights, start, bias, target, channels, column, next_x
                )  # fmt: skip
                column += 2 * LANES
            else:
                _forward_one(
                    source, places, count, runs, length, weights, start, bias, target, channels, column, next_x
                )  # fmt: skip
                column += LANES


@compiled
def add_filter_gradient(x: Any, dy: Any, size: Any, padding: Any, total: Any, ahead: Any, ahead_too: Any) -> None:
    """Add the gradient of the filter to float64 rows (R * S * C, K filled up to a multiple of LANES)."""
    places, border = places_of(x, dy, padding)
    runs, length = runs_of(x, size, border)
    channels = dy.shape[3]
    images, columns = len(places), -(-channels // LANES) * LANES
    # Tiles read values behind the last one and drop them: behind the last image they must be memory of our own.
    frames = frames_for(x, images, border, ROWS)
    last = numpy.zeros(images * dy[0].size + LANES, numpy.float32)
    x_image, dy_image = (len(frames) - ROWS) // images, dy[0].size
    x_row = x_image // (x.shape[1] + 2 * border[0])
    geometry = dy.shape[1], dy.shape[2], x_row, x.shape[3], channels, len(runs), length, columns
    for first in range(0, len(x), images):
        some = x[first : first + images]
        source = some.reshape(-1)
        gradient = dy[first : first + images].reshape(-1)
        at_end = first + images >= len(x)
        if at_end or max(border) > 0:
            write_into_frames(some, border, frames)
            source = frames
        if at_end:
            copy(last, 0, gradient, 0, len(gradient))
            gradient = last
        source = source[places[0, 0, 0] :]
        next_x = ahead[first * len(ahead) // len(x) : (first + images) * len(ahead) // len(x)]
        next_dy = ahead_too[first * len(ahead_too) // len(x) : (first + images) * len(ahead_too) // len(x)]
        column = 0
        while column < columns:
            if length <= SHORT:
                _filter_short(source, x_image, gradient, dy_image, len(some), runs, column, geometry, total)
                column += LANES
            elif columns - column >= 2 * LANES:
                _filter_two(
                    source, x_image, gradient, dy_image, len(some), runs, column, geometry, total, next_x, next_dy
                )  # fmt: skip
                column += 2 * LANES
            else:
                _filter_one(
                    source, x_image, gradient, dy_image, len(some), runs, column, geometry, total, next_x, next_dy
                )  # fmt: skip
                column += LANES
            next_x, next_dy = next_x[:0], next_dy[:0]
