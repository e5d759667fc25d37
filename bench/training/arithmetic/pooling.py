"""Max-pooling of 2 x 2 pixels, alone and merged with the batch normalisation before it, on one core.

Merged, the activation in full resolution is read and not written forward, and backward only its gradient is. Arrays are
(images, height, width, channels); of equal values the first is chosen, as PyTorch does. See `normalisation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy

from bench.training.arithmetic.normalisation import compiled

_ZERO = numpy.float32(0)


@compiled
def max_pool(x: Any, y: Any, choice: Any) -> None:
    """The largest of every 2 x 2 pixels of (images, height, width, channels), and which of the four it was."""
    images, height, width, channels = y.shape
    for n in range(images):
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    best = x[n, 2 * h, 2 * w, c]
                    chosen = numpy.uint8(0)
                    v = x[n, 2 * h, 2 * w + 1, c]
                    chosen = numpy.uint8(1) if v > best else chosen
                    best = v if v > best else best
                    v = x[n, 2 * h + 1, 2 * w, c]
                    chosen = numpy.uint8(2) if v > best else chosen
                    best = v if v > best else best
                    v = x[n, 2 * h + 1, 2 * w + 1, c]
                    chosen = numpy.uint8(3) if v > best else chosen
                    best = v if v > best else best
                    y[n, h, w, c] = best
                    choice[n, h, w, c] = chosen


@compiled
def max_pool_gradient(dy: Any, choice: Any, dx: Any) -> None:
    """The gradient of `max_pool`: dy where a pixel was chosen, else 0; dx may be one row and column larger."""
    images, height, width, channels = dy.shape
    for n in range(images):
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    g = dy[n, h, w, c]
                    chosen = choice[n, h, w, c]
                    dx[n, 2 * h, 2 * w, c] = g if chosen == 0 else _ZERO
                    dx[n, 2 * h, 2 * w + 1, c] = g if chosen == 1 else _ZERO
                    dx[n, 2 * h + 1, 2 * w, c] = g if chosen == 2 else _ZERO
                    dx[n, 2 * h + 1, 2 * w + 1, c] = g if chosen == 3 else _ZERO
        for h in range(2 * height, dx.shape[1]):
            dx[n, h, :, :] = 0
        for w in range(2 * width, dx.shape[2]):
            dx[n, :, w, :] = 0


@dataclass(frozen=True)
class PooledNormalisation:
    """The passes of `normalisation.Normalisation` with a max-pool behind it, but for the first sums.

    `mask` has a float32 factor an image and channel, 1 where nothing is dropped. `chosen` keeps relu(x) of the pixel
    that was chosen, `choice` which of the four that is. The other arguments are float32 or float64 (channels,).
    """

    apply: Callable[..., None]
    gradient_sums: Callable[..., None]
    gradient: Callable[..., None]


@cache
def pooled_normalisation(relu_before: bool, relu_after: bool) -> PooledNormalisation:
    """The passes for one combination of cutting at zero; numba compiles each on its first call."""

    def apply(x: Any, scale: Any, shift: Any, mask: Any, y: Any, chosen: Any, choice: Any) -> None:
        """y = mask * max_pool(relu(scale * relu(x) + shift))."""
        images, height, width, channels = y.shape
        for n in range(images):
            for h in range(height):
                for w in range(width):
                    for c in range(channels):
                        v = x[n, 2 * h, 2 * w, c]
                        if relu_before:
                            v = v if v > _ZERO else _ZERO
                        kept, which = v, numpy.uint8(0)
                        best = v * scale[c] + shift[c]
                        v = x[n, 2 * h, 2 * w + 1, c]
                        if relu_before:
                            v = v if v > _ZERO else _ZERO
                        z = v * scale[c] + shift[c]
                        which = numpy.uint8(1) if z > best else which
                        kept = v if z > best else kept
                        best = z if z > best else best
                        v = x[n, 2 * h + 1, 2 * w, c]
                        if relu_before:
                            v = v if v > _ZERO else _ZERO
                        z = v * scale[c] + shift[c]
                        which = numpy.uint8(2) if z > best else which
                        kept = v if z > best else kept
                        best = z if z > best else best
                        v = x[n, 2 * h + 1, 2 * w + 1, c]
                        if relu_before:
                            v = v if v > _ZERO else _ZERO
                        z = v * scale[c] + shift[c]
                        which = numpy.uint8(3) if z > best else which
                        kept = v if z > best else kept
                        best = z if z > best else best
                        if relu_after:
                            best = best if best > _ZERO else _ZERO
                        y[n, h, w, c] = best * mask[n, c]
                        chosen[n, h, w, c] = kept
                        choice[n, h, w, c] = which

    def gradient_sums(
        chosen: Any, dy: Any, scale: Any, shift: Any, mean: Any, mask: Any, total: Any, products: Any
    ) -> None:
        """As `normalisation.Normalisation.gradient_sums`, over the pixels that were chosen."""
        images, height, width, channels = dy.shape
        first = numpy.empty(channels, numpy.float32)
        second = numpy.empty(channels, numpy.float32)
        for n in range(images):
            first[:] = 0
            second[:] = 0
            for h in range(height):
                for w in range(width):
                    for c in range(channels):
                        v = chosen[n, h, w, c]
                        g = dy[n, h, w, c] * mask[n, c]
                        if relu_after:
                            g = g if v * scale[c] + shift[c] > _ZERO else _ZERO
                        first[c] += g
                        second[c] += g * (v - mean[c])
            for c in range(channels):
                total[c] += first[c]
                products[c] += second[c]

    def gradient(
        x: Any,
        dy: Any,
        chosen: Any,
        choice: Any,
        scale: Any,
        shift: Any,
        mean: Any,
        slope: Any,
        offset: Any,
        mask: Any,
        dx: Any,
    ) -> None:
        """As `normalisation.Normalisation.gradient`, with g only where a pixel was chosen.

        Two rows of pixels at a time: first g is spread over them, then the rest is one long loop a row.
        """
        images, height, width, channels = dy.shape
        row = x.shape[2] * channels
        g = numpy.zeros((2, row), numpy.float32)
        factor = numpy.empty(channels, numpy.float32)
        means = numpy.empty(row, numpy.float32)
        slopes = numpy.empty(row, numpy.float32)
        offsets = numpy.empty(row, numpy.float32)
        for j in range(row):
            means[j], slopes[j], offsets[j] = mean[j % channels], slope[j % channels], offset[j % channels]
        x_rows = x.reshape(images, x.shape[1], row)
        dx_rows = dx.reshape(images, x.shape[1], row)
        for n in range(images):
            for c in range(channels):
                factor[c] = mask[n, c] * scale[c]
            for h in range((x.shape[1] + 1) // 2):
                if h == height:
                    g[:] = 0  # the last row of an odd size, which no pool covers
                else:
                    for w in range(width):
                        left, right = 2 * w * channels, (2 * w + 1) * channels
                        for c in range(channels):
                            d = dy[n, h, w, c] * factor[c]
                            if relu_after:
                                d = d if chosen[n, h, w, c] * scale[c] + shift[c] > _ZERO else _ZERO
                            which = choice[n, h, w, c]
                            g[0, left + c] = d if which == 0 else _ZERO
                            g[0, right + c] = d if which == 1 else _ZERO
                            g[1, left + c] = d if which == 2 else _ZERO
                            g[1, right + c] = d if which == 3 else _ZERO
                for k in range(min(2, x.shape[1] - 2 * h)):
                    for j in range(row):
                        u = x_rows[n, 2 * h + k, j]
                        v = u
                        if relu_before:
                            v = v if v > _ZERO else _ZERO
                        d = g[k, j] + slopes[j] * (v - means[j]) + offsets[j]
                        if relu_before:
                            d = d if u > _ZERO else _ZERO
                        dx_rows[n, 2 * h + k, j] = d

    return PooledNormalisation(*(compiled(function) for function in (apply, gradient_sums, gradient)))
