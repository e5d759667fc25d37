"""Winograd's minimal filtering F(4 x 4, 3 x 3): the transforms of a 3 x 3 convolution of stride 1, for one core.

A tile of 4 x 4 results takes 36 multiplications for a pair of channels instead of 144 (Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks", CVPR 2016; the matrices are theirs). With d a tile of 6 x 6 inputs, g a filter and a
dot for the product of two tiles, value by value, summed over the channels that go in:

    input  V = Bᵀ d B        filter  U = G g Gᵀ        result  Y = Aᵀ (U · V) A

Gradients take the same way back: with M = A dY Aᵀ, that of the filter is Gᵀ (V · M) G, that of the input B (U · M) Bᵀ,
added up where tiles overlap. The dots are 36 products of matrices, which `convolution` has the BLAS do.

Images are (images, height, width, channels), float32; tiles are (36, tiles, channels), ordered by image, row and
column. Columns of an image are first sorted by their remainder modulo 4: then every loop runs over all tiles and
channels of a row, which is long enough for vector instructions, and it writes one array. No sum is reordered.
"""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

from bench.training.arithmetic.normalisation import compiled

TILE = 4
"""Rows and columns of the result in a tile."""

_TWO, _FOUR, _FIVE, _EIGHT = (numpy.float32(value) for value in (2, 4, 5, 8))
_G = numpy.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_G_G = numpy.kron(_G, _G)  # (36, 9): both sides at once


def tiles_along(size: int) -> int:
    """How many tiles cover `size` rows or columns of a result."""
    return -(-size // TILE)


def filter_to_tiles(weight: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """U (36, channels in, channels out) of a filter (channels out, channels in, 3, 3)."""
    outs, ins = weight.shape[:2]
    flat = weight.transpose(2, 3, 1, 0).reshape(9, ins * outs).astype(numpy.float64)
    return (_G_G @ flat).reshape(36, ins, outs).astype(numpy.float32)


def filter_gradient_from_tiles(tiles: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """The gradient of a filter (channels out, channels in, 3, 3) from that of U (36, channels in, channels out)."""
    flat = _G_G.T @ tiles.reshape(36, -1).astype(numpy.float64)
    return numpy.ascontiguousarray(flat.reshape(3, 3, *tiles.shape[1:]).transpose(3, 2, 0, 1), dtype=numpy.float32)


@compiled
def images_to_tiles(images: Any, padding: Any, tiles: Any) -> None:
    """V of images with `padding` rows and columns of zeros on every side."""
    count, height, width, channels = images.shape
    down, across = (height + 2 * padding + 1) // 4, (width + 2 * padding + 1) // 4
    wide, row = (across + 1) * channels, across * channels
    sorted_images = numpy.zeros((4 * down + 2, 4, across + 1, channels), numpy.float32)
    flat, half = sorted_images.reshape(-1), numpy.zeros(24 * wide, numpy.float32)
    values, plane = tiles.reshape(-1), tiles.shape[1] * channels
    seen_rows, seen_columns = min(height, 4 * down + 2 - padding), min(width, 4 * across + 4 - padding)
    for n in range(count):
        for h in range(seen_rows):
            for w in range(seen_columns):
                remainder, tile = (w + padding) % 4, (w + padding) // 4
                for c in range(channels):
                    sorted_images[h + padding, remainder, tile, c] = images[n, h, w, c]
        for t in range(down):
            starts = (16 * t * wide, (16 * t + 4) * wide, (16 * t + 8) * wide)
            starts_after = ((16 * t + 12) * wide, (16 * t + 16) * wide, (16 * t + 20) * wide)
            _times_b_transposed(flat, starts + starts_after, half, 0, 4 * wide, 4 * wide)
            place = (n * down + t) * row
            for i in range(6):
                start = 4 * i * wide
                # the fifth and sixth column of a tile are the first two of the next
                across_starts = (start, start + wide, start + 2 * wide, start + 3 * wide)
                next_starts = (start + channels, start + wide + channels)
                _times_b_transposed(half, across_starts + next_starts, values, 6 * i * plane + place, plane, row)


@compiled
def tiles_to_images(tiles: Any, bias: Any, images: Any) -> None:
    """Y = Aᵀ (tiles) A + bias; rows and columns of the last tiles that the images do not have are left out."""
    count, height, width, channels = images.shape
    down, across = (height + 3) // 4, (width + 3) // 4
    row = across * channels
    half = numpy.zeros(24 * row, numpy.float32)
    sorted_row = numpy.zeros((4, across, channels), numpy.float32)
    flat, values, plane = sorted_row.reshape(-1), tiles.reshape(-1), tiles.shape[1] * channels
    for n in range(count):
        for t in range(down):
            place = (n * down + t) * row
            for j in range(6):
                _times_a_transposed(values, j * plane + place, 6 * plane, half, j * row, 6 * row, row)
            for i in range(min(4, height - 4 * t)):
                _times_a_transposed(half, 6 * i * row, row, flat, 0, row, row)
                for w in range(width):
                    remainder, tile = w % 4, w // 4
                    for c in range(channels):
                        images[n, 4 * t + i, w, c] = sorted_row[remainder, tile, c] + bias[c]


@compiled
def gradient_to_tiles(gradient: Any, tiles: Any) -> None:
    """M = A dY Aᵀ; rows and columns that the gradient of the result does not have count as zeros."""
    count, height, width, channels = gradient.shape
    down, across = (height + 3) // 4, (width + 3) // 4
    row = across * channels
    sorted_images = numpy.zeros((4 * down, 4, across, channels), numpy.float32)
    flat, half = sorted_images.reshape(-1), numpy.zeros(24 * row, numpy.float32)
    values, plane = tiles.reshape(-1), tiles.shape[1] * channels
    for n in range(count):
        for h in range(height):
            for w in range(width):
                remainder, tile = w % 4, w // 4
                for c in range(channels):
                    sorted_images[h, remainder, tile, c] = gradient[n, h, w, c]
        for t in range(down):
            _times_a(flat, 16 * t * row, 4 * row, half, 0, 4 * row, 4 * row)
            place = (n * down + t) * row
            for i in range(6):
                _times_a(half, 4 * i * row, row, values, 6 * i * plane + place, plane, row)


@compiled
def tiles_to_gradient(tiles: Any, padding: Any, gradient: Any) -> None:
    """The gradient of the images: B (tiles) Bᵀ, added up where tiles overlap."""
    count, height, width, channels = gradient.shape
    down, across = (height + 2 * padding + 1) // 4, (width + 2 * padding + 1) // 4
    wide, row = (across + 1) * channels, across * channels
    half, part = numpy.zeros(36 * row, numpy.float32), numpy.zeros(6 * row, numpy.float32)
    sorted_images = numpy.zeros((4 * down + 2, 4, across + 1, channels), numpy.float32)
    flat, values, plane = sorted_images.reshape(-1), tiles.reshape(-1), tiles.shape[1] * channels
    seen_rows, seen_columns = min(height, 4 * down + 2 - padding), min(width, 4 * across + 4 - padding)
    for n in range(count):
        flat[:] = 0
        for t in range(down):
            place = (n * down + t) * row
            for j in range(6):
                _times_b(values, j * plane + place, 6 * plane, half, j * row, 6 * row, row)
            for i in range(6):
                _times_b(half, 6 * i * row, row, part, 0, row, row)
                start = 4 * (4 * t + i) * wide
                for j in range(6):
                    begin = start + j * wide if j < 4 else start + (j - 4) * wide + channels
                    target, source = flat[begin : begin + row], part[j * row : j * row + row]
                    for k in range(row):
                        target[k] += source[k]
        for h in range(seen_rows):
            for w in range(seen_columns):
                remainder, tile = (w + padding) % 4, (w + padding) // 4
                for c in range(channels):
                    gradient[n, h, w, c] = sorted_images[h + padding, remainder, tile, c]
        gradient[n, seen_rows:] = 0
        gradient[n, :, seen_columns:] = 0


# Each of the following takes vectors of `length` values, which begin in `source` where `starts` says or at `start` and
# every `step` on, as the rows of a matrix; the rows of the product go to `target`, from `to` on every `stride`.


@compiled
def _times_b_transposed(source: Any, starts: Any, target: Any, to: Any, stride: Any, length: Any) -> None:
    x0, x1 = source[starts[0] : starts[0] + length], source[starts[1] : starts[1] + length]
    x2, x3 = source[starts[2] : starts[2] + length], source[starts[3] : starts[3] + length]
    x4, x5 = source[starts[4] : starts[4] + length], source[starts[5] : starts[5] + length]
    y = target[to : to + length]
    for k in range(length):
        y[k] = _FOUR * x0[k] - _FIVE * x2[k] + x4[k]
    y = target[to + stride : to + stride + length]
    for k in range(length):
        y[k] = (x4[k] - _FOUR * x2[k]) + (x3[k] - _FOUR * x1[k])
    y = target[to + 2 * stride : to + 2 * stride + length]
    for k in range(length):
        y[k] = (x4[k] - _FOUR * x2[k]) - (x3[k] - _FOUR * x1[k])
    y = target[to + 3 * stride : to + 3 * stride + length]
    for k in range(length):
        y[k] = (x4[k] - x2[k]) + _TWO * (x3[k] - x1[k])
    y = target[to + 4 * stride : to + 4 * stride + length]
    for k in range(length):
        y[k] = (x4[k] - x2[k]) - _TWO * (x3[k] - x1[k])
    y = target[to + 5 * stride : to + 5 * stride + length]
    for k in range(length):
        y[k] = _FOUR * x1[k] - _FIVE * x3[k] + x5[k]


@compiled
def _times_b(source: Any, start: Any, step: Any, target: Any, to: Any, stride: Any, length: Any) -> None:
    x0, x1 = source[start : start + length], source[start + step : start + step + length]
    x2, x3 = source[start + 2 * step : start + 2 * step + length], source[start + 3 * step : start + 3 * step + length]
    x4, x5 = source[start + 4 * step : start + 4 * step + length], source[start + 5 * step : start + 5 * step + length]
    y = target[to : to + length]
    for k in range(length):
        y[k] = _FOUR * x0[k]
    y = target[to + stride : to + stride + length]
    for k in range(length):
        y[k] = _FOUR * (x5[k] - (x1[k] - x2[k])) - _TWO * (x3[k] - x4[k])
    y = target[to + 2 * stride : to + 2 * stride + length]
    for k in range(length):
        y[k] = -_FIVE * x0[k] - _FOUR * (x1[k] + x2[k]) - (x3[k] + x4[k])
    y = target[to + 3 * stride : to + 3 * stride + length]
    for k in range(length):
        y[k] = (x1[k] - x2[k]) + _TWO * (x3[k] - x4[k]) - _FIVE * x5[k]
    y = target[to + 4 * stride : to + 4 * stride + length]
    for k in range(length):
        y[k] = x0[k] + (x1[k] + x2[k]) + (x3[k] + x4[k])
    y = target[to + 5 * stride : to + 5 * stride + length]
    for k in range(length):
        y[k] = x5[k]


@compiled
def _times_a_transposed(source: Any, start: Any, step: Any, target: Any, to: Any, stride: Any, length: Any) -> None:
    x0, x1 = source[start : start + length], source[start + step : start + step + length]
    x2, x3 = source[start + 2 * step : start + 2 * step + length], source[start + 3 * step : start + 3 * step + length]
    x4, x5 = source[start + 4 * step : start + 4 * step + length], source[start + 5 * step : start + 5 * step + length]
    y = target[to : to + length]
    for k in range(length):
        y[k] = x0[k] + (x1[k] + x2[k]) + (x3[k] + x4[k])
    y = target[to + stride : to + stride + length]
    for k in range(length):
        y[k] = (x1[k] - x2[k]) + _TWO * (x3[k] - x4[k])
    y = target[to + 2 * stride : to + 2 * stride + length]
    for k in range(length):
        y[k] = (x1[k] + x2[k]) + _FOUR * (x3[k] + x4[k])
    y = target[to + 3 * stride : to + 3 * stride + length]
    for k in range(length):
        y[k] = (x1[k] - x2[k]) + _EIGHT * (x3[k] - x4[k]) + x5[k]


@compiled
def _times_a(source: Any, start: Any, step: Any, target: Any, to: Any, stride: Any, length: Any) -> None:
    x0, x1 = source[start : start + length], source[start + step : start + step + length]
    x2, x3 = source[start + 2 * step : start + 2 * step + length], source[start + 3 * step : start + 3 * step + length]
    y = target[to : to + length]
    for k in range(length):
        y[k] = x0[k]
    y = target[to + stride : to + stride + length]
    for k in range(length):
        y[k] = (x0[k] + x2[k]) + (x1[k] + x3[k])
    y = target[to + 2 * stride : to + 2 * stride + length]
    for k in range(length):
        y[k] = (x0[k] + x2[k]) - (x1[k] + x3[k])
    y = target[to + 3 * stride : to + 3 * stride + length]
    for k in range(length):
        y[k] = (x0[k] + _FOUR * x2[k]) + (_TWO * x1[k] + _EIGHT * x3[k])
    y = target[to + 4 * stride : to + 4 * stride + length]
    for k in range(length):
        y[k] = (x0[k] + _FOUR * x2[k]) - (_TWO * x1[k] + _EIGHT * x3[k])
    y = target[to + 5 * stride : to + 5 * stride + length]
    for k in range(length):
        y[k] = x3[k]
