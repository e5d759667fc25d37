"""Convolutions with any stride, dilation and number of groups, in the same exact arithmetic, as plain loops.

They serve what `direct` does not. G is the number of groups; group g reads C / G channels and writes K / G, and a
filter is (K, C / G, R, S). The innermost loop goes over outputs that lie side by side, so that a compiler can use
vectors.
"""

from __future__ import annotations

from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled, fma

_ZERO = numpy.float32(0)


@compiled
def forward(x: Any, weight: Any, bias: Any, padding: Any, stride: Any, dilation: Any, groups: int, y: Any) -> None:
    """Write the convolution of x into y; bias: a value for each output channel, or none at all."""
    rows = numpy.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    inputs, outputs = x.shape[3] // groups, y.shape[3] // groups
    for n in range(y.shape[0]):
        for h in range(y.shape[1]):
            for w in range(y.shape[2]):
                sums = y[n, h, w]
                sums[:] = _ZERO
                for r in range(rows.shape[0]):
                    i = h * stride[0] - padding[0] + r * dilation[0]
                    for s in range(rows.shape[1]):
                        j = w * stride[1] - padding[1] + s * dilation[1]
                        inside = 0 <= i < x.shape[1] and 0 <= j < x.shape[2]
                        for g in range(groups):
                            for c in range(inputs):
                                value = x[n, i, j, g * inputs + c] if inside else _ZERO
                                row = rows[r, s, c]
                                for k in range(g * outputs, (g + 1) * outputs):
                                    sums[k] = fma(value, row[k], sums[k])
                if len(bias) > 0:
                    for k in range(y.shape[3]):
                        sums[k] += bias[k]


@compiled
def input_gradient(dy: Any, weight: Any, padding: Any, stride: Any, dilation: Any, groups: int, dx: Any) -> None:
    """Write the gradient of the input into dx; padding: that of the forward pass."""
    height, width = weight.shape[2:]
    rows = numpy.ascontiguousarray(weight.transpose(2, 3, 0, 1))
    inputs, outputs = dx.shape[3] // groups, dy.shape[3] // groups
    for n in range(dx.shape[0]):
        for i in range(dx.shape[1]):
            for j in range(dx.shape[2]):
                dx[n, i, j] = _ZERO
                for r in range(height - 1, -1, -1):
                    row = i + padding[0] - r * dilation[0]
                    for s in range(width - 1, -1, -1):
                        column = j + padding[1] - s * dilation[1]
                        if row % stride[0] != 0 or column % stride[1] != 0:
                            continue
                        h, w = row // stride[0], column // stride[1]
                        inside = 0 <= h < dy.shape[1] and 0 <= w < dy.shape[2]
                        for k in range(dy.shape[3]):
                            value = dy[n, h, w, k] if inside else _ZERO
                            factors = rows[r, s, k]
                            first = k // outputs * inputs
                            for c in range(inputs):
                                dx[n, i, j, first + c] = fma(value, factors[c], dx[n, i, j, first + c])


@compiled
def add_filter_gradient(
    x: Any, dy: Any, size: Any, padding: Any, stride: Any, dilation: Any, groups: int, total: Any
) -> None:
    """Add the gradient of the filter to float64 rows (R * S * C / G, K)."""
    inputs, outputs = x.shape[3] // groups, dy.shape[3] // groups
    sums_shape = (size[0] * size[1] * inputs, dy.shape[3])
    sums = numpy.empty(sums_shape, numpy.float32)
    for n in range(dy.shape[0]):
        sums[:] = _ZERO
        for h in range(dy.shape[1]):
            for w in range(dy.shape[2]):
                for r in range(size[0]):
                    i = h * stride[0] - padding[0] + r * dilation[0]
                    for s in range(size[1]):
                        j = w * stride[1] - padding[1] + s * dilation[1]
                        inside = 0 <= i < x.shape[1] and 0 <= j < x.shape[2]
                        for g in range(groups):
                            for c in range(inputs):
                                value = x[n, i, j, g * inputs + c] if inside else _ZERO
                                row = (r * size[1] + s) * inputs + c
                                for k in range(g * outputs, (g + 1) * outputs):
                                    sums[row, k] = fma(value, dy[n, h, w, k], sums[row, k])
        for row in range(sums.shape[0]):
            for k in range(sums.shape[1]):
                total[row, k] += numpy.float64(sums[row, k])
