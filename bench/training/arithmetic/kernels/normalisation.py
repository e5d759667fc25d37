"""Batch normalisation of a chunk of images; `docs/arithmetic.md` defines every sum.

Arrays of values are float32 (images, rows, columns), where a column is a pixel of a row and a channel: columns are
width * channels. An array of a channel's numbers is repeated along the columns. Sums are float64 (columns,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

from bench.training.arithmetic.kernels.compiled import compiled, fma
from bench.training.arithmetic.kernels.packing import aligned

_ZERO, _ONE = numpy.float32(0), numpy.float32(1)

Dropping = Literal["nothing", "channels", "values"]
"""What a dropout drops."""


@compiled
def add_sums(x: Any, total: Any) -> None:
    """Add x up, over the rows of an image in float32, then over the images in float64."""
    images, rows, columns = x.shape
    part = numpy.empty(columns, numpy.float32)
    for n in range(images):
        part[:] = 0
        for r in range(rows):
            for j in range(columns):
                part[j] += x[n, r, j]
        for j in range(columns):
            total[j] += numpy.float64(part[j])


@dataclass(frozen=True)
class Passes:
    """The passes of a batch normalisation together with the ReLU before it and the ReLU and the dropout behind it.

    x: values before; y: values after; dy, dx: their gradients; all (images, rows, columns). If whole channels drop out,
    `mask` has a float32 factor for each image and column. If single values do, it has 1 for each that stays, uint8 like
    x. Else nothing reads it. `factor` multiplies a value that stays. The other arguments are float32 (columns,), except
    the sums, which are float64.
    """

    add_moments: Callable[..., None]
    apply: Callable[..., None]
    add_gradient_sums: Callable[..., None]
    gradient: Callable[..., None]


@cache
def passes(relu_before: bool, relu_first: bool, dropping: Dropping, relu_last: bool) -> Passes:
    """The passes for one combination: ReLU, normalisation, ReLU, dropout, ReLU; numba compiles those that are used."""
    drops_channels, drops_values = dropping == "channels", dropping == "values"

    def add_moments(x: Any, centre: Any, total: Any, squares: Any) -> None:
        """Add up relu(x) - centre and its square, as `add_sums` does."""
        images, rows, columns = x.shape
        first = numpy.empty(columns, numpy.float32)
        second = numpy.empty(columns, numpy.float32)
        for n in range(images):
            first[:] = _ZERO
            second[:] = _ZERO
            for r in range(rows):
                for j in range(columns):
                    v = x[n, r, j]
                    if relu_before:
                        v = _ZERO if v <= _ZERO else v
                    d = v - centre[j]
                    first[j] += d
                    second[j] = fma(d, d, second[j])
            for j in range(columns):
                total[j] += numpy.float64(first[j])
                squares[j] += numpy.float64(second[j])

    def apply(x: Any, scale: Any, shift: Any, mask: Any, factor: Any, y: Any) -> None:
        """y = relu(dropout(relu(scale * relu(x) + shift)))."""
        images, rows, columns = x.shape
        for n in range(images):
            for r in range(rows):
                for j in range(columns):
                    v = x[n, r, j]
                    if relu_before:
                        v = _ZERO if v <= _ZERO else v
                    v = fma(v, scale[j], shift[j])
                    if relu_first:
                        v = _ZERO if v <= _ZERO else v
                    if drops_channels:
                        v *= mask[n, j]
                    if drops_values:
                        v *= factor if mask[n, r, j] != 0 else _ZERO
                    if relu_last:
                        v = _ZERO if v <= _ZERO else v
                    y[n, r, j] = v

    def add_gradient_sums(
        x: Any, dy: Any, scale: Any, shift: Any, mean: Any, mask: Any, factor: Any, total: Any, products: Any
    ) -> None:
        """Add up the gradient of the normalised value, and its product with relu(x) - mean, as `add_sums` does."""
        images, rows, columns = x.shape
        first = numpy.empty(columns, numpy.float32)
        second = numpy.empty(columns, numpy.float32)
        for n in range(images):
            first[:] = _ZERO
            second[:] = _ZERO
            for r in range(rows):
                for j in range(columns):
                    v = x[n, r, j]
                    if relu_before:
                        v = _ZERO if v <= _ZERO else v
                    g = dy[n, r, j]
                    if relu_first or relu_last:
                        t = fma(v, scale[j], shift[j])
                    m = _ONE
                    if drops_channels:
                        m = mask[n, j]
                    if drops_values:
                        m = factor if mask[n, r, j] != 0 else _ZERO
                    if relu_last:
                        g = _ZERO if t * m <= _ZERO else g
                    if drops_channels or drops_values:
                        g *= m
                    if relu_first:
                        g = _ZERO if t <= _ZERO else g
                    first[j] += g
                    second[j] = fma(g, v - mean[j], second[j])
            for j in range(columns):
                total[j] += numpy.float64(first[j])
                products[j] += numpy.float64(second[j])

    def gradient(
        x: Any, dy: Any, scale: Any, shift: Any, mean: Any, slope: Any, offset: Any, mask: Any, factor: Any, dx: Any
    ) -> None:
        """dx = scale * g + (slope * (relu(x) - mean) + offset) where x passed, with g as in `add_gradient_sums`."""
        images, rows, columns = x.shape
        for n in range(images):
            for r in range(rows):
                for j in range(columns):
                    u = x[n, r, j]
                    v = u
                    if relu_before:
                        v = _ZERO if v <= _ZERO else v
                    g = dy[n, r, j]
                    if relu_first or relu_last:
                        t = fma(v, scale[j], shift[j])
                    m = _ONE
                    if drops_channels:
                        m = mask[n, j]
                    if drops_values:
                        m = factor if mask[n, r, j] != 0 else _ZERO
                    if relu_last:
                        g = _ZERO if t * m <= _ZERO else g
                    if drops_channels or drops_values:
                        g *= m
                    if relu_first:
                        g = _ZERO if t <= _ZERO else g
                    g = fma(scale[j], g, fma(slope[j], v - mean[j], offset[j]))
                    if relu_before:
                        g = _ZERO if u <= _ZERO else g
                    dx[n, r, j] = g

    return Passes(*(compiled(function) for function in (add_moments, apply, add_gradient_sums, gradient)))


@compiled
def channel_sums(total: Any, channels: int, result: Any) -> None:
    """Add the columns of each channel up, from left to right; result is float64 (channels,)."""
    for c in range(channels):
        result[c] = 0.0
        for j in range(c, len(total), channels):
            result[c] += total[j]


@compiled
def batch_statistics(total: Any, squares: Any, centre: Any, count: int, mean: Any, variance: Any) -> None:
    """Mean and variance of each channel from its sums around `centre`; all float64 (channels,) but float32 `centre`."""
    for c in range(len(mean)):
        a = total[c] / count
        mean[c] = numpy.float64(centre[c]) + a
        product = a * a
        v = squares[c] / count - product
        variance[c] = 0.0 if v < 0.0 else v


@compiled
def move_running(running: Any, momentum: float, batch: Any, numerator: float, denominator: float) -> None:
    """Move running statistics, float32 (channels,), towards those of a batch times numerator / denominator."""
    for c in range(len(running)):
        old = numpy.float64(running[c])
        value = batch[c] * numerator / denominator
        step = momentum * (value - old)
        running[c] = numpy.float32(old + step)


@compiled
def affine(
    mean: Any, variance: Any, epsilon: float, weight: Any, bias: Any, inverse: Any, scale: Any, shift: Any
) -> None:
    """What normalises: `inverse` deviation, `scale` and `shift`, float64 (channels,), from float32 weight and bias."""
    for c in range(len(mean)):
        inverse[c] = 1.0 / numpy.sqrt(variance[c] + epsilon)
        scale[c] = numpy.float64(weight[c]) * inverse[c]
        product = mean[c] * scale[c]
        shift[c] = numpy.float64(bias[c]) - product


@compiled
def slopes(scale: Any, inverse: Any, g1: Any, g2: Any, count: int, slope: Any, offset: Any) -> None:
    """How mean and variance pass the gradient on: float64 (channels,)."""
    for c in range(len(scale)):
        slope[c] = -scale[c] * inverse[c] * inverse[c] * g2[c] / count
        offset[c] = -scale[c] * g1[c] / count


def repeated(values: NDArray[Any], width: int) -> NDArray[numpy.float32]:
    """A number for each channel as float32, repeated along the columns of a row."""
    found: NDArray[numpy.float32] = aligned(width, len(values))
    found[:] = values
    return found.reshape(-1)
