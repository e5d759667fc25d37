"""Tests of `direct`, `grouped`, `packing`, `tiles` and `vectors`: two codes for a convolution agree.

`direct` works on tiles of vectors and `grouped` has plain loops. Widths and sizes are such that the last vector, the
last row of a tile and the last image are not full.
"""

from __future__ import annotations

import numpy
import pytest

from bench.training.arithmetic import convolution
from bench.training.arithmetic.convolution import Geometry
from bench.training.arithmetic.kernels import direct, grouped, packing, vectors

# (images, height, width), channels in, channels out, size, padding
CASES = [
    ((3, 7, 6), 1, 5, (3, 3), (1, 1)),
    ((2, 5, 9), 4, 33, (3, 2), (0, 1)),
    ((40, 4, 4), 10, 16, (1, 1), (0, 0)),
    ((1, 14, 14), 13, 49, (5, 5), (2, 2)),
    ((30, 1, 1), 40, 10, (1, 1), (0, 0)),
]


def drawn(case):
    """x, weight, bias, dy and the geometry of a case."""
    (images, height, width), inputs, outputs, size, padding = case
    generator = numpy.random.default_rng(1)

    def normal(*shape):
        return generator.standard_normal(shape).astype(numpy.float32)

    rows, columns = (side + 2 * p - s + 1 for side, p, s in zip((height, width), padding, size, strict=True))
    geometry = Geometry(size, (1, 1), padding, (1, 1), 1)
    arrays = normal(images, height, width, inputs), normal(outputs, inputs, *size), normal(outputs)
    return *arrays, normal(images, rows, columns, outputs), geometry


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiles_and_plain_loops_give_the_same_bits(case):
    x, weight, bias, dy, geometry = drawn(case)
    packed = convolution.room(weight, True)
    convolution.pack(packed, bias)
    found, expected = numpy.full_like(dy, numpy.nan), numpy.full_like(dy, numpy.nan)
    convolution.forward(x, packed, geometry, found)
    grouped.forward(x, weight, bias, geometry.padding, (1, 1), (1, 1), 1, expected)
    assert found.tobytes() == expected.tobytes()

    found, expected = numpy.full_like(x, numpy.nan), numpy.full_like(x, numpy.nan)
    convolution.input_gradient(dy, packed, geometry, found)
    grouped.input_gradient(dy, weight, geometry.padding, (1, 1), (1, 1), 1, expected)
    assert found.tobytes() == expected.tobytes()

    found, expected = convolution.zeros(weight), numpy.zeros((weight[0].size, len(weight)))
    convolution.add_filter_gradient(x, dy, geometry, found)
    grouped.add_filter_gradient(x, dy, geometry.size, geometry.padding, (1, 1), (1, 1), 1, expected)
    assert numpy.array_equal(found[:, : len(weight)], expected)
    unpacked = convolution.unpack(found, *weight.shape[:2], geometry)
    rows = expected.reshape(*geometry.size, weight.shape[1], len(weight)).transpose(3, 2, 0, 1)
    assert numpy.array_equal(unpacked, rows.astype(numpy.float32))


def test_nothing_behind_an_array_is_read_into_a_result_or_written():
    """The arrays lie in a larger one that is full of NaN."""
    x, weight, bias, dy, geometry = drawn(CASES[0])
    packed = convolution.room(weight, True)
    convolution.pack(packed, bias)

    def inside(values):
        around = numpy.full(values.size + 128, numpy.nan, numpy.float32)
        part = around[64:-64].reshape(values.shape)
        part[:] = values
        return part, around

    (x_inside, _), (dy_inside, _) = inside(x), inside(dy)
    (y, around), expected = inside(dy), numpy.empty_like(dy)
    convolution.forward(x_inside, packed, geometry, y)
    convolution.forward(x, packed, geometry, expected)
    assert y.tobytes() == expected.tobytes()
    assert numpy.isnan(around[:64]).all()
    assert numpy.isnan(around[-64:]).all()
    found, wanted = convolution.zeros(weight), convolution.zeros(weight)
    convolution.add_filter_gradient(x_inside, dy_inside, geometry, found)
    convolution.add_filter_gradient(x, dy, geometry, wanted)
    assert numpy.array_equal(found[:, : len(weight)], wanted[:, : len(weight)])


def test_a_packed_filter_begins_at_a_cache_line_and_is_filled_up_with_zeros():
    weight = numpy.arange(1, 1 + 3 * 2 * 2 * 1, dtype=numpy.float32).reshape(3, 2, 2, 1)
    packed = packing.room_for_filter(3, 2, 2, 1)
    packing.pack(weight, packed)
    assert packed.ctypes.data % 64 == 0
    rows = packed.reshape(4, packing.filled_up(3))
    assert numpy.array_equal(rows[:, :3], weight.transpose(2, 3, 1, 0).reshape(4, 3))
    assert not rows[:, 3:].any()
    assert packing.filled_up(vectors.LANES + 1) == 2 * vectors.LANES
    flipped = packing.room_for_filter(2, 3, 2, 1)
    packing.pack_flipped(weight, flipped)
    rows = flipped.reshape(6, packing.filled_up(2))
    assert numpy.array_equal(rows[:, :2], weight[:, :, ::-1].transpose(2, 3, 0, 1).reshape(6, 2))


def test_a_frame_has_the_image_inside_a_border_of_zeros():
    x = numpy.arange(1, 13, dtype=numpy.float32).reshape(2, 3, 2, 1)
    frames = packing.frames_for(x, 2, (1, 2), 5)
    packing.write_into_frames(x, (1, 2), frames)
    assert len(frames) == 2 * 5 * 6 + 5
    assert numpy.array_equal(frames[:60].reshape(2, 5, 6), numpy.pad(x[..., 0], ((0, 0), (1, 1), (2, 2))))
    assert not frames[60:].any()
    places, border = packing.places_of(x, numpy.empty((2, 2, 3, 1), numpy.float32), (-1, 1))
    assert border == (0, 1)
    assert places[0].tolist() == [[4, 5, 6], [8, 9, 10]]  # the first row of x is left out


def test_the_kinds_of_vector_are_those_of_the_processor():
    assert vectors.LANES in (4, 8, 16)
    assert direct.ROWS_OF_TWO * 2 + 2 < vectors.REGISTERS
