"""Batch normalisation with what stands around it, in as few passes over memory as there can be, on one core.

Between two convolutions a network normalises, cuts at zero, drops out. An operator for each reads and writes the whole
activation, which does not fit a cache, and on a CPU that takes longer than the arithmetic. Here all of it is two passes
forward (statistics; result) and two backward (sums; gradient), compiled by numba.

Every array is in channels-last order and seen as (images, rows, columns): a row holds some pixels, each with all its
channels, so that the innermost loop is long enough for vector instructions whatever the number of channels. Parameters
of a channel are repeated along the row. No sum crosses a column and no arithmetic is reordered, so the bits depend
neither on the width of the vector instructions nor on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numba
import numpy
from numpy.typing import NDArray
from torch import Tensor

Dropping = Literal["nothing", "channels", "values"]
_ZERO = numpy.float32(0)


@dataclass(frozen=True)
class Normalisation:
    """The four passes for one combination of cutting at zero before, cutting at zero after, and dropping out.

    x: activation before; y: after; dy, dx: their gradients. `mask` has, for dropped channels, a float32 factor an
    image and column (images, columns); for dropped values, 1 where one is kept, uint8 like x; else it is not read.
    `kept` is the factor of a kept value. The other arguments are float32 or float64 (columns,).
    """

    sums: Callable[..., None]
    apply: Callable[..., None]
    gradient_sums: Callable[..., None]
    gradient: Callable[..., None]


def channels_last(values: Tensor) -> NDArray[Any]:
    """(N, C, H, W) as an array (N, H, W, C), over the same memory where the order allows."""
    array: NDArray[Any] = values.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return array


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    try:
        compiled: Callable[..., None] = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder to keep it in: it is compiled anew in every process that needs it
        compiled = numba.njit(error_model="numpy")(function)
    return compiled


@cache
def normalisation(relu_before: bool, relu_after: bool, dropping: Dropping) -> Normalisation:
    """The passes for one combination; numba compiles each on its first call and keeps it on the disk."""
    drops_channels, drops_values = dropping == "channels", dropping == "values"

    def sums(x: Any, centre: Any, total: Any, squares: Any) -> None:
        """Add up x - centre and its square over images and rows."""
        images, rows, columns = x.shape
        first = numpy.empty(columns, numpy.float32)
        second = numpy.empty(columns, numpy.float32)
        for n in range(images):
            first[:] = 0
            second[:] = 0
            for r in range(rows):
                for j in range(columns):
                    v = x[n, r, j]
                    if relu_before:
                        v = v if v > _ZERO else _ZERO
                    v -= centre[j]
                    first[j] += v
                    second[j] += v * v
            for j in range(columns):  # one image at a time in float32, all of them in float64
                total[j] += first[j]
                squares[j] += second[j]

    def apply(x: Any, scale: Any, shift: Any, mask: Any, kept: Any, y: Any) -> None:
        """y = dropout(relu(scale * relu(x) + shift))."""
        images, rows, columns = x.shape
        for n in range(images):
            for r in range(rows):
                for j in range(columns):
                    v = x[n, r, j]
                    if relu_before:
                        v = v if v > _ZERO else _ZERO
                    v = v * scale[j] + shift[j]
                    if relu_after:
                        v = v if v > _ZERO else _ZERO
                    if drops_channels:
                        v *= mask[n, j]
                    if drops_values:
                        v *= kept * numpy.float32(mask[n, r, j])
                    y[n, r, j] = v

    def gradient_sums(
        x: Any, dy: Any, scale: Any, shift: Any, mean: Any, mask: Any, kept: Any, total: Any, products: Any
    ) -> None:
        """Add up the gradient of what was normalised, and its product with what was normalised less its mean."""
        images, rows, columns = x.shape
        first = numpy.empty(columns, numpy.float32)
        second = numpy.empty(columns, numpy.float32)
        for n in range(images):
            first[:] = 0
            second[:] = 0
            for r in range(rows):
                for j in range(columns):
                    v = x[n, r, j]
                    if relu_before:
                        v = v if v > _ZERO else _ZERO
                    g = dy[n, r, j]
                    if drops_channels:
                        g *= mask[n, j]
                    if drops_values:
                        g *= kept * numpy.float32(mask[n, r, j])
                    if relu_after:
                        g = g if v * scale[j] + shift[j] > _ZERO else _ZERO
                    first[j] += g
                    second[j] += g * (v - mean[j])
            for j in range(columns):
                total[j] += first[j]
                products[j] += second[j]

    def gradient(
        x: Any, dy: Any, scale: Any, shift: Any, mean: Any, slope: Any, offset: Any, mask: Any, kept: Any, dx: Any
    ) -> None:
        """dx = scale * g + slope * (relu(x) - mean) + offset where x passed, with g as in `gradient_sums`."""
        images, rows, columns = x.shape
        for n in range(images):
            for r in range(rows):
                for j in range(columns):
                    u = x[n, r, j]
                    v = u
                    if relu_before:
                        v = v if v > _ZERO else _ZERO
                    g = dy[n, r, j]
                    if drops_channels:
                        g *= mask[n, j]
                    if drops_values:
                        g *= kept * numpy.float32(mask[n, r, j])
                    if relu_after:
                        g = g if v * scale[j] + shift[j] > _ZERO else _ZERO
                    g = scale[j] * g + slope[j] * (v - mean[j]) + offset[j]
                    if relu_before:
                        g = g if u > _ZERO else _ZERO
                    dx[n, r, j] = g

    return Normalisation(*(compiled(function) for function in (sums, apply, gradient_sums, gradient)))


@compiled
def moments(
    sums: Any,
    centre: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    momentum: Any,
    epsilon: Any,
    count: Any,
    moment: Any,
    columns: Any,
) -> None:
    """From the sums (2, columns) around `centre` over `count` values a channel: what normalises a batch.

    Writes scale, shift, mean and inverse deviation to `moment` (4, channels), float64, and the first three, repeated
    along a row, to `columns` (3, columns), float32. The running mean and variance (channels,) are moved on.
    """
    channels = weight.shape[0]
    pixels = sums.shape[1] // channels
    for c in range(channels):
        first, second = 0.0, 0.0
        for k in range(pixels):
            first += sums[0, k * channels + c]
            second += sums[1, k * channels + c]
        first /= count
        variance = max(second / count - first * first, 0.0)
        mean = centre[c] + first
        running_mean[c] += momentum * (mean - running_mean[c])
        running_var[c] += momentum * (variance * count / (count - 1) - running_var[c])
        inverse = 1 / numpy.sqrt(variance + epsilon)
        scale = weight[c] * inverse
        moment[0, c], moment[1, c], moment[2, c], moment[3, c] = scale, bias[c] - mean * scale, mean, inverse
    for k in range(pixels):
        for c in range(channels):
            for row in range(3):
                columns[row, k * channels + c] = moment[row, c]


@compiled
def slopes(sums: Any, moment: Any, count: Any, columns: Any, gradients: Any) -> None:
    """From the sums (2, columns) over the gradient: what mean and variance pass on, and the parameters' gradients.

    Writes slope and offset, repeated along a row, to `columns` (2, columns), and the gradients of weight and bias to
    `gradients` (2, channels), all float32.
    """
    channels = moment.shape[1]
    pixels = sums.shape[1] // channels
    for c in range(channels):
        first, second = 0.0, 0.0
        for k in range(pixels):
            first += sums[0, k * channels + c]
            second += sums[1, k * channels + c]
        scale, inverse = moment[0, c], moment[3, c]
        gradients[0, c] = second * inverse
        gradients[1, c] = first
        for k in range(pixels):
            columns[0, k * channels + c] = -scale * inverse * inverse * second / count
            columns[1, k * channels + c] = -scale * first / count


@compiled
def keep(words: Any, threshold: Any, mask: Any) -> None:
    """Mask (images, pixels, channels) of 1 where the word of (images, channels, pixels) is below the threshold."""
    images, pixels, channels = mask.shape
    for n in range(images):
        for p in range(pixels):
            for c in range(channels):
                mask[n, p, c] = words[n, c, p] < threshold
