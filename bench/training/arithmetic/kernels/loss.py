"""Log-softmax, the loss and its gradient, with an exponential and a logarithm of fused multiply-adds alone."""

from __future__ import annotations

import math
from typing import Any

import numpy

from bench.training.arithmetic.kernels.compiled import bits, compiled, fma, fma64, from_bits

_LOG2E = float.fromhex("0x1.71547652b82fep+0")
_SHIFTER = float.fromhex("0x1.8p+52")
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SQRT2 = float.fromhex("0x1.6a09e667f3bcdp+0")
_EXPONENTIAL = tuple(1 / math.factorial(i) for i in range(14))
_LOGARITHM = tuple(1 / i for i in range(1, 24, 2))


@compiled
def exp(z: Any) -> Any:
    """e to the power of a float32, as float64; 0 below -708, infinite above 709."""
    x = numpy.float64(z)
    if x < -708.0:
        return 0.0
    if x > 709.0:
        return numpy.inf
    if x != x:
        return x
    n = (x * _LOG2E + _SHIFTER) - _SHIFTER
    r = fma64(-n, _LN2_LOW, fma64(-n, _LN2_HIGH, x))
    q = _EXPONENTIAL[13]
    for i in range(12, -1, -1):
        q = fma64(q, r, _EXPONENTIAL[i])
    return q * from_bits((numpy.int64(n) + 1023) << 52)


@compiled
def log(t: Any) -> Any:
    """The natural logarithm of a positive normal float64."""
    if not (t > 0.0 and t < numpy.inf):
        return numpy.nan
    n = ((bits(t) >> 52) & 2047) - 1023
    m = from_bits((bits(t) & 0xFFFFFFFFFFFFF) | (1023 << 52))
    if m > _SQRT2:
        m, n = m * 0.5, n + 1
    f = (m - 1.0) / (m + 1.0)
    g = f * f
    q = _LOGARITHM[11]
    for i in range(10, -1, -1):
        q = fma64(q, g, _LOGARITHM[i])
    return fma64(numpy.float64(n), _LN2_HIGH, fma64(numpy.float64(n), _LN2_LOW, 2.0 * f * q))


@compiled
def log_softmax(x: Any, y: Any) -> None:
    """Log-probabilities y of the scores x, both (images, classes)."""
    images, classes = x.shape
    for n in range(images):
        largest = x[n, 0]
        for j in range(1, classes):
            value = x[n, j]
            largest = value if value > largest or value != value else largest
        total = 0.0
        for j in range(classes):
            total += exp(x[n, j] - largest)
        logarithm = log(total)
        for j in range(classes):
            y[n, j] = numpy.float32(numpy.float64(x[n, j] - largest) - logarithm)


@compiled
def log_softmax_gradient(y: Any, dy: Any, dx: Any) -> None:
    """The gradient of the scores from that of the log-probabilities y."""
    images, classes = y.shape
    for n in range(images):
        total = numpy.float32(0)
        for j in range(classes):
            total += dy[n, j]
        for j in range(classes):
            dx[n, j] = fma(-numpy.float32(exp(y[n, j])), total, dy[n, j])


@compiled
def likelihood(y: Any, labels: Any) -> float:
    """The negative log-likelihood of the labels, added up over the images in float64."""
    total = 0.0
    for n in range(len(labels)):
        total += -numpy.float64(y[n, labels[n]])
    return total


@compiled
def likelihood_gradient(labels: Any, dy: Any) -> None:
    """The gradient of the mean negative log-likelihood with respect to the log-probabilities."""
    dy[:] = 0
    for n in range(len(labels)):
        dy[n, labels[n]] = numpy.float32(-1.0 / len(labels))


@compiled
def predicted(y: Any, digits: Any) -> None:
    """The position of the largest of each image's scores, the first of equal ones; digits is uint8 (images,)."""
    for n in range(len(y)):
        best = 0
        for j in range(1, y.shape[1]):
            if y[n, j] > y[n, best]:
                best = j
        digits[n] = best
