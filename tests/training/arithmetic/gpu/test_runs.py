"""Tests of `runs`, `plan`, `memory`, `source`: the kernels for a GPU give the bits of the CPU, for one run and several.

Here the host's compiler and processor stand for the GPU; see `emulated_gpu`.
"""

from __future__ import annotations

from contextlib import closing
from copy import deepcopy

import emulated_gpu
import numpy
import pytest
import torch
from torch import nn

from bench.errors import UnusableInput
from bench.training.arithmetic.engine import Engine
from bench.training.arithmetic.gpu import source
from bench.training.arithmetic.gpu.driver import OutOfMemory
from bench.training.arithmetic.gpu.plan import Launch
from bench.training.arithmetic.gpu.runs import Runs
from bench.training.arithmetic.kernels import loss
from bench.training.arithmetic.merging import merged
from bench.training.arithmetic.state import State
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout

pytestmark = pytest.mark.skipif(not emulated_gpu.is_here(), reason="g++ is missing, which stands for NVRTC")

MOMENTUM, RATE = 0.9, 0.03


class Mixed(nn.Module):
    """What the documented networks do not have: other windows, paddings, activations, and a wide linear layer."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Dropout(0.2),
            nn.Conv2d(1, 6, (5, 3), padding=(2, 0), bias=False),
            nn.LeakyReLU(0.1),
            nn.MaxPool2d(3, stride=2, padding=1),  # windows overlap
            nn.BatchNorm2d(6, affine=False, momentum=0.3),
            nn.Conv2d(6, 11, 7, padding=1),
            nn.BatchNorm2d(11, eps=1e-3),
            nn.ReLU6(),
            nn.Dropout2d(0.3),
            nn.AvgPool2d((2, 3), stride=(2, 1), padding=1, count_include_pad=False),
            nn.Conv2d(11, 5, 1, padding=1),  # the gradient of its input is a convolution with a negative padding
            nn.MaxPool2d(2, stride=1, dilation=2),
            nn.AdaptiveAvgPool2d((3, 2)),
            nn.Flatten(),
            nn.Linear(30, 13),
            nn.BatchNorm1d(13),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(13, 10),
        )

    def forward(self, images):
        return torch.log_softmax(self.body(images), dim=1)


class AnyConvolutions(nn.Module):
    """Convolutions with strides, dilation and groups."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=(2, 3), padding=(1, 2)),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),  # one channel a group
            nn.Dropout(0.2),
            nn.Conv2d(8, 12, (3, 2), stride=2, dilation=(2, 1), padding=(3, 0), groups=4),
            nn.LeakyReLU(0.1),
            nn.Conv2d(12, 6, 1, stride=2),  # most values take no part
            nn.Flatten(),
            nn.Linear(72, 10),
        )

    def forward(self, images):
        return torch.log_softmax(self.body(images), dim=1)


class OfImages(nn.Module):
    """Normalisations of groups of channels and of whole images, also of the images of the data set."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm((1, 28, 28)),
            nn.Conv2d(1, 6, 5, stride=2),
            nn.ReLU(),
            nn.GroupNorm(3, 6, eps=1e-3),
            nn.Dropout(0.1),
            nn.Conv2d(6, 8, 3),
            nn.BatchNorm2d(8),
            nn.GroupNorm(8, 8, affine=False),
            nn.ReLU6(),
            nn.LayerNorm((8, 10, 10), bias=False),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.GroupNorm(4, 200),
            nn.Linear(200, 10),
            nn.LayerNorm(10, elementwise_affine=False),
        )

    def forward(self, images):
        return torch.log_softmax(self.body(images), dim=1)


class Wide(nn.Module):
    """A linear layer whose filter fits no block."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6 * 784, 14)
        self.end = nn.Linear(14, 10)

    def forward(self, images):
        return torch.log_softmax(self.end(self.last(self.first(images).flatten(1))), dim=1)


def prepared(make, seeds):
    """The program of a network, and a state for each seed."""
    states = []
    for seed in seeds:
        torch.manual_seed(seed)
        network = make()
        seed_dropout(network, seed, Clock())
        parameters = {name: one.detach().numpy() for name, one in network.named_parameters()}
        buffers = {name: one.numpy() for name, one in network.named_buffers()}
        states.append(State(parameters, buffers, frozenset(parameters), seed))
    return trace(network), states


def data_set(count, seed=0):
    random = numpy.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 28, 28)).astype(numpy.uint8)
    pixels[random.random(pixels.shape) < 0.5] = 0
    return pixels, random.integers(0, 10, count)


def floats(pixels):
    shares = pixels[..., None].astype(numpy.float32) / numpy.float32(255)
    return (shares - numpy.float32(0.1307)) / numpy.float32(0.3081)


def by_the_cpu(program, state, order, batch):
    """The loss of an epoch of training by the engine for the CPU."""
    engine = Engine(merged(program), state)
    images, labels = data_set(40)
    total = 0.0
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        total += engine.step(floats(images[chosen]), labels[chosen], MOMENTUM, RATE)
        state.step += 1
    return engine, total


def on_the_gpu(program, states, batch):
    runs = Runs(emulated_gpu.gpu(), program, states, batch)
    runs.see(*data_set(40), *data_set(310, seed=1))
    return runs


def assert_same(ours, theirs):
    for kind in ("parameters", "velocities", "buffers"):
        mine, others = getattr(ours, kind), getattr(theirs, kind)
        assert mine.keys() == others.keys()
        for name in mine:
            assert mine[name].tobytes() == others[name].tobytes(), name


ORDERS = numpy.stack([numpy.random.default_rng(seed).permutation(40)[:19] for seed in range(3)])


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (Mixed, 3),
        *(pytest.param(one, 3, marks=pytest.mark.slow) for one in (AnyConvolutions, OfImages)),
        *(pytest.param(one, 1, marks=pytest.mark.slow) for one in (Mixed, Wide)),
    ],
)
def test_every_operation_has_the_bits_of_the_cpu(make, count):
    program, states = prepared(make, range(1, count + 1))
    next(iter(states[0].parameters.values()))[:2] *= numpy.float32(1e-38)  # so that values are subnormal
    expected = deepcopy(states)
    runs = on_the_gpu(program, states, batch=8)  # 8, 8 and 3 images
    for _ in range(2):
        losses = runs.train(ORDERS[:count], 8, MOMENTUM, RATE)
        found = runs.evaluate(), runs.evaluate("batch statistics")
        runs.fetch()
        tests, labels = data_set(310, seed=1)
        for i, state in enumerate(expected):
            engine, loss = by_the_cpu(program, state, ORDERS[i], 8)
            assert losses[i] == loss
            assert_same(states[i], state)
            assert states[i].step == state.step
            mean, digits = engine.evaluate(floats(tests), labels)
            assert (found[0][0][i], found[0][1][i]) == (mean, (digits == labels).sum())
            assert found[0][2][i].tobytes() == digits.tobytes()
            parts = [slice(0, 250), slice(250, 310)]
            digits = [engine.evaluate(floats(tests[part]), labels[part], "batch statistics")[1] for part in parts]
            assert found[1][2][i].tobytes() == numpy.concatenate(digits).tobytes()


def small():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(108, 10),
        nn.LogSoftmax(1),
    )  # fmt: skip


def test_a_run_that_is_not_a_number_does_not_disturb_the_others():
    program, states = prepared(small, (1, 2, 3))
    states[1].parameters["0.weight"][1, 0, 0, 0] = numpy.inf
    alone = deepcopy(states[2])
    runs = on_the_gpu(program, states, batch=16)
    losses = runs.train(ORDERS, 16, MOMENTUM, RATE)
    runs.fetch()
    assert numpy.isnan(losses).tolist() == [False, True, False]
    _, loss = by_the_cpu(program, alone, ORDERS[2], 16)
    assert losses[2] == loss
    assert_same(states[2], alone)


def test_what_is_not_trainable_stays():
    program, states = prepared(small, (1,))
    states[0].trainable = frozenset(states[0].parameters) - {"0.weight", "5.bias"}
    before = deepcopy(states[0].parameters)
    runs = on_the_gpu(program, states, batch=16)
    runs.train(ORDERS[:1], 16, MOMENTUM, RATE)
    runs.fetch()
    changed = [name for name in before if (before[name] != states[0].parameters[name]).any()]
    assert changed == ["1.weight", "1.bias", "5.weight"] or sorted(changed) == ["1.bias", "1.weight", "5.weight"]


def test_a_gpu_that_is_too_small_is_said_and_keeps_nothing():
    program, states = prepared(small, (1, 2))
    try:
        emulated_gpu.limit_memory(emulated_gpu.memory_in_use() + 1_000_000)
        before = emulated_gpu.memory_in_use()
        with pytest.raises(OutOfMemory):
            Runs(emulated_gpu.gpu(), program, states, 16)
        assert emulated_gpu.memory_in_use() == before
    finally:
        emulated_gpu.limit_memory(1 << 40)


def test_after_a_fault_of_a_kernel_the_first_error_is_seen_and_names_the_kernel():
    program, states = prepared(small, (1, 2))
    runs = on_the_gpu(program, states, batch=16)
    runs._kernels |= runs._device.load(emulated_gpu.compiled(source.text((), {}) + LEAVES_ITS_MEMORY), ["leaves"])
    fault = "cuLaunchKernel: an illegal memory access was encountered, in the kernel leaves"
    with pytest.raises(RuntimeError, match=fault), closing(runs):
        runs._launch([Launch("leaves", (1, 1), 32, 4 * 32, ("losses",))])


LEAVES_ITS_MEMORY = """
extern "C" __global__ void leaves(float *to)
{
    room[thread() + 1] = 1;
    to[0] = room[1];
}
"""


def test_a_larger_epoch_than_the_one_before_has_room():
    program, states = prepared(small, (1,))
    alone = deepcopy(states[0])
    runs = on_the_gpu(program, states, batch=16)
    orders = numpy.arange(40)[None]
    losses = [runs.train(part, 16, MOMENTUM, RATE)[0] for part in (orders[:, :5], orders)]
    runs.fetch()
    runs.close()
    assert losses == [by_the_cpu(program, alone, order, 16)[1] for order in (orders[0, :5], orders[0])]
    assert_same(states[0], alone)


def test_a_batch_with_one_value_a_channel_is_refused():
    def make():
        return nn.Sequential(
            nn.Conv2d(1, 3, 28), nn.Flatten(), nn.BatchNorm1d(3), nn.Linear(3, 10), nn.LogSoftmax(1)
        )  # fmt: skip

    program, states = prepared(make, (1,))
    runs = on_the_gpu(program, states, batch=16)
    with pytest.raises(UnusableInput, match="use larger batches"):
        runs.train(ORDERS[:1, :17], 16, MOMENTUM, RATE)


PROBE = """
extern "C" __global__ void probe(const float *z, const double *t, double *powers, double *logarithms, Count count)
{
    if (thread() >= count) return;
    powers[thread()] = exponential(z[thread()]);
    logarithms[thread()] = logarithm(t[thread()]);
}
"""


def test_the_exponential_and_the_logarithm():
    random = numpy.random.default_rng(0)
    special = [0, -0.0, -1e-45, -708, -708.1, 709, 709.1, -numpy.inf, numpy.inf, numpy.nan]
    z = numpy.concatenate([-random.exponential(10, 10_000), special]).astype(numpy.float32)
    with numpy.errstate(over="ignore"):
        t = numpy.concatenate([1 + random.exponential(1, 10_000), numpy.exp(special)])
    gpu = emulated_gpu.gpu()
    kernels = gpu.device.load(gpu.compiler(source.text((), {}) + PROBE, ""), ["probe"])
    found = numpy.empty((2, len(z)))
    arrays = {"z": z, "t": t, "powers": found[0], "logarithms": found[1]}
    addresses = {name: gpu.device.allocate(values.nbytes) for name, values in arrays.items()}
    for name in ("z", "t"):
        gpu.device.write(addresses[name], arrays[name])
    gpu.device.launch(kernels, Launch("probe", (-(-len(z) // 128), 1), 128, 0, (*arrays, len(z))), addresses, 1)
    for name in ("powers", "logarithms"):
        gpu.device.read(addresses[name], arrays[name])
    expected = numpy.array([[loss.exp(value) for value in z], [loss.log(value) for value in t]])
    assert numpy.array_equal(found, expected, equal_nan=True)
