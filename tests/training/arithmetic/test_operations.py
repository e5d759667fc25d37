"""Tests of `operations` and `norms`: they give the bits of docs/arithmetic.md, as tests/helpers/reference.py reads it.

Each example takes a batch through an operation twice: as one chunk, and cut into chunks of a few images, the last of
which may be short. Both must give the bits of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import reference
from bits import KINDS, SEEDS, Array, assert_same_bits, values
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from bench.errors import UnusableInput
from bench.training.arithmetic import norms, operations
from bench.training.arithmetic.kernels import elementwise, normalisation
from bench.training.arithmetic.operations import NOTHING, Chunk
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.randomness import dropout_mask

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # infinities and NaN are values like others

few = settings(max_examples=60, derandomize=True)
many = settings(max_examples=150, derandomize=True)
kinds = st.sampled_from(KINDS)
sizes = st.integers(1, 9)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


# ---------------------------------------------------------------------------------------------------------------------
# How an operation is run
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What an operation gave, in PyTorch's logical order."""

    output: Array
    inputs: list[Array]  # their gradients
    parameters: dict[str, Array]  # their gradients
    buffers: dict[str, Array]


def rows_last(value: Array) -> Array:
    """(N, C, H, W) as (N, H, W, C), and (N, F) as (N, 1, 1, F)."""
    return np.ascontiguousarray(reference.four(value).transpose(0, 2, 3, 1))


def rows_first(value: Array) -> Array:
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2))


def garbage(shape: tuple[int, ...]) -> Array:
    """Memory that nobody has written to: whoever adds to it is found out."""
    return np.full(shape, np.float32(-7.5e11))


def run(
    operation: Any,
    inputs: list[Array],
    gradient: Array | None,
    output_shape: tuple[int, ...],
    size: int,
    parameters: dict[str, Array] | None = None,
    buffers: dict[str, Array] | None = None,
    mode: Any = "training",
) -> Outcome:
    """One step, `size` images at a time, as `bench.training.arithmetic.engine` takes it; no gradients without one."""
    parameters = {name: value.copy() for name, value in (parameters or {}).items()}
    buffers = {name: value.copy() for name, value in (buffers or {}).items()}
    images = len(inputs[0])
    chunks = [slice(first, min(first + size, images)) for first in range(0, images, size)]
    xs = [rows_last(value) for value in inputs]
    y = garbage((images, *output_shape[2:], output_shape[1]))
    dxs = [garbage(x.shape) for x in xs]
    state = State(parameters, buffers, frozenset(parameters), seed=1, step=5, images=images, mode=mode)
    gathers = isinstance(operation, norms.BatchNorm)

    operation.begin(state)
    if gathers and mode != "evaluation":
        for chunk in chunks:
            operation.gather(state, Chunk(chunk, [xs[0][chunk]], NOTHING, NOTHING, ()))
        operation.finish(state)
    for chunk in chunks:
        operation.forward(state, Chunk(chunk, [x[chunk] for x in xs], y[chunk], NOTHING, ()))
    if gradient is None:
        return Outcome(rows_first(y), [], {}, buffers)
    dy = rows_last(gradient)
    if gathers:
        for chunk in chunks:
            operation.gather_gradient(state, Chunk(chunk, [xs[0][chunk]], NOTHING, dy[chunk], ()))
        operation.finish_gradient(state)
    for chunk in chunks:
        seen = Chunk(chunk, [x[chunk] for x in xs], y[chunk], dy[chunk], [dx[chunk] for dx in dxs])
        if not operation.reads_inputs:
            seen.inputs = ()
        if not operation.reads_output:
            seen.output = np.empty(0, np.float32)
        operation.backward(state, seen)
    operation.end(state)
    return Outcome(rows_first(y), [rows_first(dx) for dx in dxs], dict(state.gradients), buffers)


def check(
    operation: Any,
    inputs: list[Array],
    gradient: Array | None,
    expected: Outcome,
    size: int,
    parameters: dict[str, Array] | None = None,
    buffers: dict[str, Array] | None = None,
    mode: Any = "training",
) -> None:
    """The operation gives what the reference gives, in one chunk and in several."""
    for images in {len(inputs[0]), size}:
        shape = reference.four(expected.output).shape
        found = run(operation, inputs, gradient, shape, images, parameters, buffers, mode)
        cut = f" in chunks of {images}"
        assert_same_bits(found.output, reference.four(expected.output), "result" + cut)
        for name, value in expected.buffers.items():
            assert_same_bits(found.buffers[name], value, name + cut)
        if gradient is None:
            continue
        for i, value in enumerate(expected.inputs):
            assert_same_bits(found.inputs[i], reference.four(value), f"gradient of input {i}" + cut)
        assert found.parameters.keys() == expected.parameters.keys()
        for name, value in expected.parameters.items():
            assert_same_bits(found.parameters[name], value, f"gradient of {name}" + cut)


def given_names(**named: Array | None) -> dict[str, Array]:
    return {name: value for name, value in named.items() if value is not None}


# ---------------------------------------------------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convolved:
    """A convolution: its shapes, and the kinds of its values."""

    images: int
    channels: int  # of a group
    outputs: int  # of a group
    groups: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    bias: bool
    chunk: int
    kinds: tuple[str, str, str]
    seed: int


@st.composite
def convolutions(draw: Any) -> Convolved:
    alike, plain = draw(st.booleans()), draw(st.booleans())  # plain: every step is one pixel, and there are no groups

    def pair(low: int, high: int) -> tuple[int, int]:
        first = draw(st.integers(low, high))
        return first, first if alike else draw(st.integers(low, high))

    groups = 1 if plain else draw(st.sampled_from([1, 2, 3, 8]))
    channels, outputs = draw(st.integers(1, 40 // groups)), draw(st.integers(1, 40 // groups))
    if not plain and draw(st.integers(0, 3)) == 0:
        channels, groups = 1, channels  # depthwise
        outputs = draw(st.integers(1, 2))
    kernel, padding = pair(1, 5), pair(0, 6)
    stride, dilation = ((1, 1), (1, 1)) if plain else (pair(1, 3), pair(1, 2))
    smallest = [max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]) for i in (0, 1)]
    height, width = (draw(st.integers(low, max(low, 10))) for low in smallest)
    images = draw(st.integers(1, 40 if height * width * channels * outputs < 500 else 5))
    places = (height + 2 * padding[0]) * (width + 2 * padding[1])
    assume(images * places * channels * outputs * groups * kernel[0] * kernel[1] < 2_000_000)
    return Convolved(
        images,
        channels,
        outputs,
        groups,
        (height, width),
        kernel,
        stride,
        padding,
        dilation,
        draw(st.booleans()),
        draw(st.integers(1, images)),
        (draw(kinds), draw(kinds), draw(kinds)),
        draw(SEEDS),
    )


def check_convolution(case: Convolved) -> None:
    generator = np.random.default_rng(case.seed)
    x = values(generator, (case.images, case.channels * case.groups, *case.size), case.kinds[0])
    filter_shape = (case.outputs * case.groups, case.channels, *case.kernel)
    f = values(generator, filter_shape, case.kinds[1])
    bias = values(generator, filter_shape[:1], case.kinds[1]) if case.bias else None
    geometry = (case.stride, case.padding, case.dilation, case.groups)
    y = reference.convolution(x, f, bias, *geometry)
    dy = values(generator, y.shape, case.kinds[2])
    gradients = {"w": reference.convolution_filter_gradient(x, dy, f.shape, *geometry)}
    if bias is not None:
        gradients["b"] = reference.bias_gradient(dy)
    dx = reference.convolution_input_gradient(dy, f, x.shape, *geometry)
    operation = operations.Convolution((0,), "w", "b" if case.bias else None, case.kernel, *geometry)
    check(operation, [x], dy, Outcome(y, [dx], gradients, {}), case.chunk, given_names(w=f, b=bias))


@settings(max_examples=250, derandomize=True)
@given(convolutions())
def test_a_convolution_and_its_gradients(case):
    check_convolution(case)


@pytest.mark.parametrize(
    ("images", "channels", "outputs", "size", "kernel", "padding"),
    [
        (3, 1, 20, (28, 28), 3, 1),
        (2, 16, 10, (26, 14), 3, 0),
        (1, 17, 16, (13, 25), 5, 2),
        (50, 3, 33, (3, 3), 3, 1),
        (70, 9, 31, (1, 2), 1, 0),
        (37, 33, 17, (4, 4), 2, 1),
        (2, 64, 65, (6, 7), 3, 1),
        (2, 65, 64, (6, 7), 1, 0),
        (5, 100, 48, (5, 3), 3, 0),
        (2, 48, 100, (4, 7), 3, 4),
    ],
)
@pytest.mark.parametrize("step", [1, 2])
def test_a_convolution_of_every_width(images, channels, outputs, size, kernel, padding, step):
    """Vectors have 4, 8 or 16 lanes, tiles several rows; what is left over at an edge goes another way."""
    pair, paddings = (kernel, kernel), (padding, padding)
    for kind in ("wide", "tiny"):
        check_convolution(
            Convolved(
                images,
                channels,
                outputs,
                1,
                size,
                pair,
                (step, step),
                paddings,
                (1, 1),
                True,
                (images + 2) // 3,
                (kind, kind, kind),
                outputs,
            )
        )


@few
@given(st.integers(1, 7), st.integers(1, 70), st.integers(1, 40), st.booleans(), kinds, kinds, SEEDS)
def test_a_fully_connected_layer(images, features, outputs, has_bias, kind, other, seed):
    generator = np.random.default_rng(seed)
    x, f = values(generator, (images, features), kind), values(generator, (outputs, features), other)
    bias = values(generator, (outputs,), other) if has_bias else None
    dy = values(generator, (images, outputs), kind)
    dx, df, db = reference.linear_gradients(x, f, dy)
    expected = Outcome(reference.linear(x, f, bias), [dx], given_names(w=df, b=db if has_bias else None), {})
    operation = operations.Convolution((0,), "w", "b" if has_bias else None, (1, 1))
    check(operation, [x], dy, expected, 1 + seed % images, given_names(w=f, b=bias))


# ---------------------------------------------------------------------------------------------------------------------
# Normalisation
# ---------------------------------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 6), st.integers(1, 40), sizes, sizes)
momenta = st.sampled_from([0.1, 0.01, 1.0, None])


@many
@given(shapes, kinds, kinds, st.sampled_from(["all", "no weight", "no statistics"]), momenta, SEEDS)
@example((2, 3, 1, 1), "ties", "normal", "all", None, 0)
@example((3, 5, 4, 4), "constant", "normal", "all", 0.1, 0)
def test_batch_normalisation_in_training(shape, kind, other, has, momentum, seed):
    assume(shape[0] * shape[2] * shape[3] >= 2)
    generator = np.random.default_rng(seed)
    channels = shape[1:2]
    x = np.full(shape, np.float32(0.1)) if kind == "constant" else values(generator, shape, kind)
    dy = values(generator, shape, other)
    w, b = (values(generator, channels, other) if has != "no weight" else None for _ in range(2))
    mean, variance = values(generator, channels, kind), np.abs(values(generator, channels, "normal"))
    batches, epsilon = int(generator.integers(0, 50)), float(generator.choice([1e-5, 1e-3]))
    buffers = {"m": mean, "v": variance, "n": np.array(batches)} if has != "no statistics" else {}

    forward = reference.batch_norm(x, w, b, buffers.get("m"), epsilon)
    dx, dw, db = reference.batch_norm_gradients(x, dy, forward)
    moved = {}
    if buffers:
        used = 1 / (batches + 1) if momentum is None else momentum
        m = shape[0] * shape[2] * shape[3]
        new = reference.running_statistics(mean, variance, forward.mean, forward.variance, m, used)
        moved = {"m": new[0], "v": new[1], "n": np.array(batches + 1)}
    gradients = {} if w is None else {"w": dw, "b": db}
    operation = norms.BatchNorm(
        (0,),
        (shape[2], shape[3], shape[1]),
        *(("w", "b") if w is not None else (None, None)),
        *(("m", "v", "n") if buffers else (None, None, None)),
        momentum if buffers else 0.1,
        epsilon,
    )
    parameters, size = given_names(w=w, b=b), 1 + seed % shape[0]
    check(operation, [x], dy, Outcome(forward.y, [dx], gradients, moved), size, parameters, buffers)
    # The statistics of the batch serve an evaluation too, and move nothing.
    check(operation, [x], None, Outcome(forward.y, [], {}, buffers), size, parameters, buffers, "batch statistics")
    if not buffers:
        return
    y = reference.batch_norm_in_evaluation(x, w, b, mean, variance, epsilon)
    check(operation, [x], None, Outcome(y, [], {}, buffers), size, parameters, buffers, "evaluation")


def test_batch_normalisation_of_one_value_is_refused():
    operation = norms.BatchNorm((0,), (1, 1, 3), None, None, None, None, None, 0.1, 1e-5)
    with pytest.raises(UnusableInput):
        run(operation, [np.ones((1, 3, 1, 1), np.float32)], None, (1, 3, 1, 1), 1)


@few
@given(st.integers(1, 5), st.integers(1, 40), sizes, st.sampled_from(["normal", "wide"]), SEEDS)
def test_running_variances_to_their_last_bit(images, channels, size, kind, seed):
    """With a momentum of 2 and a running variance of twice that of the batch, nothing is left but how that was rounded.

    Else a binary64 that is off by its last bit is seen once in many millions of times, when it is converted.
    """
    x = values(np.random.default_rng(seed), (images + 1, channels, size, size), kind)
    m = (images + 1) * size * size
    mean = np.zeros(channels, np.float32)
    forward = reference.batch_norm(x, None, None, mean, 1e-5)
    variance = reference.f32(2 * forward.variance * m / (m - 1))
    moved = reference.running_statistics(mean, variance, forward.mean, forward.variance, m, 2.0)
    operation = norms.BatchNorm((0,), (size, size, channels), None, None, "m", "v", None, 2.0, 1e-5)
    expected = Outcome(forward.y, [], {}, {"m": moved[0], "v": moved[1]})
    check(operation, [x], None, expected, images, {}, {"m": mean, "v": variance})


@few
@given(st.integers(2, 10_000), SEEDS)
def test_what_a_batch_normalisation_computes_in_binary64(m, seed):
    """The numbers of each channel, before they are converted: so that an order of products is seen."""
    generator = np.random.default_rng(seed)
    channels, epsilon = 50, 1e-5
    g1, g2, total, squares = generator.standard_normal((4, channels)) * 2.0 ** generator.integers(-9, 9, channels) * m
    squares = np.abs(squares)
    k, w, b = generator.standard_normal((3, channels)).astype(np.float32)
    found_mean, found_variance, inverse, scale, shift, slope, offset = np.empty((7, channels))
    normalisation.batch_statistics(total, squares, k, float(m), found_mean, found_variance)
    a = total / m
    mean, variance = k.astype(float) + a, squares / m - a * a
    variance = np.where(variance < 0, 0.0, variance)
    assert_same_bits(found_mean, mean, "mean")
    assert_same_bits(found_variance, variance, "variance")
    normalisation.affine(mean, variance, epsilon, w, b, inverse, scale, shift)
    expected = reference.batch_norm_with(np.ones((1, channels, 1, 1), np.float32), mean, variance, w, b, epsilon)
    assert_same_bits(inverse, expected.inverse, "inverse")
    assert_same_bits(scale, expected.scale, "scale")
    assert_same_bits(shift, b.astype(float) - mean * expected.scale, "shift")
    normalisation.slopes(scale, inverse, g1, g2, float(m), slope, offset)
    for one, other in zip((slope, offset), reference.slope_and_offset(scale, inverse, g1, g2, m), strict=True):
        assert_same_bits(one, other, "slope and offset")


NEIGHBOURS = [  # a ReLU before it; behind it a ReLU, a dropout of something and another ReLU
    (True, False, "nothing", False),
    (False, True, "nothing", False),
    (True, True, "values", False),
    (False, True, "channels", False),
    (False, False, "values", True),
    (True, False, "channels", True),
    (True, False, "values", False),
    (False, False, "channels", False),
]


@many
@given(shapes, kinds, kinds, st.sampled_from(NEIGHBOURS), SEEDS)
def test_batch_normalisation_with_its_neighbours_is_one_after_the_other(shape, kind, other, neighbours, seed):
    relu_before, relu_first, dropping, relu_last = neighbours
    assume(shape[0] * shape[2] * shape[3] >= 2)
    generator = np.random.default_rng(seed)
    p, layer = float(generator.choice([0.1, 0.25, 0.5])), int(generator.integers(0, 5))
    x, dy = values(generator, shape, kind), values(generator, shape, other)
    w, b = values(generator, shape[1:2], other), values(generator, shape[1:2], other)
    mean, variance = values(generator, shape[1:2], kind), np.ones(shape[1:2], np.float32)
    mask_shape = shape[:2] if dropping == "channels" else shape
    kept = dropout_mask(1, 5, layer, mask_shape, p).reshape((*mask_shape, 1, 1)[:4]) != 0

    before = reference.relu(x) if relu_before else x
    forward = reference.batch_norm(before, w, b, mean, 1e-5)
    y = reference.relu(forward.y) if relu_first else forward.y
    dropped = reference.dropout(y, kept, p) if dropping != "nothing" else y
    result = reference.relu(dropped) if relu_last else dropped

    back = reference.relu_gradient(dropped, dy) if relu_last else dy
    back = reference.dropout(back, kept, p) if dropping != "nothing" else back
    back = reference.relu_gradient(forward.y, back) if relu_first else back
    dx, dw, db = reference.batch_norm_gradients(before, back, forward)
    dx = reference.relu_gradient(x, dx) if relu_before else dx

    dropout = operations.Dropout((0,), p, dropping == "channels", layer, shape[1:])
    operation = norms.BatchNorm(
        (0,),
        (shape[2], shape[3], shape[1]),
        "w",
        "b",
        "m",
        "v",
        None,
        0.1,
        1e-5,
        relu_before,
        relu_first,
        dropout if dropping != "nothing" else None,
        relu_last,
    )
    expected = Outcome(result, [dx], {"w": dw, "b": db}, {})
    check(operation, [x], dy, expected, 1 + seed % shape[0], {"w": w, "b": b}, {"m": mean, "v": variance})


@few
@given(shapes, st.integers(1, 8), kinds, kinds, st.booleans(), SEEDS)
def test_group_normalisation(shape, groups, kind, other, has_weight, seed):
    shape = (shape[0], groups * max(1, shape[1] // groups), *shape[2:])
    generator = np.random.default_rng(seed)
    x, dy = values(generator, shape, kind), values(generator, shape, other)
    w, b = (values(generator, shape[1:2], other) if has_weight else None for _ in range(2))
    forward = reference.group_norm(x, w, b, groups, 1e-5)
    dx, dw, db = reference.group_norm_gradients(x, dy, w, groups, forward)
    gradients = {"w": dw, "b": db} if has_weight else {}
    names = ("w", "b") if has_weight else (None, None)
    operation = norms.GroupNorm((0,), *names, shape[1], groups, 1e-5)
    check(operation, [x], dy, Outcome(forward.y, [dx], gradients, {}), 1 + seed % shape[0], given_names(w=w, b=b))


@few
@given(shapes, kinds, kinds, st.booleans(), SEEDS)
def test_layer_normalisation(shape, kind, other, has_weight, seed):
    generator = np.random.default_rng(seed)
    x, dy = values(generator, shape, kind), values(generator, shape, other)
    w, b = (values(generator, shape[1:], other) if has_weight else None for _ in range(2))
    forward = reference.layer_norm(x, w, b, 1e-5)
    dx, dw, db = reference.layer_norm_gradients(x, dy, w, forward)
    gradients = {"w": dw, "b": db} if has_weight else {}
    names = ("w", "b") if has_weight else (None, None)
    operation = norms.LayerNorm((0,), *names, (shape[2], shape[3], shape[1]), 1e-5)
    check(operation, [x], dy, Outcome(forward.y, [dx], gradients, {}), 1 + seed % shape[0], given_names(w=w, b=b))


# ---------------------------------------------------------------------------------------------------------------------
# Values one by one
# ---------------------------------------------------------------------------------------------------------------------


@few
@given(shapes, kinds, kinds, st.sampled_from([0.01, 0.2, 0.0, -1.5, 1e-30]), SEEDS)
@example((2, 3, 5, 5), "extreme", "extreme", 0.01, 0)
def test_activations(shape, kind, other, slope, seed):
    generator = np.random.default_rng(seed)
    scale = np.float32(generator.choice([1, 6]))
    x, dy = values(generator, shape, kind) * scale, values(generator, shape, other)
    size = 1 + seed % shape[0]
    y, dx = reference.relu(x), reference.relu_gradient(x, dy)
    check(operations.Activation((0,), "relu"), [x], dy, Outcome(y, [dx], {}, {}), size)
    y, dx = reference.relu6(x), reference.relu6_gradient(x, dy)
    check(operations.Activation((0,), "relu6"), [x], dy, Outcome(y, [dx], {}, {}), size)
    y, dx = reference.leaky_relu(x, slope), reference.leaky_relu_gradient(x, dy, slope)
    check(operations.Activation((0,), "leaky", slope), [x], dy, Outcome(y, [dx], {}, {}), size)


@few
@given(shapes, kinds, kinds, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans(), SEEDS)
def test_dropout(shape, kind, other, p, whole_channels, seed):
    generator = np.random.default_rng(seed)
    x, dy = values(generator, shape, kind), values(generator, shape, other)
    layer = seed % 4
    mask_shape = shape[:2] if whole_channels else shape
    kept = dropout_mask(1, 5, layer, mask_shape, p).reshape((*mask_shape, 1, 1)[:4]) != 0
    expected = Outcome(reference.dropout(x, kept, p), [reference.dropout(dy, kept, p)], {}, {})
    operation = operations.Dropout((0,), p, whole_channels, layer, shape[1:])
    check(operation, [x], dy, expected, 1 + seed % shape[0])
    check(operation, [x], None, Outcome(x, [], {}, {}), 1 + seed % shape[0], mode="evaluation")


def test_the_mask_of_a_dropout_is_the_one_of_the_page():
    """Element i has the i-th 16-bit word of the stream, from the low end of each 64-bit word."""
    generator = np.random.Philox(key=np.array([11, 3], np.uint64), counter=np.array([0, 7, 2, 0], np.uint64))
    words = [int(word) for word in generator.random_raw(10)]
    halves = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    kept = np.array([half < round((1 - 0.3) * 65536) for half in halves[:39]])
    expected = np.where(kept, np.float32(1 / (1 - 0.3)), np.float32(0)).reshape(3, 13)
    assert_same_bits(dropout_mask(11, 7, 2, (3, 13), 0.3), expected)


@few
@given(shapes, st.integers(1, 12), kinds, kinds, SEEDS)
def test_addition_and_concatenation(shape, width, kind, other, seed):
    generator = np.random.default_rng(seed)
    a, b = values(generator, shape, kind), values(generator, shape, other)
    dy, size = values(generator, shape, other), 1 + seed % shape[0]
    check(operations.Addition((0, 1)), [a, b], dy, Outcome(reference.addition(a, b), [dy, dy], {}, {}), size)
    c = values(generator, (shape[0], width, *shape[2:]), other)
    y = reference.concatenation([a, c, b])
    dy = values(generator, y.shape, kind)
    operation = operations.Concatenation((0, 1, 2), (shape[1], width, shape[1]))
    expected = Outcome(y, reference.concatenation_gradients([a, c, b], dy), {}, {})
    check(operation, [a, c, b], dy, expected, size)


@few
@given(shapes, kinds, SEEDS)
def test_flattening_follows_the_logical_order(shape, kind, seed):
    generator = np.random.default_rng(seed)
    x = values(generator, shape, kind)
    dy = values(generator, (shape[0], x[0].size), kind)
    expected = Outcome(x.reshape(shape[0], -1), [dy.reshape(shape)], {}, {})
    check(operations.Reshape((0,)), [x], dy, expected, 1 + seed % shape[0])


# ---------------------------------------------------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------------------------------------------------


@st.composite
def pools(draw: Any) -> tuple[Any, ...]:
    """A shape, and kernel, stride and padding of windows that all hold a position of the image."""
    shape, kernel, stride = draw(shapes), draw(st.tuples(sizes, sizes)), draw(pairs)
    kernel = tuple(min(k, size + 1) for k, size in zip(kernel, shape[2:], strict=True))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    assume(all(shape[2 + i] + 2 * padding[i] >= kernel[i] for i in (0, 1)))
    return shape, kernel, stride, padding


@many
@given(pools(), st.tuples(st.integers(1, 2), st.integers(1, 2)), kinds, kinds, st.sampled_from([0, 0, 0.4]), SEEDS)
@example(((2, 3, 5, 5), (3, 3), (2, 2), (1, 1)), (1, 1), "normal", "normal", 0.4, 0)
@example(((1, 1, 6, 6), (2, 2), (2, 2), (0, 0)), (1, 1), "zeros", "normal", 0, 0)
def test_max_pooling(pool, dilation, kind, other, nans, seed):
    shape, kernel, stride, padding = pool
    spans = [dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
    assume(all(shape[2 + i] + 2 * padding[i] >= spans[i] for i in (0, 1)))
    generator = np.random.default_rng(seed)
    x = np.where(generator.random(shape) < nans, np.float32(np.nan), values(generator, shape, kind))
    y, chosen = reference.max_pool(x, kernel, stride, padding, dilation)
    assume((chosen >= 0).all())  # with a dilation a window can lack any position
    dy = values(generator, y.shape, other)
    dx = reference.max_pool_gradient(dy, chosen, x.shape)
    operation = operations.MaxPool((0,), kernel, stride, padding, dilation)
    check(operation, [x], dy, Outcome(y, [dx], {}, {}), 1 + seed % shape[0])


def averages(rows: list[reference.Window], columns: list[reference.Window]) -> operations.AveragePool:
    return operations.AveragePool(
        (0,),
        tuple((row.first, row.last + 1) for row in rows),
        tuple((column.first, column.last + 1) for column in columns),
        tuple(tuple(row.counted * column.counted for column in columns) for row in rows),
    )


def check_average(shape: Any, rows: Any, columns: Any, kind: str, other: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = values(generator, shape, kind)
    y = reference.average_pool(x, rows, columns)
    dy = values(generator, y.shape, other)
    dx = reference.average_pool_gradient(dy, rows, columns, x.shape)
    check(averages(rows, columns), [x], dy, Outcome(y, [dx], {}, {}), 1 + seed % shape[0])


@many
@given(pools(), st.booleans(), st.booleans(), kinds, kinds, SEEDS)
def test_average_pooling(pool, count_include_pad, ceil_mode, kind, other, seed):
    shape, kernel, stride, padding = pool
    rows, columns = (
        reference.windows(shape[2 + i], kernel[i], stride[i], padding[i], count_include_pad, ceil_mode) for i in (0, 1)
    )
    check_average(shape, rows, columns, kind, other, seed)


@settings(max_examples=20, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 4), st.booleans(), st.integers(1, 28))
def test_a_traced_average_pool_has_the_windows_of_the_page(kernel, stride, padding, count_include_pad, adaptive):
    pool = nn.AvgPool2d(kernel, stride, min(padding, kernel // 2), count_include_pad=count_include_pad)
    sides = reference.windows(28, kernel, stride, min(padding, kernel // 2), count_include_pad)
    for module, windows in ((pool, sides), (nn.AdaptiveAvgPool2d(adaptive), reference.adaptive_windows(28, adaptive))):
        traced = trace(nn.Sequential(module, nn.Flatten(), nn.LogSoftmax(1))).operations[0]
        expected = averages(windows, windows)
        assert (traced.rows, traced.columns) == (expected.rows, expected.columns)
        assert traced.divisors == expected.divisors


@few
@given(shapes, sizes, sizes, kinds, kinds, SEEDS)
def test_adaptive_average_pooling(shape, height, width, kind, other, seed):
    rows, columns = reference.adaptive_windows(shape[2], height), reference.adaptive_windows(shape[3], width)
    check_average(shape, rows, columns, kind, other, seed)


# ---------------------------------------------------------------------------------------------------------------------
# Step
# ---------------------------------------------------------------------------------------------------------------------


@few
@given(st.integers(1, 200), kinds, kinds, kinds, st.sampled_from([0.9, 0.0, 0.99]), st.floats(0, 1), SEEDS)
def test_a_step_of_gradient_descent(count, kind, other, third, momentum, rate, seed):
    generator = np.random.default_rng(seed)
    w, v, g = (values(generator, (count,), one) for one in (kind, other, third))
    new_w, new_v = reference.step(w, g, v, momentum, rate)
    elementwise.descend(w, v, g, np.float32(momentum), np.float32(rate))
    assert_same_bits(v, new_v, "velocity")
    assert_same_bits(w, new_w, "weight")
