"""Max-pooling and average pooling of a chunk of images (images, height, width, channels), with their gradients."""

from __future__ import annotations

from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled

_ZERO = numpy.float32(0)


@compiled
def _window(index: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Any:
    """The positions of a window that are inside of the image, as (start, stop, step)."""
    start = index * stride - padding
    stop = min(start + (kernel - 1) * dilation + 1, size)
    if start < 0:
        start += (-start + dilation - 1) // dilation * dilation
    return start, stop, dilation


@compiled
def max_pool(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, y: Any) -> None:
    """y (images, rows, columns, channels) is the largest value of each window; the pairs are (rows, columns)."""
    channels = x.shape[3]
    for n in range(x.shape[0]):
        for i in range(y.shape[1]):
            rows = _window(i, x.shape[1], kernel[0], stride[0], padding[0], dilation[0])
            for j in range(y.shape[2]):
                columns = _window(j, x.shape[2], kernel[1], stride[1], padding[1], dilation[1])
                best = y[n, i, j]
                best[:] = x[n, rows[0], columns[0]]
                for h in range(rows[0], rows[1], rows[2]):
                    for w in range(columns[0], columns[1], columns[2]):
                        values = x[n, h, w]
                        for c in range(channels):
                            value = values[c]
                            best[c] = value if value > best[c] or value != value else best[c]


@compiled
def max_pool_gradient(x: Any, dy: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, dx: Any) -> None:
    """Give each gradient to the value that its window chose."""
    channels = x.shape[3]
    best = numpy.empty(channels, numpy.float32)
    chosen = numpy.empty(channels, numpy.int32)
    dx[:] = _ZERO
    for n in range(x.shape[0]):
        for i in range(dy.shape[1]):
            rows = _window(i, x.shape[1], kernel[0], stride[0], padding[0], dilation[0])
            for j in range(dy.shape[2]):
                columns = _window(j, x.shape[2], kernel[1], stride[1], padding[1], dilation[1])
                best[:] = x[n, rows[0], columns[0]]
                chosen[:] = 0
                place = numpy.int32(0)
                for h in range(rows[0], rows[1], rows[2]):
                    for w in range(columns[0], columns[1], columns[2]):
                        values = x[n, h, w]
                        for c in range(channels):
                            value = values[c]
                            is_better = value > best[c] or value != value
                            best[c] = value if is_better else best[c]
                            chosen[c] = place if is_better else chosen[c]
                        place += numpy.int32(1)
                place = numpy.int32(0)
                gradient = dy[n, i, j]
                for h in range(rows[0], rows[1], rows[2]):
                    for w in range(columns[0], columns[1], columns[2]):
                        target = dx[n, h, w]
                        for c in range(channels):
                            added = target[c] + gradient[c]
                            target[c] = added if chosen[c] == place else target[c]
                        place += numpy.int32(1)


@compiled
def average_pool(x: Any, rows: Any, columns: Any, divisors: Any, y: Any) -> None:
    """y is the sum of each window, divided. rows (rows, 2) and columns (columns, 2) have starts and stops."""
    channels = x.shape[3]
    for n in range(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                y[n, i, j] = 0
                for h in range(rows[i, 0], rows[i, 1]):
                    for w in range(columns[j, 0], columns[j, 1]):
                        for c in range(channels):
                            y[n, i, j, c] += x[n, h, w, c]
                for c in range(channels):
                    y[n, i, j, c] /= divisors[i, j]


@compiled
def average_pool_gradient(dy: Any, rows: Any, columns: Any, divisors: Any, dx: Any) -> None:
    """Give each value of a window its part of the gradient."""
    channels = dy.shape[3]
    dx[:] = 0
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for h in range(rows[i, 0], rows[i, 1]):
                    for w in range(columns[j, 0], columns[j, 1]):
                        for c in range(channels):
                            dx[n, h, w, c] += dy[n, i, j, c] / divisors[i, j]
