"""Tests of `convolution` and `norms`: a GPU can follow their orders, and kernels written for one give the same bits.

`gpu/kernels.cuh` is CUDA. Here g++ compiles it behind `gpu/host.h`, which runs blocks and threads one after the other.
"""

from __future__ import annotations

import ctypes
import math
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from bench.training.arithmetic import convolution
from bench.training.arithmetic.kernels import elementwise, loss
from bench.training.arithmetic.norms import BatchNorm
from bench.training.arithmetic.operations import Chunk
from bench.training.arithmetic.state import State

Array = numpy.ndarray[Any, numpy.dtype[Any]]
Launch = Callable[..., None]

GPU = Path(__file__).parent / "gpu"
CHANNELS, COLUMNS, SIZE, TAPS = 8, 4, 3, 9  # as in convolution.cuh
IMAGES = 5
INPUTS_AT_ONCE, OUTPUTS_AT_ONCE = 8, 8  # what a block of `filter_parts` takes
CHANNEL = numpy.dtype("f8, f8, f4, f4, f4, f4")  # as in normalisation.cuh: inverse, scale, and what is float32
EPSILON, MOMENTUM = 1e-5, 0.1

# height and width of the input, inputs, outputs, padding: layers of the five networks; a block's images and rows.
LAYERS = {
    "1 to 12, 28 x 28 unpadded": ((28, 1, 12, 0), (1, 8)),
    "16 to 16, 28 x 28": ((28, 16, 16, 1), (1, 4)),
    "10 to 20, 14 x 14": ((14, 10, 20, 1), (1, 14)),
    "32 to 10, 5 x 5 unpadded": ((5, 32, 10, 0), (2, 5)),
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=list(LAYERS))
seeds = pytest.mark.parametrize("seeds", [1, 3])


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """A function that runs a kernel: launch(name, grid, block, bytes of shared memory, *arguments)."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is missing, which compiles the kernels of a GPU for this processor")
    folder = tmp_path_factory.mktemp("gpu")
    source, target = folder / "kernels.cpp", folder / "kernels.so"
    kernels = "".join(path.read_text(encoding="utf-8") for path in sorted(GPU.glob("*.cuh")))
    entries = "".join(f"ENTRY({name})\n" for name in re.findall(r'extern "C" __global__ void (\w+)', kernels))
    source.write_text(f'#include "host.h"\n#include "kernels.cuh"\n#include "probe.cuh"\n{entries}', encoding="utf-8")
    fused = ["-mfma"] if platform.machine() in ("x86_64", "AMD64") else []
    options = ["-O2", *fused, "-ffp-contract=off", "-std=c++17", "-shared", "-fPIC", f"-I{GPU}"]
    subprocess.run([compiler, *options, str(source), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))

    def run(name: str, grid: tuple[int, int, int], block: int, room: int, *arguments: Any) -> None:
        values = [_argument(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        entry = library[f"launch_{name}"]
        entry.restype = ctypes.c_bool
        assert entry((ctypes.c_uint * 3)(*grid), block, room, pointers), f"{name} left its shared memory"

    return run


def _argument(value: Any) -> Any:
    """A value as a kernel takes it: arrays as addresses, tuples as structures of integers."""
    if value is None or isinstance(value, numpy.ndarray):
        return ctypes.c_void_p(None if value is None else value.ctypes.data)
    if isinstance(value, tuple):
        return (ctypes.c_int * len(value))(*value)
    if isinstance(value, numpy.float32):
        return ctypes.c_float(value)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int(value)


def _values(*shape: int, seed: int = 0) -> Array:
    """Numbers of which a third are +0, as behind a ReLU, and some so small that their products are subnormal."""
    random = numpy.random.default_rng(seed)
    values = random.standard_normal(shape)
    values *= numpy.where(random.random(shape) < 0.02, 1e-21, 1.0)
    values[random.random(shape) < 1 / 3] = 0
    return values.astype(numpy.float32)


def _cancelling(values: Array, axis: int) -> Array:
    """Values of which two neighbours along an axis are large and cancel: float64 keeps little of what precedes them."""
    one, two = (tuple([slice(None)] * axis + [i]) for i in (1, 2))
    values[one] *= numpy.float32(2.0**40)
    values[two] = -values[one]
    return values


def _same(ours: Array, theirs: Array) -> None:
    assert (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def _blocks(count: int, size: int) -> int:
    return -(-count // size)


@seeds
@layers
def test_the_passes_of_a_convolution(launch: Launch, layer: Any, seeds: int) -> None:
    (side, inputs, outputs, padding), (images, band) = layer
    rows = side + 2 * padding - (SIZE - 1)
    x, dy = _values(seeds, IMAGES, side, side, inputs), _values(seeds, IMAGES, rows, rows, outputs, seed=1)
    x[:, 2], dy = x[:, 1], _cancelling(dy, 1)
    weight, bias = _values(seeds, outputs, inputs, SIZE, SIZE, seed=2), _values(seeds, outputs, seed=3)
    y, dx, gradient = numpy.empty_like(dy), numpy.empty_like(x), numpy.empty_like(weight)
    parts = numpy.empty((seeds, IMAGES, *weight.shape[1:]), numpy.float32)

    forward = IMAGES, side, side, inputs, rows, rows, outputs, padding
    grid = _blocks(rows, band), _blocks(IMAGES, images), seeds
    launch("forward", grid, 128, _room(forward, images, band), x, weight, bias, y, forward, images, band)
    back = IMAGES, rows, rows, outputs, side, side, inputs, SIZE - 1 - padding
    grid = _blocks(side, band), _blocks(IMAGES, images), seeds
    launch("input_gradient", grid, 128, _room(back, images, band), dy, weight, dx, back, images, band)
    slices = _blocks(inputs, INPUTS_AT_ONCE) * _blocks(outputs, OUTPUTS_AT_ONCE)
    room = 4 * (rows * rows * OUTPUTS_AT_ONCE + ((rows + SIZE - 1) ** 2 | 1) * INPUTS_AT_ONCE)
    block = INPUTS_AT_ONCE * SIZE * OUTPUTS_AT_ONCE // COLUMNS
    sizes = INPUTS_AT_ONCE, OUTPUTS_AT_ONCE
    launch("filter_parts", (slices, IMAGES, seeds), block, room, x, dy, parts, forward, *sizes)
    count = outputs * inputs * TAPS
    launch("add_images", (_blocks(count, 256), 1, seeds), 256, 0, parts, gradient, IMAGES, count)

    geometry = convolution.Geometry((SIZE, SIZE), (1, 1), (padding, padding), (1, 1), 1)
    for s in range(seeds):
        packed = convolution.room(weight[s], has_bias=True)
        convolution.pack(packed, bias[s])
        expected = numpy.empty_like(y[s])
        convolution.forward(x[s], packed, geometry, expected)
        _same(y[s], expected)
        expected = numpy.empty_like(dx[s])
        convolution.input_gradient(dy[s], packed, geometry, expected)
        _same(dx[s], expected)
        total = convolution.zeros(weight[s])
        convolution.add_filter_gradient(x[s], dy[s], geometry, total)
        _same(gradient[s], convolution.unpack(total, outputs, inputs, geometry))


def _room(layer: tuple[int, ...], images: int, band: int) -> int:
    """The bytes of shared memory that a block of a convolution takes: its part of the input, and the filter."""
    _, _, _, inputs, _, columns, outputs, _ = layer
    plane = images * (band + SIZE - 1) * (columns + SIZE - 1) | 1
    return 4 * inputs * (plane + TAPS * _blocks(outputs, CHANNELS) * CHANNELS)


@seeds
@pytest.mark.parametrize("shape", [(28, 28, 16), (14, 14, 20), (3, 3, 30)], ids=str)
def test_batch_normalisation(launch: Launch, shape: tuple[int, int, int], seeds: int) -> None:
    _, width, channels = shape
    x, dy = _values(seeds, IMAGES, *shape), _cancelling(_cancelling(_values(seeds, IMAGES, *shape, seed=1), 1), 3)
    weight, bias, mean, variance = (_values(seeds, channels, seed=seed) for seed in range(2, 6))
    y, dx, weight_gradient, bias_gradient, mean32 = (numpy.empty_like(like) for like in (x, x, weight, weight, weight))
    new_mean, new_variance = mean.copy(), variance.copy()
    numbers = numpy.empty((seeds, channels), CHANNEL)
    sums = numpy.empty((seeds, 2, IMAGES, channels, width), numpy.float32)

    sizes, values = (IMAGES, *shape), IMAGES * math.prod(shape)
    columns = _blocks(width * channels, 128), IMAGES, seeds
    of_channel = (channels, 1, seeds), 64, 8 * 2 * width
    of_value = (_blocks(values, 256), 1, seeds), 256, 0
    launch("column_sums", columns, 128, 0, x, None, mean, sums, sizes)
    running = new_mean, new_variance
    launch("statistics", *of_channel, sums, mean, weight, bias, EPSILON, MOMENTUM, *running, mean32, numbers, sizes)
    launch("normalise", *of_value, x, numbers, y, values, channels)
    launch("column_sums", columns, 128, 0, x, dy, mean32, sums, sizes)
    launch("gradient_statistics", *of_channel, sums, weight_gradient, bias_gradient, numbers, sizes)
    launch("normalise_gradient", *of_value, x, dy, mean32, numbers, dx, values, channels)

    norm = BatchNorm((0,), shape, "weight", "bias", "mean", "variance", None, MOMENTUM, EPSILON)
    for s in range(seeds):
        parameters, buffers = {"weight": weight[s], "bias": bias[s]}, {"mean": mean[s], "variance": variance[s]}
        state = State(parameters, buffers, frozenset(parameters), seed=0, images=IMAGES)
        chunk = Chunk(slice(0, IMAGES), [x[s]], numpy.empty_like(y[s]), dy[s], [numpy.empty_like(dx[s])])
        norm.begin(state)
        norm.gather(state, chunk)
        norm.finish(state)
        norm.forward(state, chunk)
        norm.gather_gradient(state, chunk)
        norm.finish_gradient(state)
        norm.backward(state, chunk)
        assert chunk.gradients[0] is not None
        for ours, theirs in ((new_mean, mean), (new_variance, variance)):
            _same(ours[s], theirs[s])
        found = state.prepared[norm]
        _same(numpy.stack([numbers[s]["f0"], numbers[s]["f1"]]), numpy.stack([found.inverse, found.scale]))
        _same(y[s], chunk.output)
        _same(weight_gradient[s], state.gradients["weight"])
        _same(bias_gradient[s], state.gradients["bias"])
        _same(dx[s], chunk.gradients[0])


@seeds
@pytest.mark.parametrize("size", [1, 100])
def test_the_loss(launch: Launch, size: float, seeds: int) -> None:
    images, classes = 128, 10
    scores = _values(seeds, images, classes) * numpy.float32(size)
    labels = numpy.random.default_rng(0).integers(0, classes, (seeds, images)).astype(numpy.int32)
    y, dx, losses = numpy.empty_like(scores), numpy.empty_like(scores), numpy.empty(seeds)
    launch("log_softmax", (1, 1, seeds), images, 0, scores, y, images, classes)
    launch("likelihood", (1, 1, seeds), 1, 0, y, labels, losses, images, classes)
    launch("loss_gradient", (_blocks(images * classes, 256), 1, seeds), 256, 0, y, labels, dx, images, classes)
    for s in range(seeds):
        expected, dy, gradient = (numpy.empty_like(scores[s]) for _ in range(3))
        loss.log_softmax(scores[s], expected)
        _same(y[s], expected)
        loss.likelihood_gradient(labels[s], dy)
        loss.log_softmax_gradient(expected, dy, gradient)
        _same(dx[s], gradient)
        assert losses[s] == loss.likelihood(expected, labels[s])


def test_the_exponential_and_the_logarithm(launch: Launch) -> None:
    random = numpy.random.default_rng(0)
    special = [0, -0.0, -1e-45, -708, -708.1, 709, 709.1, -numpy.inf, numpy.inf, numpy.nan]
    z = numpy.concatenate([-random.exponential(10, 10_000), special]).astype(numpy.float32)
    with numpy.errstate(over="ignore"):
        t = numpy.concatenate([1 + random.exponential(1, 10_000), numpy.exp(special)])
    found = numpy.empty((2, len(z)))
    launch("probe", (_blocks(len(z), 256), 1, 1), 256, 0, z, t, found[0], found[1], len(z))
    expected = numpy.array([[loss.exp(value) for value in z], [loss.log(value) for value in t]])
    assert numpy.array_equal(found, expected, equal_nan=True)


@seeds
def test_a_step_of_gradient_descent(launch: Launch, seeds: int) -> None:
    count = 1000
    weight, velocity, gradient = (_values(seeds, count, seed=seed) for seed in range(3))
    momentum, rate = numpy.float32(0.9), numpy.float32(0.01)
    expected = weight.copy(), velocity.copy()
    launch("descend", (_blocks(count, 256), 1, seeds), 256, 0, weight, velocity, gradient, momentum, rate, count)
    for s in range(seeds):
        elementwise.descend(expected[0][s], expected[1][s], gradient[s], momentum, rate)
    _same(weight, expected[0])
    _same(velocity, expected[1])
