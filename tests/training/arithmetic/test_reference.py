"""Tests of `operations`: the reference itself rounds a fused multiply-add once, and its operations are PyTorch's.

Without this a mistake in `tests/helpers/reference.py` could only be found by somebody who makes another one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
import reference
import torch
import torch.nn.functional as F
from bits import KINDS, assert_same_bits, values
from numba.extending import intrinsic
from torch import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # infinities and NaN are values like others


@intrinsic
def llvm_fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """The processor's own, or the C library's."""
    return a(a, a, a), lambda context, builder, signature, arguments: builder.fma(*arguments)


llvm32 = numba.vectorize(["float32(float32, float32, float32)"])(lambda a, b, c: llvm_fused(a, b, c))
llvm64 = numba.vectorize(["float64(float64, float64, float64)"])(lambda a, b, c: llvm_fused(a, b, c))
own64 = numba.vectorize(["float64(float64, float64, float64)"])(reference.fused64.py_func)


def nearest32(value: Fraction) -> float:
    """The binary32 nearest to an exact value, ties to even; infinite from half a step above the largest."""
    if value == 0:
        return 0.0
    exponent = 0
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** max(exponent - 23, -149)
    rounded = round(value / step) * step  # Python rounds a fraction half to even
    if abs(rounded) >= Fraction(2) ** 128:
        return float("inf") if rounded > 0 else float("-inf")
    return float(rounded)


def triples(count: int, seed: int) -> Any:
    """Values whose sums and products overflow, vanish, cancel, and fall beside the middle of two binary32."""
    generator = np.random.default_rng(seed)
    for kind in KINDS:
        yield tuple(values(generator, (count,), kind) for _ in range(3))
    anything = generator.integers(0, 2**32, (3, count), np.uint32).view(np.float32)
    yield tuple(anything)
    a, b = values(generator, (count,), "normal"), values(generator, (count,), "normal")
    yield a, b, -(a * b)  # what is left is the error of the product
    c = generator.choice(np.array([2.0**-60, 2.0**-149, -(2.0**-140), 2.0**-126], np.float32), count)
    half = np.float32(1) + generator.integers(0, 4, count).astype(np.float32) * np.float32(2.0**-23)
    yield half, np.full(count, np.float32(1 + 2.0**-12)), c  # the product lies near the middle, and c decides
    yield np.full(count, np.float32(1 + 2.0**-23)), np.full(count, np.float32(1 - 2.0**-24)), c
    tiny = np.float32(2.0**-75) * values(generator, (count,), "normal")
    yield tiny, tiny, generator.choice(np.array([0.0, -0.0, 2.0**-149, -(2.0**-127)], np.float32), count)


def test_the_fused_multiply_add_of_binary32_is_the_processors():
    for a, b, c in triples(50_000, 1):
        assert_same_bits(reference.fma(a, b, c), llvm32(a, b, c), "fma")


def test_the_fused_multiply_add_of_binary32_is_the_exact_result_rounded():
    for a, b, c in triples(100, 2):
        for one in zip(a, b, c, strict=True):
            if np.isfinite(one).all():
                x, y, z = (Fraction(float(value)) for value in one)
                assert float(reference.fma(*one)) == nearest32(x * y + z), one


def test_a_sum_that_is_rounded_twice_would_be_another():
    """The product lies in the middle of two binary32; what c adds is lost in binary64, and with it the right answer."""
    a, b, c = np.float32(1 + 2.0**-12), np.float32(1 + 2.0**-12), np.float32(2.0**-60)
    exact = 1 + 2.0**-11 + 2.0**-24  # of the two, the one below is even
    assert float(a) * float(b) == exact
    assert np.float32(exact + float(c)) == np.float32(1 + 2.0**-11)
    assert reference.fma(a, b, c) == np.float32(1 + 2.0**-11 + 2.0**-23)


def test_the_fused_multiply_add_of_binary64_rounds_once():
    """In the range that exp and log need."""
    generator = np.random.default_rng(3)
    count = 50_000
    for low, high in ((-1, 1), (-30, 10), (-200, 30)):
        a, b, c = (generator.standard_normal(count) * 2.0 ** generator.integers(low, high, count) for _ in range(3))
        for third in (c, -(a * b), -(a * b) * (1 + generator.standard_normal(count) * 2.0**-52), np.zeros(count)):
            assert_same_bits(own64(a, b, third), llvm64(a, b, third), "fma of binary64")
        for one in zip(a[:200], b[:200], c[:200], strict=True):
            x, y, z = (Fraction(float(value)) for value in one)
            assert float(own64(*one)) == float(x * y + z)


# ---------------------------------------------------------------------------------------------------------------------
# Up to rounding, the operations are PyTorch's
# ---------------------------------------------------------------------------------------------------------------------


def near(found: Any, expected: Tensor | None) -> None:
    assert expected is not None
    wanted = expected.detach().numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))


def leaf(value: Any) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def normal(*shape: int) -> Any:
    return values(np.random.default_rng(sum(shape)), shape, "normal")


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [
        ((1, 1), (0, 0), (1, 1), 1),
        ((2, 1), (1, 2), (1, 2), 2),
        ((3, 2), (4, 0), (2, 1), 4),
        ((2, 2), (6, 5), (1, 1), 1),
    ],
)
def test_convolution_is_pytorchs(stride, padding, dilation, groups):
    x, f, b = normal(3, 4, 9, 8), normal(8, 4 // groups, 3, 2), normal(8)
    y = reference.convolution(x, f, b, stride, padding, dilation, groups)
    dy = normal(*y.shape)
    tx, tf, tb = leaf(x), leaf(f), leaf(b)
    ty = F.conv2d(tx, tf, tb, stride, padding, dilation, groups)
    ty.backward(torch.tensor(dy).double())
    near(y, ty)
    near(reference.convolution_input_gradient(dy, f, x.shape, stride, padding, dilation, groups), tx.grad)
    near(reference.convolution_filter_gradient(x, dy, f.shape, stride, padding, dilation, groups), tf.grad)
    near(reference.bias_gradient(dy), tb.grad)


def test_linear_is_pytorchs():
    x, f, b, dy = normal(5, 12), normal(7, 12), normal(7), normal(5, 7)
    tx, tf, tb = leaf(x), leaf(f), leaf(b)
    ty = F.linear(tx, tf, tb)
    ty.backward(torch.tensor(dy).double())
    near(reference.linear(x, f, b), ty)
    for found, expected in zip(reference.linear_gradients(x, f, dy), (tx, tf, tb), strict=True):
        near(found, expected.grad)


def test_normalisations_are_pytorchs():
    x, dy, w, b = normal(4, 6, 5, 3), normal(4, 6, 5, 3), normal(6), normal(6)
    mean, variance = normal(6), np.abs(normal(6)) + np.float32(0.5)
    wide_w, wide_b = normal(6, 5, 3), normal(6, 5, 3)
    running = torch.tensor(mean).double(), torch.tensor(variance).double()

    forward = reference.batch_norm(x, w, b, mean, 1e-3)
    moved = reference.running_statistics(mean, variance, forward.mean, forward.variance, 4 * 5 * 3, 0.2)
    grouped, layered = reference.group_norm(x, w, b, 3, 1e-3), reference.layer_norm(x, wide_w, wide_b, 1e-3)
    evaluated = reference.batch_norm_in_evaluation(x, w, b, mean, variance, 1e-3)
    near(evaluated, F.batch_norm(leaf(x), running[0], running[1], leaf(w), leaf(b), False, 0.2, 1e-3))
    for found, gradients, weights, apply in (
        (
            forward.y,
            reference.batch_norm_gradients(x, dy, forward),
            (w, b),
            lambda x, w, b: F.batch_norm(x, *running, w, b, True, 0.2, 1e-3),
        ),
        (
            grouped.y,
            reference.group_norm_gradients(x, dy, w, 3, grouped),
            (w, b),
            lambda x, w, b: F.group_norm(x, 3, w, b, 1e-3),
        ),
        (
            layered.y,
            reference.layer_norm_gradients(x, dy, wide_w, layered),
            (wide_w, wide_b),
            lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b, 1e-3),
        ),
    ):
        leaves = leaf(x), leaf(weights[0]), leaf(weights[1])
        y = apply(*leaves)
        y.backward(torch.tensor(dy).double())
        near(found, y)
        for gradient, expected in zip(gradients, leaves, strict=True):
            near(gradient, expected.grad)
    near(moved[0], running[0])
    near(moved[1], running[1])


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools_are_pytorchs(ceil_mode):
    x = normal(2, 3, 8, 7)
    for kernel, stride, padding, dilation in (
        ((2, 2), (2, 2), (0, 0), (1, 1)),
        ((3, 4), (2, 3), (1, 2), (1, 1)),
        ((3, 2), (1, 2), (1, 1), (2, 3)),
    ):
        y, chosen = reference.max_pool(x, kernel, stride, padding, dilation, ceil_mode)
        dy, tx = normal(*y.shape), leaf(x)
        ty = F.max_pool2d(tx, kernel, stride, padding, dilation, ceil_mode)
        ty.backward(torch.tensor(dy).double())
        near(y, ty)
        near(reference.max_pool_gradient(dy, chosen, x.shape), tx.grad)
        for counted in (True, False):
            rows, columns = (
                reference.windows(x.shape[2 + i], kernel[i], stride[i], padding[i], counted, ceil_mode) for i in (0, 1)
            )
            tx = leaf(x)
            ty = F.avg_pool2d(tx, kernel, stride, padding, ceil_mode, counted)
            y = reference.average_pool(x, rows, columns)
            dy = normal(*y.shape)
            ty.backward(torch.tensor(dy).double())
            near(y, ty)
            near(reference.average_pool_gradient(dy, rows, columns, x.shape), tx.grad)
    for size in ((1, 1), (3, 5), (8, 7), (10, 9)):
        near(
            reference.average_pool(x, *(reference.adaptive_windows(x.shape[2 + i], size[i]) for i in (0, 1))),
            F.adaptive_avg_pool2d(leaf(x), size),
        )


def test_activations_and_loss_are_pytorchs():
    x, dy = normal(6, 10) * np.float32(4), normal(6, 10)
    for y, dx, apply in (
        (reference.relu(x), reference.relu_gradient(x, dy), F.relu),
        (reference.relu6(x), reference.relu6_gradient(x, dy), F.relu6),
        (
            reference.leaky_relu(x, 0.1),
            reference.leaky_relu_gradient(x, dy, 0.1),
            lambda t: F.leaky_relu(t, 0.1),
        ),
        (
            reference.log_softmax(x),
            reference.log_softmax_gradient(reference.log_softmax(x), dy),
            lambda t: F.log_softmax(t, 1),
        ),
    ):
        tx = leaf(x)
        ty = apply(tx)
        ty.backward(torch.tensor(dy).double())
        near(y, ty)
        near(dx, tx.grad)
    labels = np.array([3, 0, 9, 9, 1, 4])
    y = reference.log_softmax(x)
    ty = leaf(y)
    loss = F.nll_loss(ty, torch.tensor(labels))
    loss.backward()
    near(np.float64(reference.negative_log_likelihood(y, labels)), loss)
    near(reference.negative_log_likelihood_gradient(y, labels), ty.grad)


def test_a_step_is_pytorchs():
    w, g, v = normal(20), normal(20), normal(20)
    new_w, new_v = reference.step(w, g, v, 0.9, 0.05)
    near(new_v, torch.tensor(v).double() * 0.9 + torch.tensor(g))
    near(new_w, torch.tensor(w).double() - 0.05 * (torch.tensor(v).double() * 0.9 + torch.tensor(g)))
