"""Normalisation of each image by itself: group and layer normalisation of images (images, height, width, channels)."""

from __future__ import annotations

from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled, fma

_ZERO = numpy.float32(0)


@compiled
def _image_sums(values: Any, sums: Any) -> None:
    """Add the values of one image up for each channel: rows in float32, then columns in float64; sums (channels,)."""
    height, width, channels = values.shape
    for c in range(channels):
        sums[c] = 0.0
        for w in range(width):
            part = _ZERO
            for h in range(height):
                part += values[h, w, c]
            sums[c] += numpy.float64(part)


@compiled
def _image_products(first: Any, second: Any, sums: Any) -> None:
    """Add the products of two images up for each channel, as `_image_sums` does."""
    height, width, channels = first.shape
    for c in range(channels):
        sums[c] = 0.0
        for w in range(width):
            part = _ZERO
            for h in range(height):
                part = fma(first[h, w, c], second[h, w, c], part)
            sums[c] += numpy.float64(part)


@compiled
def _group_sums(sums: Any, factors: Any, groups: int, result: Any) -> None:
    """Add the channels of each group up, each times its factor."""
    channels = len(sums) // groups
    for g in range(groups):
        result[g] = 0.0
        for c in range(g * channels, (g + 1) * channels):
            product = numpy.float64(factors[c]) * sums[c]
            result[g] += product


@compiled
def _centred(x: Any, groups: int, epsilon: float, ones: Any, e: Any, mean: Any, inverse: Any) -> None:
    """From one image x: e = x - mean, and the mean and the inverse deviation of each group, float64 (groups,)."""
    height, width, channels = x.shape
    count = float(height * width * (channels // groups))
    sums, total = numpy.empty(channels), numpy.empty(groups)
    _image_sums(x, sums)
    _group_sums(sums, ones, groups, total)
    for g in range(groups):
        mean[g] = total[g] / count
    for h in range(height):
        for w in range(width):
            for c in range(channels):
                e[h, w, c] = x[h, w, c] - numpy.float32(mean[c // (channels // groups)])
    _image_products(e, e, sums)
    _group_sums(sums, ones, groups, total)
    for g in range(groups):
        inverse[g] = 1.0 / numpy.sqrt(total[g] / count + epsilon)


@compiled
def group_norm(x: Any, groups: int, epsilon: float, weight: Any, bias: Any, y: Any) -> None:
    """Normalise each group of channels of each image; weight and bias are float32 (channels,)."""
    images, height, width, channels = x.shape
    ones = numpy.ones(channels, numpy.float32)
    e = numpy.empty((height, width, channels), numpy.float32)
    mean, inverse = numpy.empty(groups), numpy.empty(groups)
    scale, shift = numpy.empty(channels, numpy.float32), numpy.empty(channels, numpy.float32)
    for n in range(images):
        _centred(x[n], groups, epsilon, ones, e, mean, inverse)
        for c in range(channels):
            g = c // (channels // groups)
            exact = numpy.float64(weight[c]) * inverse[g]
            product = mean[g] * exact
            scale[c], shift[c] = numpy.float32(exact), numpy.float32(numpy.float64(bias[c]) - product)
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    y[n, h, w, c] = fma(x[n, h, w, c], scale[c], shift[c])


@compiled
def group_norm_gradient(
    x: Any, dy: Any, groups: int, epsilon: float, weight: Any, weight_total: Any, bias_total: Any, dx: Any
) -> None:
    """Write dx, and add to the gradients of weight and bias, float64 (channels,)."""
    images, height, width, channels = x.shape
    size = channels // groups
    count = float(height * width * size)
    ones = numpy.ones(channels, numpy.float32)
    e = numpy.empty((height, width, channels), numpy.float32)
    mean, inverse, a, b = numpy.empty(groups), numpy.empty(groups), numpy.empty(groups), numpy.empty(groups)
    g1, g2 = numpy.empty(channels), numpy.empty(channels)
    for n in range(images):
        _centred(x[n], groups, epsilon, ones, e, mean, inverse)
        _image_sums(dy[n], g1)
        _image_products(dy[n], e, g2)
        _group_sums(g1, weight, groups, a)
        _group_sums(g2, weight, groups, b)
        for c in range(channels):
            product = g2[c] * inverse[c // size]
            weight_total[c] += product
            bias_total[c] += g1[c]
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    g = c // size
                    slope = numpy.float32(-inverse[g] * inverse[g] * inverse[g] * b[g] / count)
                    offset = numpy.float32(-inverse[g] * a[g] / count)
                    scale = numpy.float32(numpy.float64(weight[c]) * inverse[g])
                    dx[n, h, w, c] = fma(scale, dy[n, h, w, c], fma(slope, e[h, w, c], offset))


@compiled
def layer_norm(x: Any, epsilon: float, weight: Any, bias: Any, y: Any) -> None:
    """Normalise each image as a whole; weight and bias are float32 (height, width, channels)."""
    images, height, width, channels = x.shape
    ones = numpy.ones(channels, numpy.float32)
    e = numpy.empty((height, width, channels), numpy.float32)
    mean, inverse = numpy.empty(1), numpy.empty(1)
    for n in range(images):
        _centred(x[n], 1, epsilon, ones, e, mean, inverse)
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    y[n, h, w, c] = fma(e[h, w, c] * numpy.float32(inverse[0]), weight[h, w, c], bias[h, w, c])


@compiled
def layer_norm_gradient(
    x: Any, dy: Any, epsilon: float, weight: Any, weight_total: Any, bias_total: Any, dx: Any
) -> None:
    """Write dx, and add to the gradients of weight and bias, float64 (height, width, channels)."""
    images, height, width, channels = x.shape
    count = float(height * width * channels)
    ones = numpy.ones(channels, numpy.float32)
    e, u = numpy.empty((height, width, channels), numpy.float32), numpy.empty((height, width, channels), numpy.float32)
    mean, inverse, a, b = numpy.empty(1), numpy.empty(1), numpy.empty(1), numpy.empty(1)
    sums = numpy.empty(channels)
    for n in range(images):
        _centred(x[n], 1, epsilon, ones, e, mean, inverse)
        scale = numpy.float32(inverse[0])
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    u[h, w, c] = dy[n, h, w, c] * weight[h, w, c]
                    weight_total[h, w, c] += numpy.float64(dy[n, h, w, c] * (e[h, w, c] * scale))
                    bias_total[h, w, c] += numpy.float64(dy[n, h, w, c])
        _image_sums(u, sums)
        _group_sums(sums, ones, 1, a)
        _image_products(u, e, sums)
        _group_sums(sums, ones, 1, b)
        slope = numpy.float32(-inverse[0] * inverse[0] * inverse[0] * b[0] / count)
        offset = numpy.float32(-inverse[0] * a[0] / count)
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    dx[n, h, w, c] = fma(scale, u[h, w, c], fma(slope, e[h, w, c], offset))
