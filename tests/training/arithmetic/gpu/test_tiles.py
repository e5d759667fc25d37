"""Tests of `tiles`, `parts`: a block fits a GPU whatever the convolution, and what the kernels lack is said."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.training.arithmetic.gpu import tiles
from bench.training.arithmetic.gpu.parts import NotOnGPU, parts
from bench.training.arithmetic.gpu.plan import plan
from bench.training.arithmetic.trace import trace
from bench.training.dropout import Clock, seed_dropout


@given(
    side=st.integers(1, 28),
    channels=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_a_tile_fits_a_block_and_leaves_nothing_out(side, channels, size):
    before, after = (side + size[0] - 1, side + size[1] - 1, channels[0]), (side, side, channels[1])
    forward = tiles.convolution(before, size, after)
    if forward is None:
        weights = size[0] * size[1] * channels[0] * channels[1]
        assert 4 * (weights + size[0] * (side + size[1] - 1) * tiles.pitch(channels[0])) > 227 << 10
        return
    images, band, pixels, outputs = forward.arguments
    assert forward.blocks == (-(-side // band), images)
    taps = size[0] * size[1] * channels[0] * -(-channels[1] // outputs) * outputs
    tile = images * (band + size[0] - 1) * (side + size[1] - 1) * tiles.pitch(channels[0])
    assert 4 * (taps + tile) <= forward.shared <= 227 << 10
    assert forward.threads <= 512 == 512 * (forward.threads % 32 == 0)
    assert pixels * outputs <= 80
    backward = tiles.filter_gradient(before, size, after)
    if backward is not None:
        images, band, inputs, outputs, taken = backward.arguments
        assert backward.blocks[0] * taken >= channels[1]
        assert taken % outputs == 0
        each = -(-channels[0] // inputs) * size[0] * taken // outputs
        assert images * each <= backward.threads <= 512
        assert backward.shared <= 227 << 10


@pytest.mark.parametrize("channels", range(1, 65))
def test_eight_neighbouring_pixels_meet_all_banks_of_shared_memory(channels):
    pitch = tiles.pitch(channels)
    assert pitch >= channels
    if channels > 2:
        banks = [(pixel * pitch + i) % 32 for pixel in range(8) for i in range(4)]
        assert sorted(banks) == list(range(32))


ALL = "convolve", "filter_gradient", "input_gradient"


def traced(*layers):
    network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10), nn.LogSoftmax(1))
    seed_dropout(network, 1, Clock())
    network(torch.zeros(2, 1, 28, 28))
    return network


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            (nn.Conv2d(1, 4, 3), nn.Dropout(0.1), nn.ReLU(), nn.Dropout2d(0.2)),
            "two operations Dropout between two layers",
        ),
        ((nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=None)), "a BatchNorm with a cumulative average"),
        ((nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3)), "a BatchNorm of the images"),
        ((nn.Conv2d(1, 2, 3), nn.MaxPool2d(17)), "a max-pool with large windows"),
        (
            (nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.MaxPool2d(17)),
            "a BatchNorm of the images; a max-pool with large windows",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_kernels_lack_is_named(layers, said):
    with pytest.raises(NotOnGPU) as caught:
        parts(trace(traced(*layers)))
    assert str(caught.value) == said


def test_a_value_that_two_operations_use_is_named():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, images):
            x = self.one(images)
            return x + self.two(x)

    with pytest.raises(NotOnGPU, match="a value that several operations use"):
        parts(trace(traced(Residual())))


def test_a_filter_that_no_block_can_hold_has_no_tile():
    network = traced(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(5408, 64))
    shapes = {name: tuple(one.shape) for name, one in network.named_parameters()}
    assert set(plan(trace(network), shapes, frozenset(shapes)).tiles) == {
        f"{kernel}_{number}" for kernel, number in (("convolve", 1), ("filter_gradient", 1), *((one, 4) for one in ALL))
    }
