"""Exact arithmetic once more: docs/arithmetic.md as code, slow and obvious, written from that page alone.

Arrays are in PyTorch's logical order, (N, C, H, W) or (N, F), in binary32 unless a name says otherwise. The names and
the order are the page's. Nothing here comes from bench/training/arithmetic, and nothing is fast: a chain is a loop.

The fused multiply-add is not the processor's: it is made of additions and products, see `fused32` and `fused64`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[int, int]

njit = functools.partial(numba.njit, error_model="numpy", cache=True)


def quietly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Infinities and NaN are values like others: NumPy is not to warn of them."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments, **named)

    return wrapped


@quietly
def f32(value: Any) -> Any:
    """Conversion to binary32."""
    return np.asarray(value).astype(np.float32)


def f64(value: Any) -> Any:
    """Conversion to binary64."""
    return np.asarray(value).astype(np.float64)


# ---------------------------------------------------------------------------------------------------------------------
# Fused multiply-add
# ---------------------------------------------------------------------------------------------------------------------


@njit
def two_sum(a, b):
    """The binary64 sum of two numbers, and its error. Both together are the exact sum (Knuth)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


@njit
def two_product(a, b):
    """The binary64 product of two numbers, and its error (Dekker). Far from overflow and underflow only."""
    splitter = 134217729.0  # 2^27 + 1
    big = splitter * a
    a_high = big - (big - a)
    a_low = a - a_high
    big = splitter * b
    b_high = big - (big - b)
    b_low = b - b_high
    product = a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@njit
def odd_sum(a, b):
    """The exact sum if it is a binary64, else that one of its two neighbours whose last bit is 1.

    A number that was rounded so can be rounded once more, to fewer bits, as if it had never been rounded before.
    """
    total, error = two_sum(a, b)
    if not math.isfinite(total) or error == 0.0:
        return total
    bits = np.float64(total).view(np.int64)
    if bits & 1 == 0:
        bits += 1 if (error > 0.0) == (total > 0.0) else -1
    return np.int64(bits).view(np.float64)


@njit
def fused32(a, b, c):
    """a * b + c in binary32, rounded once. The product of two binary32 is exact in binary64."""
    return np.float32(odd_sum(np.float64(a) * np.float64(b), np.float64(c)))


@njit
def fused64(a, b, c):
    """a * b + c in binary64, rounded once (Boldo and Melquiond 2008). Far from overflow and underflow only."""
    high, low = two_product(a, b)
    sum_high, sum_low = two_sum(c, low)
    total, error = two_sum(high, sum_high)
    return total + odd_sum(sum_low, error)


fma = numba.vectorize(["float32(float32, float32, float32)"], cache=True)(fused32.py_func)
"""The same for arrays of binary32, which are broadcast."""


# ---------------------------------------------------------------------------------------------------------------------
# Chains, and sums over channels
# ---------------------------------------------------------------------------------------------------------------------


@quietly
def chain(terms: Array, axis: int) -> Array:
    """From +0, p = p + t along one axis, in the format of the terms."""
    ordered = np.moveaxis(terms, axis, 0)
    p = np.zeros(ordered.shape[1:], terms.dtype)
    for t in ordered:
        p = p + t
    return p


@quietly
def fused_chain(a: Array, b: Array, axis: int) -> Array:
    """From +0, p = fma(a, b, p) along one axis."""
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    p = np.zeros(a.shape[1:], np.float32)
    for i in range(len(a)):
        p = fma(a[i], b[i], p)
    return p


def columns(a: Array, b: Array | None = None) -> Array:
    """Step 1: (N, C, W)."""
    return chain(a, 2) if b is None else fused_chain(a, b, 2)


def channel_sum(a: Array, b: Array | None = None) -> Array:
    """`sum(a)` or `sum(a, b)`: binary64, one for each channel."""
    over_images = chain(f64(columns(a, b)), 0)
    return chain(over_images, 1)


def image_sum(a: Array, b: Array | None = None) -> Array:
    """`sum of each image`: binary64, (N, C)."""
    return chain(f64(columns(a, b)), 2)


def spread(of_channels: Any) -> Array:
    """One value for each channel, or for each image and channel, beside (N, C, H, W)."""
    values = np.asarray(of_channels)
    return values[..., None, None] if values.ndim == 2 else values[None, :, None, None]


def four(value: Array) -> Array:
    """(N, F) is (N, F, 1, 1)."""
    return value.reshape(*value.shape, 1, 1) if value.ndim == 2 else value


# ---------------------------------------------------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------------------------------------------------


def positions(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit (the page does not say it: this is PyTorch's rule)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@njit
def input_at(x, n, c, h, w):
    """+0 outside of the image."""
    if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]:
        return x[n, c, h, w]
    return np.float32(0.0)


@njit
def convolution_chains(x, f, shape, stride, padding, dilation, groups):
    y = np.empty(shape, np.float32)
    N, O, Y, X = shape  # noqa: N806, E741
    _, C, R, S = f.shape  # noqa: N806
    for n in range(N):
        for o in range(O):
            first = o // (O // groups) * C
            for i in range(Y):
                for j in range(X):
                    p = np.float32(0.0)
                    for r in range(R):
                        for s in range(S):
                            for c in range(C):
                                h = i * stride[0] - padding[0] + r * dilation[0]
                                w = j * stride[1] - padding[1] + s * dilation[1]
                                p = fused32(input_at(x, n, first + c, h, w), f[o, c, r, s], p)
                    y[n, o, i, j] = p
    return y


@quietly
def convolution(
    x: Array, f: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    shape = (
        x.shape[0],
        f.shape[0],
        positions(x.shape[2], f.shape[2], stride[0], padding[0], dilation[0]),
        positions(x.shape[3], f.shape[3], stride[1], padding[1], dilation[1]),
    )
    p = convolution_chains(x, f, shape, stride, padding, dilation, groups)
    return p if bias is None else p + spread(bias)


@njit
def convolution_input_gradient(dy, f, shape, stride, padding, dilation, groups):
    """`shape` is that of the input."""
    dx = np.empty(shape, np.float32)
    N, C, H, W = shape  # noqa: N806
    O, _, R, S = f.shape  # noqa: N806, E741
    inputs, outputs = C // groups, O // groups
    for n in range(N):
        for c in range(C):
            group = c // inputs
            for h in range(H):
                for w in range(W):
                    p = np.float32(0.0)
                    for r in range(R - 1, -1, -1):
                        for s in range(S - 1, -1, -1):
                            y_stride = h + padding[0] - r * dilation[0]
                            x_stride = w + padding[1] - s * dilation[1]
                            if y_stride % stride[0] != 0 or x_stride % stride[1] != 0:
                                continue
                            for o in range(group * outputs, (group + 1) * outputs):
                                gradient = input_at(dy, n, o, y_stride // stride[0], x_stride // stride[1])
                                p = fused32(gradient, f[o, c - group * inputs, r, s], p)
                    dx[n, c, h, w] = p
    return dx


@njit
def convolution_filter_gradient(x, dy, shape, stride, padding, dilation, groups):
    """`shape` is that of the filter."""
    df = np.empty(shape, np.float32)
    N, _, Y, X = dy.shape  # noqa: N806
    O, C, R, S = shape  # noqa: N806, E741
    for o in range(O):
        first = o // (O // groups) * C
        for c in range(C):
            for r in range(R):
                for s in range(S):
                    total = 0.0
                    for n in range(N):
                        p = np.float32(0.0)
                        for i in range(Y):
                            for j in range(X):
                                h = i * stride[0] - padding[0] + r * dilation[0]
                                w = j * stride[1] - padding[1] + s * dilation[1]
                                p = fused32(input_at(x, n, first + c, h, w), dy[n, o, i, j], p)
                        total = total + np.float64(p)
                    df[o, c, r, s] = np.float32(total)
    return df


def bias_gradient(dy: Array) -> Array:
    return f32(channel_sum(dy))


ONE_PIXEL: tuple[Pair, Pair, Pair, int] = ((1, 1), (0, 0), (1, 1), 1)


def linear(x: Array, f: Array, bias: Array | None) -> Array:
    """x (N, F), f (O, F): a convolution of 1 x 1 on one pixel."""
    return convolution(four(x), four(f), bias, *ONE_PIXEL)[:, :, 0, 0]


def linear_gradients(x: Array, f: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Of the input, of the filter and of the bias."""
    x, f, dy = four(x), four(f), four(dy)
    dx = convolution_input_gradient(dy, f, x.shape, *ONE_PIXEL)
    df = convolution_filter_gradient(x, dy, f.shape, *ONE_PIXEL)
    return dx[:, :, 0, 0], df[:, :, 0, 0], bias_gradient(dy)


# ---------------------------------------------------------------------------------------------------------------------
# Normalisation
# ---------------------------------------------------------------------------------------------------------------------


class Normalised(NamedTuple):
    """What a normalisation gives, and what its gradients need. All but y is binary64."""

    y: Array
    mean: Array
    variance: Array
    inverse: Array
    scale: Array


def weight_and_bias(weight: Array | None, bias: Array | None, count: int) -> tuple[Array, Array]:
    """Weight 1 and bias 0 if there are none."""
    return (
        np.ones(count, np.float32) if weight is None else weight,
        np.zeros(count, np.float32) if bias is None else bias,
    )


@quietly
def batch_norm_with(
    x: Array, mean: Array, variance: Array, weight: Array | None, bias: Array | None, epsilon: float
) -> Normalised:
    """The lines from `inverse` on, with a mean and a variance in binary64."""
    weight, bias = weight_and_bias(weight, bias, x.shape[1])
    inverse = 1 / np.sqrt(variance + epsilon)
    scale = f64(weight) * inverse
    shift = f64(bias) - mean * scale
    y = fma(x, spread(f32(scale)), spread(f32(shift)))
    return Normalised(y, mean, variance, inverse, scale)


@quietly
def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, running_mean: Array | None, epsilon: float
) -> Normalised:
    """In training."""
    x = four(x)
    m = float(x.shape[0] * x.shape[2] * x.shape[3])
    k = np.zeros(x.shape[1], np.float32) if running_mean is None else running_mean
    d = x - spread(k)
    a = channel_sum(d) / m
    mean = f64(k) + a
    variance = channel_sum(d, d) / m - a * a
    variance = np.where(variance < 0, 0.0, variance)
    return batch_norm_with(x, mean, variance, weight, bias, epsilon)


@quietly
def running_statistics(
    running_mean: Array, running_variance: Array, mean: Array, variance: Array, m: int, momentum: float
) -> tuple[Array, Array]:
    """After a batch with this mean and this variance of m values."""
    return (
        f32(f64(running_mean) + momentum * (mean - f64(running_mean))),
        f32(f64(running_variance) + momentum * (variance * float(m) / float(m - 1) - f64(running_variance))),
    )


@quietly
def slope_and_offset(scale: Array, inverse: Array, g1: Array, g2: Array, m: float) -> tuple[Array, Array]:
    """In binary64, before they are converted. In group normalisation the first argument is the inverse as well."""
    return -scale * inverse * inverse * g2 / m, -scale * g1 / m


@quietly
def batch_norm_gradients(x: Array, dy: Array, forward: Normalised) -> tuple[Array, Array, Array]:
    """Of the input, of the weight and of the bias."""
    x, dy = four(x), four(dy)
    m = float(x.shape[0] * x.shape[2] * x.shape[3])
    scale, inverse = forward.scale, forward.inverse
    e = x - spread(f32(forward.mean))
    g1, g2 = channel_sum(dy), channel_sum(dy, e)
    slope, offset = slope_and_offset(scale, inverse, g1, g2, m)
    dx = fma(spread(f32(scale)), dy, fma(spread(f32(slope)), e, spread(f32(offset))))
    return dx, f32(g2 * inverse), f32(g1)


def batch_norm_in_evaluation(
    x: Array, weight: Array | None, bias: Array | None, running_mean: Array, running_variance: Array, epsilon: float
) -> Array:
    return batch_norm_with(four(x), f64(running_mean), f64(running_variance), weight, bias, epsilon).y


def of_groups(sums: Array, groups: int) -> Array:
    """(N, C) in binary64 gives (N, groups): a chain over the channels of the group."""
    return chain(sums.reshape(len(sums), groups, -1), 2)


@quietly
def group_statistics(x: Array, groups: int, epsilon: float) -> tuple[Array, Array, Array, Array]:
    """Mean, e, variance and inverse. All but e is binary64 (N, groups)."""
    channels = x.shape[1] // groups
    m = float(channels * x.shape[2] * x.shape[3])
    mean = of_groups(image_sum(x), groups) / m
    e = x - spread(f32(np.repeat(mean, channels, 1)))
    variance = of_groups(image_sum(e, e), groups) / m
    return mean, e, variance, 1 / np.sqrt(variance + epsilon)


@quietly
def group_norm(x: Array, weight: Array | None, bias: Array | None, groups: int, epsilon: float) -> Normalised:
    """Mean, variance and inverse are (N, groups), scale is (N, C)."""
    x = four(x)
    weight, bias = weight_and_bias(weight, bias, x.shape[1])
    channels = x.shape[1] // groups
    mean, _, variance, inverse = group_statistics(x, groups, epsilon)
    scale = f64(weight) * np.repeat(inverse, channels, 1)
    shift = f64(bias) - np.repeat(mean, channels, 1) * scale
    y = fma(x, spread(f32(scale)), spread(f32(shift)))
    return Normalised(y, mean, variance, inverse, scale)


@quietly
def group_norm_gradients(
    x: Array, dy: Array, weight: Array | None, groups: int, forward: Normalised
) -> tuple[Array, Array, Array]:
    """Of the input, of the weight and of the bias."""
    x, dy = four(x), four(dy)
    weight, _ = weight_and_bias(weight, None, x.shape[1])
    channels = x.shape[1] // groups
    m = float(channels * x.shape[2] * x.shape[3])
    inverse = forward.inverse
    e = x - spread(f32(np.repeat(forward.mean, channels, 1)))
    g1, g2 = image_sum(dy), image_sum(dy, e)
    A = of_groups(f64(weight) * g1, groups)  # noqa: N806
    B = of_groups(f64(weight) * g2, groups)  # noqa: N806
    slope, offset = (np.repeat(one, channels, 1) for one in slope_and_offset(inverse, inverse, A, B, m))
    dx = fma(spread(f32(forward.scale)), dy, fma(spread(f32(slope)), e, spread(f32(offset))))
    return dx, f32(chain(g2 * np.repeat(inverse, channels, 1), 0)), f32(chain(g1, 0))


@quietly
def layer_norm(x: Array, weight: Array | None, bias: Array | None, epsilon: float) -> Normalised:
    """Over a whole image: weight and bias are (C, H, W). Mean, variance and inverse are (N, 1)."""
    x = four(x)
    mean, e, variance, inverse = group_statistics(x, 1, epsilon)
    one, zero = np.float32(1), np.float32(0)
    y = fma(e * spread(f32(inverse)), one if weight is None else weight, zero if bias is None else bias)
    return Normalised(y, mean, variance, inverse, inverse)


@quietly
def layer_norm_gradients(x: Array, dy: Array, weight: Array | None, forward: Normalised) -> tuple[Array, Array, Array]:
    """Of the input, of the weight and of the bias."""
    x, dy = four(x), four(dy)
    m = float(x[0].size)
    inverse = forward.inverse
    e = x - spread(f32(forward.mean))
    u = dy * (np.float32(1) if weight is None else weight)
    A, B = of_groups(image_sum(u), 1), of_groups(image_sum(u, e), 1)  # noqa: N806
    slope, offset = slope_and_offset(inverse, inverse, A, B, m)
    dx = fma(spread(f32(inverse)), u, fma(spread(f32(slope)), e, spread(f32(offset))))
    return dx, f32(chain(f64(dy * (e * spread(f32(inverse)))), 0)), f32(chain(f64(dy), 0))


# ---------------------------------------------------------------------------------------------------------------------
# Values one by one
# ---------------------------------------------------------------------------------------------------------------------

ZERO, SIX = np.float32(0), np.float32(6)


def relu(x: Array) -> Array:
    return np.where(x <= 0, ZERO, x)


def relu_gradient(x: Array, dy: Array) -> Array:
    return np.where(x <= 0, ZERO, dy)


@quietly
def leaky_relu(x: Array, slope: float) -> Array:
    return np.where(x > 0, x, x * np.float32(slope))


@quietly
def leaky_relu_gradient(x: Array, dy: Array, slope: float) -> Array:
    return np.where(x > 0, dy, dy * np.float32(slope))


def relu6(x: Array) -> Array:
    return np.where(x <= 0, ZERO, np.where(x >= 6, SIX, x))


def relu6_gradient(x: Array, dy: Array) -> Array:
    return np.where((x <= 0) | (x >= 6), ZERO, dy)


@quietly
def dropout(x: Array, kept: Array, p: float) -> Array:
    """`kept` says of each value, or of something that is broadcast to it, whether it stays. Its gradient is the same
    function of dy."""
    return x * np.where(kept, f32(1 / (1 - np.float64(p))), ZERO)


@quietly
def addition(x: Array, y: Array) -> Array:
    """Its gradient is dy for both."""
    return x + y


def concatenation(values: list[Array]) -> Array:
    return np.concatenate(values, 1)


def concatenation_gradients(values: list[Array], dy: Array) -> list[Array]:
    ends = np.cumsum([value.shape[1] for value in values])
    return [dy[:, end - value.shape[1] : end] for value, end in zip(values, ends, strict=True)]


@quietly
def sum_of_users(gradients: list[Array]) -> Array:
    """The gradients of a value from its users, in the order of the forward pass. It does not start from +0."""
    p = gradients[-1]
    for gradient in gradients[-2::-1]:
        p = p + gradient
    return p


# ---------------------------------------------------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------------------------------------------------


def pool_positions(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows there are (the page does not say it: this is PyTorch's rule)."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


@njit
def max_pool_positions(x, shape, kernel, stride, padding, dilation):
    """Row and column that each window chose."""
    N, C, Y, X = shape  # noqa: N806
    chosen = np.empty((N, C, Y, X, 2), np.int64)
    for n in range(N):
        for c in range(C):
            for i in range(Y):
                for j in range(X):
                    row = column = -1
                    for r in range(kernel[0]):
                        for s in range(kernel[1]):
                            h = i * stride[0] - padding[0] + r * dilation[0]
                            w = j * stride[1] - padding[1] + s * dilation[1]
                            if not (0 <= h < x.shape[2] and 0 <= w < x.shape[3]):
                                continue
                            t = x[n, c, h, w]
                            if row == -1 or t > x[n, c, row, column] or math.isnan(t):
                                row, column = h, w
                    chosen[n, c, i, j, 0], chosen[n, c, i, j, 1] = row, column
    return chosen


@njit
def max_pool_gradient_of(dy, chosen, shape):
    """`shape` is that of the input."""
    dx = np.zeros(shape, np.float32)
    N, C, Y, X = dy.shape  # noqa: N806
    for n in range(N):
        for c in range(C):
            for i in range(Y):
                for j in range(X):
                    row, column = chosen[n, c, i, j]
                    dx[n, c, row, column] = dx[n, c, row, column] + dy[n, c, i, j]
    return dx


def max_pool(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool = False
) -> tuple[Array, Array]:
    """The result, and what each window chose."""
    Y, X = (  # noqa: N806
        pool_positions(x.shape[2 + i], kernel[i], stride[i], padding[i], dilation[i], ceil_mode) for i in (0, 1)
    )
    chosen = max_pool_positions(x, (x.shape[0], x.shape[1], Y, X), kernel, stride, padding, dilation)
    n, c = np.ogrid[: x.shape[0], : x.shape[1]]
    return x[n[..., None, None], c[..., None, None], chosen[..., 0], chosen[..., 1]], chosen


def max_pool_gradient(dy: Array, chosen: Array, shape: tuple[int, ...]) -> Array:
    return max_pool_gradient_of(dy, chosen, shape)


class Window(NamedTuple):
    """The rows (or the columns) from first to last of a window inside of the image, and how many the divisor counts."""

    first: int
    last: int
    counted: int


def windows(
    size: int, kernel: int, stride: int, padding: int, count_include_pad: bool, ceil_mode: bool = False
) -> list[Window]:
    """Of an average pool. PyTorch's layer counts no position beyond the padding."""
    result = []
    for i in range(pool_positions(size, kernel, stride, padding, 1, ceil_mode)):
        start = i * stride - padding
        first, last = max(start, 0), min(start + kernel, size) - 1
        padded = min(start + kernel, size + padding) - start
        result.append(Window(first, last, padded if count_include_pad else last - first + 1))
    return result


def adaptive_windows(size: int, count: int) -> list[Window]:
    result = []
    for i in range(count):
        first, last = math.floor(i * size / count), math.ceil((i + 1) * size / count) - 1
        result.append(Window(first, last, last - first + 1))
    return result


@quietly
def average_pool(x: Array, rows: list[Window], columns: list[Window]) -> Array:
    y = np.empty((*x.shape[:2], len(rows), len(columns)), np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            p = np.zeros(x.shape[:2], np.float32)
            for h in range(row.first, row.last + 1):
                for w in range(column.first, column.last + 1):
                    p = p + x[:, :, h, w]
            y[:, :, i, j] = p / np.float32(row.counted * column.counted)
    return y


@quietly
def average_pool_gradient(dy: Array, rows: list[Window], columns: list[Window], shape: tuple[int, ...]) -> Array:
    """`shape` is that of the input."""
    dx = np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            share = dy[:, :, i, j] / np.float32(row.counted * column.counted)
            for h in range(row.first, row.last + 1):
                for w in range(column.first, column.last + 1):
                    dx[:, :, h, w] = dx[:, :, h, w] + share
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# Loss
# ---------------------------------------------------------------------------------------------------------------------

LOG2E = float.fromhex("0x1.71547652b82fep+0")
SHIFTER = float.fromhex("0x1.8p+52")
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
SQRT2 = float.fromhex("0x1.6a09e667f3bcdp+0")
ONE_BY_FACTORIAL = np.array([1 / math.factorial(i) for i in range(14)])  # Python's quotient of integers is the nearest
ONE_BY = np.array([math.nan, *(1 / i for i in range(1, 24))])


@njit
def exp(z):
    """Of binary32, in binary64."""
    z = np.float64(z)
    if math.isnan(z):
        return z
    if z < -708.0:
        return 0.0
    if z > 709.0:
        return math.inf
    n = (z * LOG2E + SHIFTER) - SHIFTER
    r = fused64(-n, LN2_LOW, fused64(-n, LN2_HIGH, z))
    q = ONE_BY_FACTORIAL[13]
    for i in range(12, -1, -1):
        q = fused64(q, r, ONE_BY_FACTORIAL[i])
    return math.ldexp(q, int(n))


@njit
def log(t):
    """Of a positive normal binary64, in binary64."""
    if math.isnan(t):
        return t
    half, exponent = math.frexp(t)  # half in [1/2, 1)
    m, n = half * 2.0, float(exponent - 1)
    if m > SQRT2:
        m, n = m * 0.5, n + 1.0
    f = (m - 1.0) / (m + 1.0)
    g = f * f
    q = ONE_BY[23]
    for i in range(21, 0, -2):
        q = fused64(q, g, ONE_BY[i])
    return fused64(n, LN2_HIGH, fused64(n, LN2_LOW, 2.0 * f * q))


def largest(scores: Array) -> int:
    """The first position, replaced by a later one that is greater or NaN."""
    best = 0
    for i in range(1, len(scores)):
        if scores[i] > scores[best] or np.isnan(scores[i]):
            best = i
    return best


@quietly
def log_softmax(x: Array) -> Array:
    y = np.empty_like(x)
    for n, scores in enumerate(x):
        b = scores[largest(scores)]
        z = scores - b
        t = 0.0
        for value in z:
            t = t + exp(value)
        y[n] = f32(f64(z) - log(t))
    return y


@quietly
def log_softmax_gradient(y: Array, dy: Array) -> Array:
    dx = np.empty_like(y)
    for n in range(len(y)):
        s = np.float32(0)
        for value in dy[n]:
            s = s + value
        for i in range(y.shape[1]):
            dx[n, i] = fma(-np.float32(exp(y[n, i])), s, dy[n, i])
    return dx


@quietly
def loss_sum(y: Array, labels: Array) -> float:
    """The chain over the images, not divided."""
    p = 0.0
    for n, label in enumerate(labels):
        p = p + -float(y[n, label])
    return p


def negative_log_likelihood(y: Array, labels: Array) -> float:
    return loss_sum(y, labels) / len(labels)


def negative_log_likelihood_gradient(y: Array, labels: Array) -> Array:
    dy = np.zeros_like(y)
    for n, label in enumerate(labels):
        dy[n, label] = np.float32(-1 / len(labels))
    return dy


def predicted_digit(scores: Array) -> int:
    """The position of the largest score; of equal ones the first. (The page does not speak of NaN: here it is 0 if all
    scores are NaN, and log-softmax gives NaN to all or to none.)
    """
    best = 0
    for i in range(1, len(scores)):
        if scores[i] > scores[best]:
            best = i
    return best


# ---------------------------------------------------------------------------------------------------------------------
# Step
# ---------------------------------------------------------------------------------------------------------------------


def step(w: Array, g: Array, v: Array, momentum: float, rate: float) -> tuple[Array, Array]:
    """The new weight and the new velocity."""
    v = fma(np.float32(momentum), v, g)
    return fma(-np.float32(rate), v, w), v


@quietly
def pixel(value: int) -> np.float32:
    return (np.float32(value) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
