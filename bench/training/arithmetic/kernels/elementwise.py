"""Operations on values one by one, on flat float32 arrays of equal length."""

from __future__ import annotations

from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import compiled, fma

_ZERO, _SIX = numpy.float32(0), numpy.float32(6)


@compiled
def relu(x: Any, y: Any) -> None:
    """y = 0 where x <= 0, else x; NaN stays."""
    for i in range(len(x)):
        y[i] = _ZERO if x[i] <= _ZERO else x[i]


@compiled
def relu_gradient(x: Any, dy: Any, dx: Any) -> None:
    """dx = 0 where x <= 0, else dy."""
    for i in range(len(x)):
        dx[i] = _ZERO if x[i] <= _ZERO else dy[i]


@compiled
def leaky_relu(x: Any, slope: Any, y: Any) -> None:
    """y = x where x > 0, else x * slope."""
    for i in range(len(x)):
        y[i] = x[i] if x[i] > _ZERO else x[i] * slope


@compiled
def leaky_relu_gradient(x: Any, dy: Any, slope: Any, dx: Any) -> None:
    """dx = dy where x > 0, else dy * slope."""
    for i in range(len(x)):
        dx[i] = dy[i] if x[i] > _ZERO else dy[i] * slope


@compiled
def relu6(x: Any, y: Any) -> None:
    """y = 0 where x <= 0, 6 where x >= 6, else x."""
    for i in range(len(x)):
        y[i] = _ZERO if x[i] <= _ZERO else (_SIX if x[i] >= _SIX else x[i])


@compiled
def relu6_gradient(x: Any, dy: Any, dx: Any) -> None:
    """dx = 0 where x <= 0 or x >= 6, else dy."""
    for i in range(len(x)):
        dx[i] = _ZERO if x[i] <= _ZERO or x[i] >= _SIX else dy[i]


@compiled
def add(a: Any, b: Any, y: Any) -> None:
    """y = a + b; y may be a."""
    for i in range(len(a)):
        y[i] = a[i] + b[i]


@compiled
def drop_values(x: Any, keeps: Any, factor: Any, y: Any) -> None:
    """y = x * factor where `keeps`, uint8, is 1, and x * 0 where it is 0."""
    for i in range(len(x)):
        y[i] = x[i] * (factor if keeps[i] != 0 else _ZERO)


@compiled
def drop_channels(x: Any, factors: Any, y: Any) -> None:
    """y = x * factors for x (images, pixels, channels) and factors (images, channels)."""
    images, pixels, channels = x.shape
    for n in range(images):
        for p in range(pixels):
            for c in range(channels):
                y[n, p, c] = x[n, p, c] * factors[n, c]


@compiled
def descend(weight: Any, velocity: Any, gradient: Any, momentum: Any, rate: Any) -> None:
    """A step of gradient descent with momentum, in place."""
    for i in range(len(weight)):
        velocity[i] = fma(momentum, velocity[i], gradient[i])
        weight[i] = fma(-rate, velocity[i], weight[i])
